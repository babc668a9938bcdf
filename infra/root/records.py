"""The records of the commit protocol: shards, commits and snapshots, as objects and as JSON."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, NamedTuple, TypeVar

import pyarrow as pa
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from infra.errors import StorageError
from infra.root.schemas import N_FRAMES, PATH, QUARANTINE, SHARD, SONGS, TRACK_ID, VERSION

Count = Annotated[int, Field(ge=0, lt=1 << 31)]
Size = Annotated[int, Field(ge=0, lt=1 << 63)]
STRICT = ConfigDict(strict=True, extra="forbid")
T = TypeVar("T")


class Quarantined(TypedDict):
    """A row of QUARANTINE without its shard."""

    __pydantic_config__ = STRICT  # pyright: ignore
    track_id: str
    version: str
    stage: str
    reason: str
    message: str
    attempts: Count
    first_seen: str
    last_seen: str


class Placed(NamedTuple):
    """Where a track's row is: `row` counts inside the row group."""

    track_id: str
    version: str
    n_frames: Count
    row_group: Count
    row: Count


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A shard as snapshots name it. `path` is relative to the root, `bytes` the size of the file."""

    shard: str
    path: str
    digest: str
    rows: Count
    bytes: Size
    inputs: Count

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class Commit:
    """The record that makes a shard count."""

    shard: str
    path: str
    digest: str
    rows: Count
    bytes: Size
    inputs: Count
    quarantined: tuple[Quarantined, ...]
    tracks: tuple[Placed, ...]

    __pydantic_config__ = STRICT

    def reference(self) -> ShardFile:
        """What a snapshot says about the shard."""
        return ShardFile(self.shard, self.path, self.digest, self.rows, self.bytes, self.inputs)


@dataclass(frozen=True)
class Snapshot:
    """What a corpus consists of. `songs` and `quarantine` are paths of tables, relative to the root."""

    number: Count
    digest: str
    shards: tuple[ShardFile, ...]
    songs: str
    quarantine: str
    n_songs: Size
    n_frames: Size
    n_quarantined: Size

    __pydantic_config__ = STRICT


COMMIT, SNAPSHOT = TypeAdapter(Commit), TypeAdapter(Snapshot)


def as_json(record: Any) -> bytes:
    """A record, or a tree of plain values, with its keys sorted."""
    tree = record if isinstance(record, dict) else asdict(record)
    return json.dumps(tree, sort_keys=True, ensure_ascii=False).encode()


def from_json(adapter: TypeAdapter[T], data: bytes, uri: str, kind: str) -> T:
    """The record that was read at `uri`, every field of the type that it is written with. Raises StorageError."""
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise StorageError(f"{uri}: not a {kind} ({place + ': ' if place else ''}{first['msg']})") from None


def songs_table(commits: Iterable[Commit]) -> pa.Table:
    """The songs of these commits, one row each, in the order of the commits; schema SONGS."""
    columns: dict[str, list[Any]] = {name: [] for name in SONGS.names}
    for commit in commits:
        for placed in commit.tracks:
            for name, value in placed._asdict().items():
                columns[name].append(value)
        columns[SHARD] += [commit.shard] * len(commit.tracks)
        columns[PATH] += [commit.path] * len(commit.tracks)
    return pa.table(columns, schema=SONGS)


def quarantine_table(commits: Iterable[Commit]) -> pa.Table:
    """The quarantined inputs of these commits, one row each; schema QUARANTINE."""
    records = [{**record, SHARD: commit.shard} for commit in commits for record in commit.quarantined]
    return pa.Table.from_pylist(records, schema=QUARANTINE)


def placed(table: pa.Table, row_group_rows: Sequence[int]) -> tuple[Placed, ...]:
    """Where each row of a table is, cut into row groups of so many rows."""
    positions = [(group, row) for group, rows in enumerate(row_group_rows) for row in range(rows)]
    columns = (table[name].to_pylist() for name in (TRACK_ID, VERSION, N_FRAMES))
    return tuple(Placed(*values, *position) for *values, position in zip(*columns, positions, strict=True))
