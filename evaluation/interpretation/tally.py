"""Reading the model: which components are used, what they go with, how they sound.

A component's share of a song is the mean responsibility of the component over the song's frames. Everything is
counted in tallies that add, so that songs can come in any number of parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

SMOOTHING_SONGS = 5.0  # average songs added to every label, so that rare labels need more evidence
NOTABLE = 1.1  # lift below which a label is not characteristic
PLAIN = 0.4  # standard deviations below which a difference is not worth a word
STRONG = 1.2
SPREAD = (0.001, 0.01, 0.03, 0.1, 0.3)  # shares of a song between which songs are counted
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
class Tally:
    """Sums over songs. frames, songs: (component,) shares weighted by frames, and by songs;
    by_label: (label, component) shares of each label's songs; members: (label,) its songs. squares and
    label_squares: as songs and by_label, of squared shares; spread: (bin of SPREAD, component) songs by their share."""

    n_songs: int
    frames: np.ndarray
    songs: np.ndarray
    by_label: np.ndarray
    members: np.ndarray
    squares: np.ndarray
    label_squares: np.ndarray
    spread: np.ndarray

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.n_songs + other.n_songs,
            self.frames + other.frames,
            self.songs + other.songs,
            self.by_label + other.by_label,
            self.members + other.members,
            self.squares + other.squares,
            self.label_squares + other.label_squares,
            self.spread + other.spread,
        )


@dataclass(frozen=True)
class FrameTally:
    """Sums over frames of some features. total, square: (feature,); weight: (component,) sum of responsibilities;
    weighted: (component, feature)."""

    n_frames: int
    total: np.ndarray
    square: np.ndarray
    weight: np.ndarray
    weighted: np.ndarray

    def __add__(self, other: "FrameTally") -> "FrameTally":
        return FrameTally(
            self.n_frames + other.n_frames,
            self.total + other.total,
            self.square + other.square,
            self.weight + other.weight,
            self.weighted + other.weighted,
        )


def tally(shares: np.ndarray, n_frames: np.ndarray, members: np.ndarray) -> Tally:
    """Count songs: shares (song, component), n_frames (song,), members bool (label, song)."""
    shares, labels = shares.astype(np.float64), members.astype(np.float64)
    bins = np.searchsorted(SPREAD, shares, side="right")
    return Tally(
        n_songs=len(shares),
        frames=n_frames @ shares,
        songs=shares.sum(axis=0),
        by_label=labels @ shares,
        members=members.sum(axis=1),
        squares=(shares**2).sum(axis=0),
        label_squares=labels @ shares**2,
        spread=np.stack([(bins == i).sum(axis=0) for i in range(len(SPREAD) + 1)]),
    )


def tally_frames(features: np.ndarray, responsibility: np.ndarray) -> FrameTally:
    """Count frames: features (frame, feature), responsibility (frame, component)."""
    features, weights = features.astype(np.float64), responsibility.astype(np.float64)
    total, square = features.sum(axis=0), (features**2).sum(axis=0)
    return FrameTally(len(features), total, square, weights.sum(axis=0), weights.T @ features)


def usage(counted: Tally) -> np.ndarray:
    """Share of all frames that each component explains, (component,)."""
    return counted.frames / counted.frames.sum()


def label_lift(counted: Tally) -> np.ndarray:
    """Smoothed lift (label, component): (sum of shares over the label's songs + m mu) / ((songs + m) mu).

    mu is the mean share over all songs, m is SMOOTHING_SONGS; 1 means "as usual".
    """
    mu, n = counted.songs / counted.n_songs, counted.members[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        lift = (counted.by_label + SMOOTHING_SONGS * mu) / ((n + SMOOTHING_SONGS) * mu)
    return np.where(mu > 0, lift, 1.0)


def lift_interval(counted: Tally) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of `label_lift`, its ends (label, component): Student's t over the label's songs.

    The lift is a ratio of two means, that of the label's songs and that of all, of which they are part; its variance is
    the delta method's (Cochran 1977, section 6.4), v_l / n - 2 R v_l / N + R^2 v / N over mu^2, with v_l and v the
    variances of a share over the label's songs and over all, R = mean_l / mu. The m songs of smoothing bring their
    variance v into v_l, so that few songs that happen to agree are not taken for certain, and shrink the half width by
    n / (n + m). Songs count as independent. Labels of fewer than two songs have no interval: (0, inf).
    """
    mu, total = counted.songs / counted.n_songs, counted.n_songs
    n = counted.members[:, None].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = counted.by_label / n
        everyone = np.maximum(counted.squares - total * mu**2, 0.0) / max(total - 1, 1)
        own = np.maximum(counted.label_squares - n * mean**2, 0.0) + SMOOTHING_SONGS * everyone
        own /= n - 1 + SMOOTHING_SONGS
        ratio = mean / mu
        variance = (own / n - 2 * ratio * own / total + ratio**2 * everyone / total) / mu**2
        half = student.ppf(0.5 + CONFIDENCE / 2, n - 1 + SMOOTHING_SONGS) * np.sqrt(np.maximum(variance, 0.0))
        half *= n / (n + SMOOTHING_SONGS)
    lift, known = label_lift(counted), (n > 1) & (mu > 0)
    return np.where(known, np.maximum(lift - half, 0.0), 0.0), np.where(known, lift + half, np.inf)


def deviations(counted: FrameTally) -> np.ndarray:
    """How far a component's mean is from that of all frames, in a frame's standard deviations: (component, feature)."""
    mean = counted.total / counted.n_frames
    sd = np.sqrt(np.maximum(counted.square / counted.n_frames - mean**2, 0.0))
    own = counted.weighted / np.maximum(counted.weight, 1e-12)[:, None]
    return np.where(counted.weight[:, None] > 0, (own - mean) / np.where(sd > 0, sd, 1.0), 0.0)


def in_words(deviation: float, less: str, more: str) -> str:
    """A deviation in standard deviations as a person says it: "much louder", "as usual"."""
    if abs(deviation) < PLAIN:
        return "as usual"
    return ("much " if abs(deviation) >= STRONG else "") + (more if deviation > 0 else less)


def effective_number(share: np.ndarray) -> float:
    """exp of the entropy: how many equally used components would be as diverse."""
    used = share[share > 0]
    return float(np.exp(-(used * np.log(used)).sum()))


def carrying(share: np.ndarray, part: float = 0.99) -> int:
    """The smallest number of components that together explain `part` of the frames."""
    return int(np.searchsorted(np.sort(share)[::-1].cumsum(), part - 1e-12) + 1)


def lifts_of(table: np.ndarray, names: Sequence[str], counts: np.ndarray, min_count: int) -> tuple[Lift, ...]:
    """The labels of at least `min_count` songs, highest lift first; table (3, label): lift and its interval's ends."""
    order = [int(i) for i in np.argsort(-table[0], kind="stable") if counts[i] >= min_count]
    return tuple(Lift(names[i], float(table[0, i]), int(counts[i]), *map(float, table[1:, i])) for i in order)


def standing_out(lifts: Sequence[Lift], limit: int) -> list[Lift]:
    """The labels a component goes with, where that is worth saying and its interval lies above 1."""
    return [item for item in lifts if item.lift >= NOTABLE and item.low > 1][:limit]
