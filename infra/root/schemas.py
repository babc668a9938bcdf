"""The columns of all tables under a root, and what a label column's name means.

A row of any table of tracks or songs is named by TRACK_ID, and VERSION says of which content of the file it is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

TRACK_ID, VERSION = "track_id", "version"
URI, BYTES, GROUP = "uri", "bytes", "group"  # of a track list; a group is an artist or another source
SAME_AS = "same_as"  # there: of files of the same bytes the first one's track, null where there are no others
SHARD, PATH, ROW_GROUP, ROW = (
    "shard",
    "path",
    "row_group",
    "row",
)  # where a song is; ROW counts in the row group
N_FRAMES, FRAMES = "n_frames", "frames"
STAGE, REASON, MESSAGE = (
    "stage",
    "reason",
    "message",
)  # why a track is quarantined: where it failed, code and words
ATTEMPTS, FIRST_SEEN, LAST_SEEN = "attempts", "first_seen", "last_seen"
DURATION, SAMPLE_RATE, CHANNELS = (
    "duration_seconds",
    "sample_rate",
    "channels",
)  # of the file that frames are of
DECODER, MISSING, FALLBACK = "decoder", "missing_seconds", "fallback"  # how it was read
LOG_LIKELIHOOD, TOP_COMPONENTS, TOP_SHARES = "log_likelihood", "top_components", "top_shares"

TEXT, YES_NO, COUNT, REAL = pa.string(), pa.bool_(), pa.int32(), pa.float64()
_REALS, _LONG = pa.list_(pa.float64()), pa.int64()

TRACKS = pa.schema([(TRACK_ID, TEXT), (URI, TEXT), (BYTES, _LONG), (VERSION, TEXT)])
SONGS = pa.schema(
    [
        *((TRACK_ID, TEXT), (VERSION, TEXT), (SHARD, TEXT), (PATH, TEXT)),
        *((ROW_GROUP, COUNT), (ROW, COUNT), (N_FRAMES, COUNT)),
    ]
)
QUARANTINE = pa.schema(
    [
        *((TRACK_ID, TEXT), (VERSION, TEXT), (SHARD, TEXT), (STAGE, TEXT), (REASON, TEXT), (MESSAGE, TEXT)),
        *((ATTEMPTS, COUNT), (FIRST_SEEN, TEXT), (LAST_SEEN, TEXT)),
    ]
)
SOURCE_FACTS = pa.schema(
    [
        *((DURATION, REAL), (SAMPLE_RATE, COUNT), (CHANNELS, COUNT)),
        *((DECODER, TEXT), (MISSING, REAL), (FALLBACK, TEXT)),
    ]
)
INDEXED = pa.schema([(TRACK_ID, TEXT)])  # the tracks of the numbers of an index of similar songs

# Scores. Their columns are the fields of the records in evaluation.comparison.cells.
_ANSWER = (("representation", TEXT), ("task", TEXT), ("metric", TEXT))
_TESTED = (("n_songs", COUNT), ("n_classes", COUNT), ("splits", TEXT))
_WHOSE = (("ours", YES_NO), ("simple", YES_NO), ("guess", YES_NO), ("chance", YES_NO))
_INTERVAL = (("mean", REAL), ("sd", REAL), ("low", REAL), ("high", REAL))
CELLS = pa.schema(
    [
        *_ANSWER,
        ("seed", COUNT),
        *_TESTED,
        ("values", _REALS),
        ("draws", _REALS),
        ("alike", REAL),
        *_WHOSE,
    ]
)
GRID = pa.schema([*_ANSWER, ("seed", COUNT), *_TESTED, ("repeat", COUNT), ("value", REAL)])
SUMMARIES = pa.schema([*_ANSWER, *_INTERVAL, *_TESTED, ("models", COUNT), ("alike", REAL), *_WHOSE])
DIFFERENCES = pa.schema(
    [
        *(("representation", TEXT), ("other", TEXT), ("task", TEXT), ("metric", TEXT)),
        *(("mean", REAL), ("low", REAL), ("high", REAL)),
    ]
)
STUDY = pa.schema(  # a row of SUMMARIES at one point of a study
    [
        *(("x", TEXT), ("series", TEXT), ("settings", TEXT)),
        *(("components", REAL), ("heldout", REAL), ("updates", REAL), ("epochs", REAL)),
        *(("representation", TEXT), ("ours", YES_NO), ("guess", YES_NO)),
        *(("task", TEXT), ("metric", TEXT), ("models", _LONG)),
        *_INTERVAL,
    ]
)

# Interpretation.
ASSOCIATIONS = pa.schema(  # the fields of evaluation.interpretation.association.Association
    [
        *(("component", _LONG), ("label", TEXT), ("songs", _LONG), ("lift", REAL)),
        *(("low", REAL), ("high", REAL), ("npmi", REAL), ("p", REAL)),
    ]
)
CLASSES = pa.schema([("task", TEXT), ("class", TEXT), ("component", _LONG), ("weight", REAL)])


def components(features: Sequence[str]) -> pa.Schema:
    """The components of a model's interpretation, of features of these names."""
    names = pa.struct([("label", TEXT), ("heldout_auroc", REAL), ("heldout_npmi", REAL)])
    each = pa.struct([(name, REAL) for name in features])
    counted = [("component", _LONG), ("share", REAL), ("songs", _LONG), ("groups", _LONG)]
    return pa.schema(
        [*counted, ("names", pa.list_(names)), ("holds", pa.list_(TEXT)), ("mean", each), ("sd", each)]
    )


def feature_shard(value: pa.DataType, n_features: int) -> pa.Schema:
    """A song's frames, lists of `n_features` values, and what is known of its file."""
    frames = pa.list_(pa.list_(value, n_features))
    return pa.schema([(TRACK_ID, TEXT), (VERSION, TEXT), (N_FRAMES, COUNT), (FRAMES, frames), *SOURCE_FACTS])


def vector_shard(kinds: Mapping[str, pa.DataType]) -> pa.Schema:
    """A song's vectors: a column of lists for each kind, of its type, and its largest components."""
    return pa.schema(
        [
            *((TRACK_ID, TEXT), (VERSION, TEXT), (N_FRAMES, COUNT)),
            *kinds.items(),
            (LOG_LIKELIHOOD, REAL),
            (TOP_COMPONENTS, pa.list_(pa.int32())),
            (TOP_SHARES, pa.list_(pa.float32())),
        ]
    )


def table_of(schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows as a table. Raises ValueError where one has not exactly the columns of the schema."""
    for row in rows:
        if odd := set(schema.names).symmetric_difference(row):
            raise ValueError(f"a row with other columns than its schema: {', '.join(sorted(odd))}")
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


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


def group_name(tracks: pa.Table) -> str:
    """What the label file calls the groups of a track list, "group" where nothing says it; "" where none is known."""
    if GROUP not in tracks.column_names or tracks[GROUP].null_count == tracks.num_rows:
        return ""
    return json.loads((tracks.schema.metadata or {}).get(b"hdpgmm", b"{}")).get("group") or GROUP
