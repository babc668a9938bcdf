"""What all tables under a root have in common: their columns, and what a label column's name means.

A row of any table of tracks or songs is named by TRACK_ID, and VERSION says of which content of the file it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

TRACK_ID, VERSION = "track_id", "version"
URI, BYTES, GROUP = "uri", "bytes", "group"  # of a track list; a group is an artist or another source
SHARD, PATH, ROW_GROUP, ROW = (
    "shard",
    "path",
    "row_group",
    "row",
)  # where a song's row is; ROW counts in the row group
N_FRAMES, FRAMES = "n_frames", "frames"

TRACKS = pa.schema([(TRACK_ID, pa.string()), (URI, pa.string()), (BYTES, pa.int64()), (VERSION, pa.string())])
SONGS = pa.schema(
    [
        (TRACK_ID, pa.string()),
        (VERSION, pa.string()),
        (SHARD, pa.string()),
        (PATH, pa.string()),
        (ROW_GROUP, pa.int32()),
        (ROW, pa.int32()),
        (N_FRAMES, pa.int32()),
    ]
)
QUARANTINE = pa.schema(
    [
        (TRACK_ID, pa.string()),
        (VERSION, pa.string()),
        (SHARD, pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("message", pa.string()),
        ("attempts", pa.int32()),
        ("first_seen", pa.string()),
        ("last_seen", pa.string()),
    ]
)

SINGLE, MULTI, NUMBER = "label", "tags", "value"  # what the name of a label column begins with, and its type
LABEL_TYPES = {SINGLE: pa.string(), MULTI: pa.list_(pa.string()), NUMBER: pa.float64()}


@dataclass(frozen=True)
class LabelColumn:
    """A column of labels in a track list: one label a track (SINGLE), any number (MULTI), or a number (NUMBER)."""

    kind: str
    name: str

    @property
    def column(self) -> str:
        """Its name in the table."""
        return f"{self.kind}_{self.name}"

    def array(self, values: list) -> pa.Array:
        """The column's values, None where a track has none."""
        return pa.array(values, LABEL_TYPES[self.kind])


def label_columns(tracks: pa.Table) -> Iterator[LabelColumn]:
    """The label columns of a track list, in its order."""
    for column in tracks.column_names:
        kind, _, name = column.partition("_")
        if kind in LABEL_TYPES and name:
            yield LabelColumn(kind, name)


def groups_by_track(tracks: pa.Table) -> dict[str, str | None]:
    """The group of every track of a list, in its order; None where it has none."""
    ids = tracks[TRACK_ID].to_pylist()
    found = tracks[GROUP].to_pylist() if GROUP in tracks.column_names else [None] * len(ids)
    return dict(zip(ids, found, strict=True))
