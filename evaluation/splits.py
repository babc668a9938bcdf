"""Repeated stratified folds, or a published split; made once per task and shared by every model.

Songs of one group (an artist, a source) never fall on both sides. Tags are stratified by each song's rarest
tag, the first step of iterative stratification, so that one splitter serves both kinds of task.
"""

import hashlib
import warnings
from collections.abc import Iterator, Set
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from evaluation.tasks import Task

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
    """repeats[r][f]: in each repeat every song is tested once. The digest names songs, targets and folds."""

    repeats: tuple[tuple[Fold, ...], ...]
    digest: str


def make_splits(task: Task, repeats: int, folds: int, seed: int) -> Splits:
    """Folds for every repeat, fewer than asked where there are fewer groups or songs of the largest class."""
    strata = _strata(task)
    made = tuple(tuple(_folds(strata, task.groups, folds, seed + 1000 * r)) for r in range(repeats))
    return Splits(repeats=made, digest=_digest(task, made))


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


def _folds(strata: np.ndarray, groups: np.ndarray | None, folds: int, seed: int) -> Iterator[Fold]:
    for f, (train, test) in enumerate(_split(strata, groups, folds, seed)):
        inside = None if groups is None else groups[train]
        inner = _split(strata[train], inside, INNER_FOLDS, seed + 1 + f)
        yield Fold(train, test, tuple((train[a], train[b]) for a, b in inner))


def _split(
    strata: np.ndarray, groups: np.ndarray | None, folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs (train, test) of indices, [] where the data cannot be split; empty sides are left out."""
    largest = int(np.bincount(strata).max())
    units = len(strata) if groups is None else len(np.unique(groups))
    folds = min(folds, largest, units)
    if folds < 2:
        return []
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    with warnings.catch_warnings():
        # A class with fewer songs than folds is fine: some folds do not test it.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        pairs = list(splitter(folds, shuffle=True, random_state=seed).split(strata, strata, groups))
    return [(train, test) for train, test in pairs if len(train) and len(test)]


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
