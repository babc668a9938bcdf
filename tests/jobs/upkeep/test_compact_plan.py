"""Which shards compaction replaces, and what becomes of their songs."""

from typing import Any

import pyarrow as pa
import pytest

from infra.config import ExtractConfig
from infra.root.records import ShardFile, Snapshot
from infra.root.schemas import QUARANTINE, SONGS
from jobs.upkeep.compact_plan import Merged, Plan, plan

CONFIG = ExtractConfig(shard_tracks=8, shard_bytes=80_000)  # pyright: ignore[reportCallIssue]
Shards = dict[str, list[str]]  # tracks by shard; BAD ones are quarantined, those in brackets have gone


def made(shards: Shards, row_bytes: int = 1000) -> tuple[Snapshot, pa.Table, pa.Table]:
    songs: list[dict[str, Any]] = []
    quarantine: list[dict[str, Any]] = []
    references = []
    for shard, tracks in shards.items():
        rows = [track for track in tracks if "BAD" not in track]
        path = f"data/{shard}.parquet"
        references.append(ShardFile(shard, path, shard, len(rows), row_bytes * len(rows), len(tracks)))
        place = {"version": "1", "shard": shard}
        songs += [{"track_id": track, **place, "path": path, "row_group": 0, "row": row, "n_frames": 9}
                  for row, track in enumerate(rows) if "(" not in track]  # fmt: skip
        facts = {
            "stage": "extract",
            "reason": "SILENT",
            "message": "",
            "attempts": 1,
            "first_seen": "",
            "last_seen": "",
        }
        quarantine += [{"track_id": track, **place, **facts} for track in tracks if "BAD" in track]
    tables = (
        pa.Table.from_pylist(rows, schema=schema).sort_by("track_id")
        for rows, schema in ((songs, SONGS), (quarantine, QUARANTINE))
    )
    snapshot = Snapshot(1, "", tuple(references), "songs", "quarantine", len(songs), 9, len(quarantine))
    return snapshot, *tables


def planned(shards: Shards, config: ExtractConfig = CONFIG, row_bytes: int = 1000) -> Plan:
    return plan(*made(shards, row_bytes), "f00", config)


def tracks_of(part: Merged) -> list[str]:
    return part.songs["track_id"].to_pylist()


FULL = {"full": [f"f{i}" for i in range(8)]}


def test_small_shards_are_packed_in_the_order_of_their_tracks() -> None:
    found = planned({**FULL, "x": ["c", "a"], "y": ["b"], "z": ["d", "e", "g"]})
    assert found.replaced == ("x", "y", "z")
    (part,) = found.merged
    assert tracks_of(part) == ["a", "b", "c", "d", "e", "g"]
    assert part.songs["row"].to_pylist() == [1, 0, 0, 0, 1, 2]  # where they are now
    assert part.inputs == 6


def test_what_is_packed_already_stays() -> None:
    assert planned(FULL) == Plan()
    assert planned({**FULL, "x": ["a"]}) == Plan()
    assert planned({}) == Plan()


def test_a_shard_whose_songs_have_gone_is_rewritten() -> None:
    found = planned({**FULL, "x": ["a", "(b)", "(c)", "(d)", "e"]})
    assert (found.replaced, [tracks_of(part) for part in found.merged]) == (("x",), [["a", "e"]])


def test_large_songs_fill_a_shard_alone() -> None:
    assert planned({"x": ["a"], "y": ["b"], "z": ["c"]}, row_bytes=50_000) == Plan()
    found = planned({"x": ["a"], "y": ["b"], "z": ["c"]}, row_bytes=30_000)
    assert [tracks_of(part) for part in found.merged] == [["a", "b"], ["c"]]


def test_quarantined_tracks_go_along() -> None:
    found = planned({**FULL, "x": ["a", "BAD-b"], "y": ["BAD-c"], "z": ["d"]})
    (part,) = found.merged
    assert tracks_of(part) == ["a", "d"]
    assert [record["track_id"] for record in part.quarantined] == ["BAD-b", "BAD-c"]
    assert "shard" not in part.quarantined[0]
    assert part.inputs == 4


@pytest.mark.parametrize("other", [{"x": ["a"], "y": ["b", "c"]}, {"x": ["a", "b"], "y": ["d"]}])
def test_a_name_is_of_the_songs_and_their_places(other: Shards) -> None:
    def names(shards: Shards) -> list[str]:
        return [part.name for part in planned({**FULL, **shards}).merged]

    assert names({"x": ["a", "b"], "y": ["c"]}) == names({"x": ["a", "b"], "y": ["c"]})
    assert names({"x": ["a", "b"], "y": ["c"]}) != names(other)
