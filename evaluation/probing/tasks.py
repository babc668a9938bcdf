"""What is asked of the vectors: one record per label column, with the songs and labels that can take part.

Alignment is by track id: a task lists its own songs, and whoever owns vectors looks them up by id.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Labels = Sequence[frozenset[str] | None]

VALUE_SONGS = 10  # songs that a regression needs


@dataclass(frozen=True)
class Task:
    """Songs, their labels and what must stay together.

    targets: int64 (song,) class of each song, bool (song, class) where a song may have many, or float64 (song,).
    groups: int64 (song,) or None; notes: what was left out and why, for people.
    """

    name: str
    kind: Literal["single", "multi", "value"]
    songs: tuple[str, ...]
    targets: np.ndarray
    classes: tuple[str, ...]
    groups: np.ndarray | None
    notes: tuple[str, ...]

    @property
    def width(self) -> int:
        """Answers per song: one for each class, or one number."""
        return max(1, len(self.classes))


@dataclass(frozen=True)
class Skipped:
    """A label column that cannot be a task."""

    name: str
    reason: str


def single_label(
    name: str,
    track_ids: Sequence[str],
    labels: Sequence[str | None],
    groups: Sequence[str | None] | None,
    min_count: int,
) -> Task | Skipped:
    """One class per song. Songs without a label, or with one too rare to test, are left out and counted."""
    sets = [None if not label else frozenset([label]) for label in labels]
    return _build(name, "single", track_ids, sets, groups, min_count)


def multi_label(
    name: str,
    track_ids: Sequence[str],
    tags: Sequence[Sequence[str] | None],
    groups: Sequence[str | None] | None,
    min_count: int,
) -> Task | Skipped:
    """Any number of classes per song. None: not annotated, left out. An empty list: no tag applies."""
    sets = [None if song is None else frozenset(song) for song in tags]
    return _build(name, "multi", track_ids, sets, groups, min_count)


def value(
    name: str,
    track_ids: Sequence[str],
    values: Sequence[float | None],
    groups: Sequence[str | None] | None,
    min_count: int,
) -> Task | Skipped:
    """A number per song. Songs without one are left out and counted."""
    _refuse_twice(name, track_ids)
    known = [i for i, number in enumerate(values) if number is not None and math.isfinite(number)]
    targets = np.array([values[i] for i in known], dtype=np.float64)
    needed = max(VALUE_SONGS, min_count)
    if len(known) < needed or len(set(targets.tolist())) < 2:
        return Skipped(
            name, f"{len(known)} songs have a number; a task needs {needed} and two different ones"
        )
    lost = len(values) - len(known)
    return Task(
        name=name,
        kind="value",
        songs=tuple(track_ids[i] for i in known),
        targets=targets,
        classes=(),
        groups=_group_codes(groups, known),
        notes=(f"{lost} songs without a number",) if lost else (),
    )


def _refuse_twice(name: str, track_ids: Sequence[str]) -> None:
    if len(set(track_ids)) != len(track_ids):
        raise ValueError(f"task {name}: a track id occurs twice")


def _build(
    name: str,
    kind: Literal["single", "multi"],
    track_ids: Sequence[str],
    labels: Labels,
    groups: Sequence[str | None] | None,
    min_count: int,
) -> Task | Skipped:
    _refuse_twice(name, track_ids)
    known = [i for i, label in enumerate(labels) if label is not None]
    if not known:
        return Skipped(name, "no song has a label")
    sets = [labels[i] or frozenset() for i in known]
    codes = _group_codes(groups, known)
    notes: list[str] = []
    classes = _usable(sets, codes, min_count)
    if codes is not None and len(classes) < 2 <= len(_usable(sets, None, min_count)):
        notes.append("songs of one group may fall on both sides: fewer than two labels occur in two groups")
        codes, classes = None, _usable(sets, None, min_count)
    if len(classes) < 2:
        return Skipped(name, f"{len(classes)} usable labels ({_needs(codes, min_count)}); a task needs two")
    notes += _left_out(sets, classes, codes, min_count)
    if len(known) < len(labels):
        notes.append(f"{len(labels) - len(known)} songs without a label")
    keep = [j for j, label in enumerate(sets) if kind == "multi" or label & set(classes)]
    return Task(
        name=name,
        kind=kind,
        songs=tuple(track_ids[known[j]] for j in keep),
        targets=_targets(kind, [sets[j] for j in keep], classes),
        classes=classes,
        groups=None if codes is None else codes[keep],
        notes=tuple(notes),
    )


def _group_codes(groups: Sequence[str | None] | None, known: Sequence[int]) -> np.ndarray | None:
    """Integer per song; a song whose group is unknown is a group of its own. None where nothing is shared."""
    if groups is None:
        return None
    names = [("song", str(i)) if groups[i] is None else ("group", str(groups[i])) for i in known]
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    if len(codes) == len(names):
        return None
    return np.array([codes[name] for name in names], dtype=np.int64)


def _usable(sets: Sequence[frozenset[str]], codes: np.ndarray | None, min_count: int) -> tuple[str, ...]:
    """Labels with enough songs, in at least two groups, that not every song carries; sorted."""
    songs = Counter(label for labels in sets for label in labels)
    units = songs if codes is None else _groups_of_labels(sets, codes)
    needed = max(2, min_count)
    return tuple(sorted(label for label, n in songs.items() if needed <= n < len(sets) and units[label] >= 2))


def _groups_of_labels(sets: Sequence[frozenset[str]], codes: np.ndarray) -> Counter[str]:
    pairs = {(label, code) for labels, code in zip(sets, codes.tolist(), strict=True) for label in labels}
    return Counter(label for label, _ in pairs)


def _left_out(
    sets: Sequence[frozenset[str]], classes: Sequence[str], codes: np.ndarray | None, min_count: int
) -> list[str]:
    counts = Counter(label for labels in sets for label in labels)
    lost = sorted(set(counts) - set(classes))
    if not lost:
        return []
    names = ", ".join(f"{label} ({counts[label]})" for label in lost[:12])
    more = f" and {len(lost) - 12} more" if len(lost) > 12 else ""
    return [f"{len(lost)} labels left out ({_needs(codes, min_count)}): {names}{more}"]


def _needs(codes: np.ndarray | None, min_count: int) -> str:
    groups = "" if codes is None else " from two groups"
    return f"a label needs {max(2, min_count)} songs{groups}, and not every song"


def _targets(kind: str, sets: Sequence[frozenset[str]], classes: Sequence[str]) -> np.ndarray:
    index = {label: i for i, label in enumerate(classes)}
    if kind == "single":
        return np.array([index[next(iter(labels))] for labels in sets], dtype=np.int64)
    targets = np.zeros((len(sets), len(classes)), dtype=bool)
    for row, labels in enumerate(sets):
        targets[row, [index[label] for label in labels if label in index]] = True
    return targets
