"""Repeated stratified folds, or a published split; made once per task and shared by every model.

Songs of one group (an artist, a source) never fall on both sides: `deal` deals groups to folds, differently in each
repeat. Without groups, tags are stratified by each song's rarest tag, the first step of iterative stratification, so
that one splitter serves both kinds of task.
"""

import hashlib
import warnings
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedKFold

from evaluation.probing.group_folds import alike, deal_repeats
from evaluation.probing.tasks import Task

INNER_FOLDS = 3
VALUE_STRATA = 5  # parts of equal size that numbers are stratified by


@dataclass(frozen=True)
class Fold:
    """Song indices of one fold; `inner` splits its training part again, to choose the regularisation."""

    train: np.ndarray
    test: np.ndarray
    inner: tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True)
class Splits:
    """repeats[r][f]: in each repeat every song is tested once. The digest names songs, targets and folds.

    alike: mean adjusted Rand index between repeats: 1 where they are one split, 0 where they agree no more than songs
    dealt one by one; nan where there is one repeat or none that tests anything.
    """

    repeats: tuple[tuple[Fold, ...], ...]
    digest: str
    alike: float = float("nan")


def make_splits(task: Task, repeats: int, folds: int, seed: int) -> Splits:
    """Folds for every repeat, fewer than asked where there are fewer groups or songs of the largest class."""
    strata, seeds = _strata(task), [seed + 1000 * r for r in range(repeats)]
    dealt = _deal(task, strata, np.arange(len(task.songs)), folds, seeds)
    made = tuple(tuple(_folds(task, strata, *repeat)) for repeat in zip(dealt, seeds, strict=True))
    likeness = alike(dealt, np.ones(len(task.songs))) if dealt.any() else float("nan")
    return Splits(made, _digest(task, made), likeness)


@dataclass(frozen=True)
class Parts:
    """A published split: the ids of the songs on each side. valid chooses the regularisation."""

    train: frozenset[str]
    valid: frozenset[str]
    test: frozenset[str]

    @property
    def songs(self) -> frozenset[str]:
        """All of them."""
        return self.train | self.valid | self.test

    def keep(self, songs: Set[str]) -> "Parts":
        """The same sides with these songs alone."""
        return Parts(self.train & songs, self.valid & songs, self.test & songs)

    def __str__(self) -> str:
        return f"{len(self.train)} train, {len(self.valid)} valid, {len(self.test)} test"


def published_splits(task: Task, parts: Parts) -> Splits:
    """One fold: C chosen from train to valid, the probe refitted on both, test scored once.

    Songs of the task on no list are never used.
    """
    train, valid, test = (
        np.array([row for row, song in enumerate(task.songs) if song in side], dtype=np.int64)
        for side in (parts.train, parts.valid, parts.test)
    )
    inner = ((train, valid),) if len(train) and len(valid) else ()
    made = ((Fold(np.sort(np.concatenate([train, valid])), test, inner),),)
    return Splits(repeats=made, digest=_digest(task, made))


def _folds(task: Task, strata: np.ndarray, tested: np.ndarray, seed: int) -> Iterator[Fold]:
    """tested (song,): the fold that tests each song."""
    for f, (train, test) in enumerate(_sides(tested)):
        (inside,) = _deal(task, strata, train, INNER_FOLDS, [seed + 1 + f])
        yield Fold(train, test, tuple((train[a], train[b]) for a, b in _sides(inside)))


def _sides(tested: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (train, test) of indices; none where all are in one fold."""
    for fold in np.unique(tested) if tested.any() else ():
        yield np.flatnonzero(tested != fold), np.flatnonzero(tested == fold)


def _deal(task: Task, strata: np.ndarray, songs: np.ndarray, folds: int, seeds: Sequence[int]) -> np.ndarray:
    """The fold of each of some songs, int64 (seed, song); all 0 where they cannot be split."""
    strata, codes = strata[songs], np.arange(len(songs))
    if task.groups is not None:
        codes = np.unique(task.groups[songs], return_inverse=True)[1]
    folds = min(folds, int(np.bincount(strata).max()), int(codes.max()) + 1)
    if folds < 2:
        return np.zeros((len(seeds), len(songs)), dtype=np.int64)
    if task.groups is None:
        return np.array([_stratified(strata, folds, seed) for seed in seeds])
    counts = _tally(codes, task.targets[songs] if task.kind == "multi" else strata)
    return deal_repeats(counts, np.bincount(codes), folds, seeds)[:, codes]


def _tally(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Songs of each group and label (group, label); labels int (song,) or bool (song, label)."""
    if labels.ndim == 2:
        return np.column_stack([np.bincount(codes, column) for column in labels.T])
    width = int(labels.max()) + 1
    size = (int(codes.max()) + 1) * width
    return np.bincount(codes * width + labels, minlength=size).reshape(-1, width)


def _stratified(strata: np.ndarray, folds: int, seed: int) -> np.ndarray:
    tested = np.zeros(len(strata), dtype=np.int64)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer songs than folds is fine: some folds do not test it.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, test) in enumerate(splitter.split(strata, strata)):
            tested[test] = fold
    return tested


def _strata(task: Task) -> np.ndarray:
    if task.kind == "single":
        return task.targets
    if task.kind == "value":
        return (
            np.argsort(np.argsort(task.targets, kind="stable"), kind="stable")
            * VALUE_STRATA
            // len(task.songs)
        )
    rarity = np.where(task.targets, task.targets.sum(axis=0), len(task.songs) + 1)
    return np.where(task.targets.any(axis=1), rarity.argmin(axis=1), len(task.classes))


def _digest(task: Task, repeats: tuple[tuple[Fold, ...], ...]) -> str:
    digest = hashlib.sha256("\n".join((task.name, *task.classes, "", *task.songs)).encode())
    digest.update(
        np.ascontiguousarray(task.targets.astype("<f8" if task.kind == "value" else "<i8")).tobytes()
    )
    for folds in repeats:
        for fold in folds:
            digest.update(fold.test.astype("<i8").tobytes() + b"|")
    return digest.hexdigest()[:16]
