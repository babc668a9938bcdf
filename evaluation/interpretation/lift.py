"""How much more of a component the songs of a label contain than songs do on average, and how sure that is.

Songs of one group, an artist's, are alike and count as one observation: intervals are over groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import t as student

from evaluation.interpretation.tally import Tally

SMOOTHING_SONGS = 5.0  # average songs added to every label, so that rare labels need more evidence
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Lift:
    """How much more of a component the songs of a label have than songs have on average, and its 95 % interval."""

    label: str
    lift: float
    n_songs: int
    low: float
    high: float


@dataclass(frozen=True)
class GroupSums:
    """Sums over the songs of each group. songs (group,): how many; shares (group, component): of their shares.

    squares (component,): squared shares of all songs. pairs int (pair,): label * groups + group, ascending, of every
    label that a group has; pair_songs (pair,), pair_shares (pair, component): as above, of the songs with that label.
    """

    n_labels: int
    songs: np.ndarray
    shares: np.ndarray
    squares: np.ndarray
    pairs: np.ndarray
    pair_songs: np.ndarray
    pair_shares: np.ndarray

    def __add__(self, other: "GroupSums") -> "GroupSums":
        """Of other songs, with the same labels and groups."""
        pairs, row = np.unique(np.concatenate([self.pairs, other.pairs]), return_inverse=True)
        return GroupSums(
            self.n_labels,
            self.songs + other.songs,
            self.shares + other.shares,
            self.squares + other.squares,
            pairs,
            np.bincount(row, np.concatenate([self.pair_songs, other.pair_songs]), len(pairs)),
            _sums(row, np.concatenate([self.pair_shares, other.pair_shares]), len(pairs)),
        )


def group_codes(groups: Sequence[str | None], most: int | None = None, seed: int = 0) -> np.ndarray:
    """int (song,): which songs belong together; a song without a group is a group of its own.

    Where there are more than `most` groups they are merged at random into as many (the random groups of Wolter 2007,
    chapter 2): the variance between these estimates the same and keeps `most` sums.
    """
    names = [("song", i) if not group else ("group", group) for i, group in enumerate(groups)]
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    codes = np.array([places[name] for name in names], dtype=np.int64)
    if most is None or len(places) <= most:
        return codes
    return (np.random.default_rng(seed).permutation(len(places)) % most)[codes]


def group_sums(shares: np.ndarray, members: np.ndarray, codes: np.ndarray, n_groups: int) -> GroupSums:
    """Count songs: shares (song, component), members bool (label, song), codes int (song,) below n_groups."""
    shares = shares.astype(np.float64)
    label, song = members.nonzero()
    pairs, row = np.unique(label * n_groups + codes[song], return_inverse=True)
    return GroupSums(
        n_labels=len(members),
        songs=np.bincount(codes, minlength=n_groups).astype(np.float64),
        shares=_sums(codes, shares, n_groups),
        squares=(shares**2).sum(axis=0),
        pairs=pairs,
        pair_songs=np.bincount(row, minlength=len(pairs)).astype(np.float64),
        pair_shares=csr_array((np.ones(len(row)), (row, song)), shape=(len(pairs), len(shares))) @ shares,
    )


def label_lift(counted: Tally) -> np.ndarray:
    """Smoothed lift (label, component): (sum of shares over the label's songs + m mu) / ((songs + m) mu).

    mu is the mean share over all songs, m is SMOOTHING_SONGS; 1 means "as usual".
    """
    return _smoothed(counted.by_label, counted.members[:, None], counted.songs / counted.n_songs)


def lift_interval(counted: GroupSums) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of `label_lift`, its ends (label, component): Student's t over the groups of the label's songs.

    The lift is a ratio of two means, R = mean_l / mu, that of the label's n songs and that of all N, of which they are
    part. Its variance is the delta method's with groups as ultimate clusters (Cochran 1977, sections 6.4 and 9A.2):
    sum_g (A_g / n - R B_g / N)^2 / mu^2, where A_g is the sum of share - mean_l over the label's songs of group g and
    B_g that of share - mu over all its songs. Into the label's own part, sum_g A_g^2 over its G groups, m groups of
    smoothing bring what is expected of them by the variance of a song and the covariance of two songs of a group, so
    that few groups that happen to agree are not taken for certain; the half width shrinks by n / (n + m) as the lift
    does. Labels of fewer than two groups have no interval: (0, inf).
    """
    label, group = np.divmod(counted.pairs, len(counted.songs))
    total, m = counted.songs.sum(), SMOOTHING_SONGS
    mu = counted.shares.sum(axis=0) / total
    n = np.bincount(label, counted.pair_songs, counted.n_labels)[:, None]
    n_groups = np.bincount(label, minlength=counted.n_labels)[:, None].astype(np.float64)
    by_label = _sums(label, counted.pair_shares, counted.n_labels)
    everyone = counted.shares - counted.songs[:, None] * mu
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = by_label / n
        apart = counted.pair_shares - counted.pair_songs[:, None] * mean[label]
        squares = _sums(label, apart**2, counted.n_labels)
        shared = _sums(label, apart * everyone[group], counted.n_labels) - squares
        corpus, used = (everyone**2).sum(axis=0), (counted.songs > 0).sum()
        sample = used / max(used - 1, 1)
        own = n_groups * squares + m * sample * _expected(counted, label, n, mu, corpus)
        own /= n_groups - 1 + m
        ratio = mean / mu
        variance = (
            own / n**2 - 2 * ratio * (own + shared) / (n * total) + (ratio / total) ** 2 * corpus
        ) / mu**2
        half = student.ppf(0.5 + CONFIDENCE / 2, n_groups - 1 + m) * np.sqrt(np.maximum(variance, 0.0))
        half *= n / (n + m)
    lift, known = _smoothed(by_label, n, mu), (n_groups > 1) & (mu > 0)
    return np.where(known, np.maximum(lift - half, 0.0), 0.0), np.where(known, lift + half, np.inf)


def _expected(
    counted: GroupSums, label: np.ndarray, n: np.ndarray, mu: np.ndarray, corpus: np.ndarray
) -> np.ndarray:
    """What sum_g A_g^2 would be of songs as they are on average: (label, component). corpus (component,): sum_g B_g^2.

    The variance of each song and, from the same sums, the covariance of each two songs of a group.
    """
    total, c = counted.songs.sum(), counted.songs
    square = np.maximum(counted.squares - total * mu**2, 0.0)
    together = (corpus - square) / max((c * (c - 1)).sum(), 1.0)
    two = np.bincount(label, counted.pair_songs * (counted.pair_songs - 1), counted.n_labels)[:, None]
    return np.maximum(n * square / total + two * together, 0.0)


def _smoothed(by_label: np.ndarray, n: np.ndarray, mu: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        lift = (by_label + SMOOTHING_SONGS * mu) / ((n + SMOOTHING_SONGS) * mu)
    return np.where(mu > 0, lift, 1.0)


def _sums(codes: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Rows of values (row, component) added up by their code: (code, component)."""
    return csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(n, len(codes))) @ values


def lifts_of(table: np.ndarray, names: Sequence[str], counts: np.ndarray, min_songs: int) -> tuple[Lift, ...]:
    """The labels of at least `min_songs` songs, highest lift first; table (3, label): lift and its interval's ends."""
    order = [int(i) for i in np.argsort(-table[0], kind="stable") if counts[i] >= min_songs]
    return tuple(Lift(names[i], float(table[0, i]), int(counts[i]), *map(float, table[1:, i])) for i in order)
