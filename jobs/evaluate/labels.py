"""The labels and groups of a track list."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from infra.root.schemas import MULTI, SINGLE, TRACK_ID, label_columns


@dataclass(frozen=True)
class Labels:
    """`names`: all labels, with the column where two columns share one; `of`: a track's places in `names`.

    columns: (column, per track its labels or None).
    """

    names: tuple[str, ...]
    of: dict[str, tuple[int, ...]]
    columns: tuple[tuple[str, tuple[tuple[str, ...] | None, ...]], ...]

    def words(self, track_id: str) -> tuple[str, ...]:
        """The labels of a track as people write them."""
        return tuple(self.names[i] for i in self.of.get(track_id, ()))

    def members(self, track_ids: Sequence[str]) -> np.ndarray:
        """bool (label, song): which of these songs carry which label."""
        table = np.zeros((len(self.names), len(track_ids)), dtype=bool)
        for column, track_id in enumerate(track_ids):
            table[list(self.of.get(track_id, ())), column] = True
        return table


def read_labels(tracks: pa.Table) -> Labels:
    """All label columns of a track list, single and multi."""
    columns = []
    for found in label_columns(tracks):
        if found.kind in (SINGLE, MULTI):
            columns.append(
                (found.name, tuple(_as_tuple(value) for value in tracks[found.column].to_pylist()))
            )
    distinct = Counter(
        label for _, values in columns for label in {label for v in values for label in v or ()}
    )
    places: dict[str, int] = {}
    of: dict[str, list[int]] = {}
    for name, values in columns:
        for track_id, labels in zip(tracks[TRACK_ID].to_pylist(), values, strict=True):
            words = [label if distinct[label] == 1 else f"{label} ({name})" for label in labels or ()]
            of.setdefault(track_id, []).extend(places.setdefault(word, len(places)) for word in words)
    return Labels(tuple(places), {track: tuple(found) for track, found in of.items()}, tuple(columns))


def _as_tuple(value: str | list[str] | None) -> tuple[str, ...] | None:
    if value is None or isinstance(value, list):
        return None if value is None else tuple(value)
    return (value,)
