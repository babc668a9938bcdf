"""What `jobs.represent` has to do, and what a corpus' vectors consist of afterwards: pure functions of tables.

A feature shard never changes, so neither do its vectors: they are a shard of their own, named after the digest of the
feature file. Songs that leave a corpus leave the snapshot, as with features; only new feature shards are computed.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute

from infra.root.records import ShardFile, Snapshot
from infra.root.schemas import SHARD, SONGS, TRACK_ID, VERSION
from infra.root.taken import unused
from jobs.extract.packing import cut

pc: Any = pyarrow.compute  # its functions are made at run time, where a type checker cannot see them

T = TypeVar("T")
NAME_DIGITS = 24  # of the digest
# Feature bytes of the shards whose songs the engine sees side by side: of songs of 30 frames, 2,048 take 0.6 of the
# time of four times 512, and 8,192 take 0.8 of four times 2,048. Units have some groups, to read and write beside.
GROUP_BYTES = 24 << 20
UNIT_BYTES = 48 << 20
SMALL_CORPUS_UNITS = 32


class Source(NamedTuple):
    """A feature shard whose vectors are wanted: `name` is that of their shard, `path` and `rows` are the features'."""

    name: str
    path: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Unit:
    """What one worker does at a time: groups of shards. The songs of a group are inferred together."""

    groups: tuple[tuple[Source, ...], ...]

    @property
    def sources(self) -> list[Source]:
        return [source for group in self.groups for source in group]

    @property
    def rows(self) -> int:
        return sum(source.rows for source in self.sources)


@dataclass(frozen=True)
class Known:
    """The newest snapshot of a corpus' vectors: its songs, schema SONGS, and its references to shards."""

    songs: pa.Table
    shards: tuple[ShardFile, ...]

    @classmethod
    def nothing(cls) -> "Known":
        return cls(SONGS.empty_table(), ())

    def only(self, shards: Collection[str]) -> "Known":
        """What these shards hold."""
        kept = pc.is_in(self.songs[SHARD], pa.array(shards, pa.string()))
        return Known(self.songs.filter(kept), tuple(item for item in self.shards if item.shard in shards))


def vectors_shard(reference: ShardFile, gone: Collection[str] = ()) -> str:
    """The name of the vectors' shard of a feature shard, of which a snapshot says `reference`.

    gone: names among the vectors' shards that `jobs.gc` has taken.
    """
    return unused(reference.digest[:NAME_DIGITS], gone)


def living(features: Snapshot, songs: pa.Table, gone: Collection[str] = ()) -> pa.Table:
    """track_id, version and shard of the features' songs, the shard being that of their vectors."""
    names = {item.shard: vectors_shard(item, gone) for item in features.shards}
    found: Any = songs[SHARD].combine_chunks()
    shards = found.dictionary_encode()
    renamed = pa.array([names[name] for name in shards.dictionary.to_pylist()], pa.string())
    columns = [songs[TRACK_ID], songs[VERSION], renamed.take(shards.indices)]
    return pa.table(columns, [TRACK_ID, VERSION, SHARD])


def missing(songs: pa.Table, known: Known) -> list[str]:
    """Shards with songs of `living` that are not known, sorted."""
    unknown = pc.invert(pc.is_in(_keys(songs), _keys(known.songs)))
    return sorted(songs[SHARD].filter(unknown).unique().to_pylist())


def plan(features: Snapshot, shards: Collection[str], gone: Collection[str] = ()) -> list[Unit]:
    """The units that compute these shards. Which songs meet does not depend on what an interrupted run has left."""
    named = {vectors_shard(item, gone): item for item in features.shards}
    sources = [
        Source(name, *(getattr(named[name], field) for field in Source._fields[1:]))
        for name in sorted(shards)
    ]
    fair = sum(source.bytes for source in sources) // SMALL_CORPUS_UNITS
    groups = _packed(sources, [source.bytes for source in sources], min(GROUP_BYTES, fair))
    sizes = [sum(source.bytes for source in group) for group in groups]
    return [Unit(tuple(unit)) for unit in _packed(groups, sizes, min(UNIT_BYTES, fair))]


def unfinished(units: Iterable[Unit], committed: Collection[str]) -> list[Unit]:
    """What is left of the units: groups of which some shard has no commit."""
    left = [
        Unit(tuple(group for group in unit.groups if any(source.name not in committed for source in group)))
        for unit in units
    ]
    return [unit for unit in left if unit.groups]


def contents(songs: pa.Table, known: Known, new: Iterable[pa.Table]) -> pa.Table:
    """The songs of the next snapshot: of all that is known or new (schema SONGS), those of `living`."""
    table = pa.concat_tables([known.songs, *new])
    return table.filter(pc.is_in(_keys(table), _keys(songs))).sort_by(TRACK_ID).combine_chunks()


def _packed(items: Sequence[T], sizes: Sequence[int], most_bytes: int) -> list[tuple[T, ...]]:
    return [tuple(items[start:stop]) for start, stop in cut(sizes, most_bytes, len(items))]


def _keys(table: pa.Table) -> pa.ChunkedArray:
    """Track, version and shard as one string; none contains a NUL."""
    return pc.binary_join_element_wise(table[TRACK_ID], table[VERSION], table[SHARD], "\0")
