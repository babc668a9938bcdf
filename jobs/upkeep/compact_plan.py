"""What compaction does to a corpus' features: which shards are worth replacing, and by which others. Pure functions."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute

from infra.config import ExtractConfig
from infra.root.records import Snapshot
from infra.root.schemas import ATTEMPTS, PATH, SHARD, TRACK_ID, VERSION
from jobs.extract.packing import cut, fair_tracks

pc: Any = pyarrow.compute  # its functions are made at run time, where a type checker cannot see them

FULL = 0.5  # of a shard's bytes or tracks, from which it is left alone


@dataclass(frozen=True)
class Merged:
    """A shard to be made: its songs (schema SONGS, where they are now) and the quarantine records it takes over."""

    name: str
    songs: pa.Table
    quarantined: tuple[dict[str, Any], ...]

    @property
    def inputs(self) -> int:
        return self.songs.num_rows + len(self.quarantined)


@dataclass(frozen=True)
class Plan:
    """`merged` take the place of the shards `replaced`; none where nothing would be gained."""

    replaced: tuple[str, ...] = ()
    merged: tuple[Merged, ...] = ()


def plan(
    snapshot: Snapshot, songs: pa.Table, quarantine: pa.Table, fingerprint: str, config: ExtractConfig
) -> Plan:
    """Shards of which less than half is used, packed anew in the order of their tracks.

    A shard is used as far as its rows are in the snapshot. songs, quarantine: those of the snapshot.
    """
    most = min(config.shard_tracks, fair_tracks(songs.num_rows + quarantine.num_rows))
    used: dict[str, int] = {}
    for table in (songs, quarantine):
        for count in table[SHARD].value_counts().to_pylist():
            used[count["values"]] = used.get(count["values"], 0) + count["counts"]
    row_bytes = {item.shard: item.bytes / max(item.rows, 1) for item in snapshot.shards}
    small = sorted(
        item.shard
        for item in snapshot.shards
        if used.get(item.shard, 0) < FULL * most
        and used.get(item.shard, 0) * row_bytes[item.shard] < FULL * config.shard_bytes
    )
    chosen = pa.array(small, pa.string())
    moved = songs.filter(pc.is_in(songs[SHARD], chosen))
    records = quarantine.filter(pc.is_in(quarantine[SHARD], chosen)).to_pylist()
    items = sorted(
        [(track, row) for row, track in enumerate(moved[TRACK_ID].to_pylist())]
        + [(record[TRACK_ID], -1 - place) for place, record in enumerate(records)]
    )
    shards = moved[SHARD].to_pylist()
    sizes = [int(row_bytes[shards[row]]) + 1 if row >= 0 else 1 for _, row in items]
    parts = [items[start:stop] for start, stop in cut(sizes, config.shard_bytes, most)]
    dead = sum(item.inputs for item in snapshot.shards if item.shard in set(small)) - len(items)
    if len(parts) >= len(small) and not dead:
        return Plan()
    return Plan(tuple(small), tuple(_merged(part, moved, records, fingerprint) for part in parts))


def _merged(
    part: Sequence[tuple[str, int]], moved: pa.Table, records: Sequence[dict[str, Any]], fingerprint: str
) -> Merged:
    songs = moved.take(pa.array([row for _, row in part if row >= 0], pa.int64()))
    quarantined = tuple(
        {name: value for name, value in records[-1 - row].items() if name != SHARD}
        for _, row in part
        if row < 0
    )
    digest = hashlib.sha256(f"compact\0{fingerprint}".encode())
    for row in songs.select([TRACK_ID, VERSION, PATH]).to_pylist():
        digest.update("\0".join(row.values()).encode() + b"\n")
    for record in quarantined:
        digest.update(f"{record[TRACK_ID]}\0{record[VERSION]}\0{record[ATTEMPTS]}\n".encode())
    return Merged(digest.hexdigest()[:24], songs, quarantined)
