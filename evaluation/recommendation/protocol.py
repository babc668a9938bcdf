"""Recommendation as the paper asks for it: from part of what a user played, find the rest among all songs.

Validation users choose the settings, test users are scored once; both are drawn anew in every split. Everybody else's
plays teach popularity and EASE, the rows that know the plays and no audio.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from evaluation.comparison.cells import CHANCE, Cell
from evaluation.probing.metrics import METRICS, measured_lists
from evaluation.probing.metrics.resampling import resamples
from evaluation.recommendation.recommend import (
    ease,
    hold_out,
    nearest_of,
    neighbours,
    popularity,
    score_users,
)

POPULAR, EASE = "popularity", "EASE"
PENALTIES = (30.0, 300.0, 3000.0)  # of EASE, tried on the validation users
SCORES = 1 << 26  # of users for songs, held at once


@dataclass(frozen=True)
class Protocol:
    """How users are drawn and lists are scored.

    validation, test: users of a split at most; known: share of a user's songs that is given; splits: how often users
    are drawn; at: length of the list (the k of nDCG); mask_seen: whether known songs are left out of the list;
    neighbours: how many neighbours of a song to try; ease_songs: songs EASE learns about, the most played.
    """

    validation: int
    test: int
    known: float
    splits: int
    at: int
    mask_seen: bool
    neighbours: tuple[int, ...]
    ease_songs: int
    seed: int


@dataclass(frozen=True)
class Draw:
    """Users of one split: rows of `plays`; known and held (user, song) of validation and test users."""

    others: np.ndarray
    validation: tuple[csr_matrix, csr_matrix]
    test: tuple[csr_matrix, csr_matrix]


@dataclass(frozen=True)
class Recommendation:
    """Who played what: plays (user, song), a non-zero entry is a song played; songs in the order of its columns."""

    name: str
    songs: tuple[str, ...]
    plays: csr_matrix
    protocol: Protocol
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Names songs, plays and protocol."""
        digest = hashlib.sha256(repr((self.name, self.songs, self.protocol)).encode())
        for part in (self.plays.indptr, self.plays.indices):
            digest.update(np.ascontiguousarray(part.astype("<i8")).tobytes())
        return digest.hexdigest()[:16]

    def draws(self) -> Iterator[Draw]:
        """The splits. Users with fewer than two songs are never tested."""
        users: Any = np.flatnonzero(np.diff(self.plays.indptr) >= 2)
        everyone = np.arange(self.plays.shape[0])  # pyright: ignore
        for split in range(self.protocol.splits):
            rng = np.random.default_rng([self.protocol.seed, split])
            drawn = rng.permutation(users)[: self.protocol.validation + self.protocol.test]
            n_test = min(self.protocol.test, max(1, len(drawn) - self.protocol.validation, len(drawn) // 2))
            test, validation = np.sort(drawn[:n_test]), np.sort(drawn[n_test:])
            others = np.setdiff1d(everyone, drawn)
            sides = [
                hold_out(self.plays[side], self.protocol.known, int(rng.integers(1 << 31)))
                for side in (validation, test)
            ]
            yield Draw(others, sides[0], sides[1])


Scorer = Callable[[csr_matrix], np.ndarray]  # known (user, song) -> scores (user, song)


def score_recommendation(
    name: str, x: np.ndarray, recommendation: Recommendation, bootstrap: int
) -> list[Cell]:
    """Item-kNN by the vectors x (song, dim), rows in the order of its songs; as many neighbours as validation likes.

    Cosines once, O(song^2 dim); memory is the largest number of neighbours a song.
    """
    if len(x) != len(recommendation.songs) or not np.isfinite(x).all():
        raise ValueError(
            f"{name}: {recommendation.name} needs one finite vector for each of {len(recommendation.songs)} songs"
        )
    widest = neighbours(x, max(recommendation.protocol.neighbours))
    choices = [nearest_of(widest, k) for k in sorted(set(recommendation.protocol.neighbours))]
    scorers: list[Scorer] = [lambda known, near=near: score_users(known, near) for near in choices]
    return _score(name, lambda draw: scorers, recommendation, bootstrap)


def score_known(name: str, recommendation: Recommendation, bootstrap: int) -> list[Cell]:
    """The scores of a row of KNOWN."""
    row = KNOWN[name]
    cells = _score(name, lambda draw: row.make(recommendation, draw), recommendation, bootstrap)
    return [replace(cell, guess=row.chance, chance=row.chance) for cell in cells]


def _random(seed: int) -> Scorer:
    def scorer(known: csr_matrix) -> np.ndarray:
        shape: Any = known.shape
        return np.random.default_rng([seed, *shape, known.nnz]).random(shape, dtype=np.float32)

    return scorer


def _popular(plays: csr_matrix) -> Scorer:
    counts = popularity(plays).astype(np.float32)
    return lambda known: np.broadcast_to(counts, (known.shape[0], len(counts)))  # pyright: ignore


def _eases(plays: csr_matrix, songs: int) -> list[Scorer]:
    """EASE for each penalty, on the most played songs; all others come after them, in no order."""
    counts = popularity(plays)
    kept = np.sort(np.argsort(-counts, kind="stable")[:songs])
    some: Any = plays[:, kept]

    def scorer(known: csr_matrix, weights: np.ndarray) -> np.ndarray:
        inside: Any = known[:, kept]
        found = inside @ weights
        scores = np.full(known.shape, found.min(initial=0.0) - 1.0, dtype=np.float32)  # pyright: ignore
        scores[:, kept] = found
        return scores

    def make(penalty: float) -> Scorer:
        weights = ease(some, penalty)
        return lambda known: scorer(known, weights)

    return [make(penalty) for penalty in PENALTIES]


@dataclass(frozen=True)
class WithoutVectors:
    """A row that knows the plays at most: its scorers for a draw, of which validation users choose one.

    chance: whether it answers at random.
    """

    make: Callable[[Recommendation, Draw], Sequence[Scorer]]
    chance: bool = False


# The rows without vectors, in the order of the tables.
KNOWN: Mapping[str, WithoutVectors] = {
    CHANCE: WithoutVectors(lambda asked, draw: [_random(asked.protocol.seed)], chance=True),
    POPULAR: WithoutVectors(lambda asked, draw: [_popular(asked.plays[draw.others])]),
    EASE: WithoutVectors(lambda asked, draw: _eases(asked.plays[draw.others], asked.protocol.ease_songs)),
}


def _score(
    name: str, make: Callable[[Draw], Sequence[Scorer]], recommendation: Recommendation, bootstrap: int
) -> list[Cell]:
    protocol, plays = recommendation.protocol, recommendation.plays
    values, draws = [], []
    for number, draw in enumerate(recommendation.draws()):
        scorers = make(draw)
        best = _choose(scorers, draw, protocol)
        found = _per_user(scorers[best], *draw.test, protocol)
        seed = protocol.seed + number
        values.append([float(row.mean()) if len(row) else float("nan") for row in map(_tested, found)])
        draws.append([_resampled(_tested(row), bootstrap, seed) for row in found])
    tested = min(protocol.test, int((np.diff(plays.indptr) >= 2).sum()))
    about = (0, tested, 0, recommendation.digest)
    columns = zip(METRICS["plays"], zip(*values, strict=True), zip(*draws, strict=True), strict=True)
    return [
        Cell(
            name,
            recommendation.name,
            f"{metric.name}@{protocol.at}",
            *about,
            tuple(value),
            tuple(np.mean(drawn, axis=0).tolist()),
        )
        for metric, value, drawn in columns
    ]


def _tested(row: np.ndarray) -> np.ndarray:
    """The values (user,) of those users who could be tested."""
    return row[~np.isnan(row)]


def _resampled(found: np.ndarray, bootstrap: int, seed: int) -> np.ndarray:
    """The mean over users (user,) under each resample; none where there are no users."""
    if not len(found):
        return np.zeros(0)
    return np.concatenate([(w @ found) / w.sum(axis=1) for w in resamples(len(found), None, bootstrap, seed)])


def _choose(scorers: Sequence[Scorer], draw: Draw, protocol: Protocol) -> int:
    """The scorer that validation users like best by the first metric, the first of equals; the first where there are no
    such users.
    """
    if len(scorers) == 1 or not draw.validation[0].shape[0]:  # pyright: ignore
        return 0
    means = [np.nanmean(_per_user(scorer, *draw.validation, protocol)[0]) for scorer in scorers]
    return int(np.argmax(means))


def _per_user(scorer: Scorer, known: csr_matrix, held: csr_matrix, protocol: Protocol) -> np.ndarray:
    """(metric, user), computed in blocks of users."""
    users, songs = known.shape  # pyright: ignore
    block = max(1, SCORES // max(1, songs))
    parts = []
    for start in range(0, users, block):
        some = slice(start, start + block)
        seen = known[some] if protocol.mask_seen else None
        parts.append(measured_lists(scorer(known[some]), held[some], seen, protocol.at))
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(METRICS["plays"]), 0))
