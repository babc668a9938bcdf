"""What extraction has to do, and what a corpus consists of afterwards: pure functions of tables and commits."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute

from infra.config import ExtractConfig
from infra.root.records import Commit, ShardFile, quarantine_table, songs_table
from infra.root.schemas import (
    ATTEMPTS,
    BYTES,
    FIRST_SEEN,
    QUARANTINE,
    REASON,
    SHARD,
    SONGS,
    TRACK_ID,
    URI,
    VERSION,
)
from jobs.extract.packing import Shard, Track, pack

pc: Any = pyarrow.compute  # its functions are made at run time, where a type checker cannot see them


@dataclass(frozen=True)
class Covered:
    """Tracks that need no work: the rows of a snapshot. `shards` are its references.

    `retried` are rows of its quarantine that were taken out, to be tried again; the last row of a track counts.
    """

    songs: pa.Table
    quarantine: pa.Table
    shards: tuple[ShardFile, ...]
    retried: pa.Table = field(default_factory=QUARANTINE.empty_table)

    @classmethod
    def nothing(cls) -> "Covered":
        return cls(SONGS.empty_table(), QUARANTINE.empty_table(), ())

    def without(self, reasons: Collection[str]) -> "Covered":
        """Tracks quarantined for one of these reasons are no longer covered."""
        again = pc.is_in(self.quarantine[REASON], pa.array(reasons, pa.string()))
        kept = self.quarantine.filter(pc.invert(again))
        retried = pa.concat_tables([self.retried, self.quarantine.filter(again)])
        return replace(self, quarantine=kept, retried=retried)


@dataclass(frozen=True)
class Contents:
    """What `Tree.publish` takes."""

    shards: tuple[ShardFile, ...]
    songs: pa.Table
    quarantine: pa.Table


def pending(tracks: pa.Table, covered: Covered) -> pa.Table:
    """The rows of the track list whose track and version are not covered."""
    known = pa.chunked_array([*_keys(covered.songs).chunks, *_keys(covered.quarantine).chunks], pa.string())
    return tracks.filter(pc.invert(pc.is_in(_keys(tracks), known)))


def plan(
    tracks: pa.Table,
    covered: Covered,
    fingerprint: str,
    feature_bytes: Callable[[float], float],
    config: ExtractConfig,
) -> list[Shard]:
    """The shards of what is pending of a track list; `feature_bytes` of a track by its seconds."""
    history = ((row[TRACK_ID], row[VERSION], row) for row in covered.retried.to_pylist())
    tried = {(name, version): (row[ATTEMPTS], row[FIRST_SEEN]) for name, version, row in history}
    wanted = pending(tracks, covered)
    columns = [wanted[name].to_pylist() for name in (TRACK_ID, URI, BYTES, VERSION)]
    listed = (Track(*row, *tried.get((row[0], row[3]), ())) for row in zip(*columns, strict=True))
    return pack(listed, fingerprint, feature_bytes, config.shard_bytes, config.shard_tracks)


def contents(tracks: pa.Table, covered: Covered, commits: Iterable[Commit]) -> Contents:
    """What the corpus consists of: of all that was ever extracted, the tracks that are in the track list now."""
    new = list(commits)
    songs = pa.concat_tables([covered.songs, songs_table(new)])
    quarantine = pa.concat_tables([covered.quarantine, quarantine_table(new)])
    songs, quarantine = (_living(table, tracks) for table in (songs, quarantine))
    used = {*songs[SHARD].unique().to_pylist(), *quarantine[SHARD].unique().to_pylist()}
    references = [*covered.shards, *(commit.reference() for commit in new)]
    shards = {item.shard: item for item in references if item.shard in used}
    return Contents(tuple(shards.values()), songs, quarantine)


def reasons(quarantine: pa.Table) -> Counter[str]:
    """How many tracks are quarantined for each reason."""
    return Counter(quarantine[REASON].to_pylist())


def _living(table: pa.Table, tracks: pa.Table) -> pa.Table:
    kept = table.filter(pc.is_in(_keys(table), _keys(tracks)))
    return kept.sort_by(TRACK_ID).combine_chunks()


def _keys(table: pa.Table) -> pa.ChunkedArray:
    """Track and version as one string; neither contains a NUL."""
    return pc.binary_join_element_wise(table[TRACK_ID], table[VERSION], "\0")
