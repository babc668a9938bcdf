"""What is represented: new feature shards and nothing else, in groups that an interruption does not change."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from infra.root.records import ShardFile, Snapshot
from infra.root.songs import read_songs
from infra.storage.store import Store
from jobs.represent import plan as represent_plan
from jobs.represent.plan import Known, Source, Unit, contents, living, missing, plan, unfinished
from tests.jobs.trees import commit_songs


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> tuple[Snapshot, pa.Table]:
    """Twelve songs in four shards, and the songs by their vectors' shards."""
    root = tmp_path_factory.mktemp("root")
    snapshot = commit_songs(root, [np.full((9, 2), i, np.float32) for i in range(12)], shards=4)
    return snapshot, living(snapshot, read_songs(Store(str(root)), snapshot))


def placed(songs: pa.Table) -> pa.Table:
    """The songs as a snapshot of vectors lists them."""
    n = songs.num_rows
    more = {"path": songs["shard"], **{name: pa.array([0] * n, pa.int32()) for name in ("row_group", "row")}}
    columns = {**dict(zip(songs.column_names, songs.columns, strict=True)), **more}
    return pa.table({**columns, "n_frames": pa.array([9] * n, pa.int32())}, represent_plan.SONGS)


def names(units: list[Unit]) -> list[list[list[str]]]:
    return [[[source.name for source in group] for group in unit.groups] for unit in units]


def test_a_shard_is_named_after_the_features_file(features: tuple[Snapshot, pa.Table]):
    snapshot, songs = features
    files = {Path(shard.path).stem[:24] for shard in snapshot.shards}
    assert {*songs["shard"].to_pylist()} == files
    assert songs["track_id"].to_pylist() == [f"s{i:04}" for i in range(12)]
    assert len({*songs["shard"].to_pylist()[:3]}) == 1


def test_everything_is_missing_at_first_and_nothing_in_the_end(features: tuple[Snapshot, pa.Table]):
    _, songs = features
    assert missing(songs, Known.nothing()) == sorted({*songs["shard"].to_pylist()})
    assert missing(songs, Known(placed(songs), ())) == []
    assert missing(songs.slice(3), Known(placed(songs), ())) == []


def test_a_song_that_is_not_known_or_of_another_version_brings_its_shard(
    features: tuple[Snapshot, pa.Table],
):
    _, songs = features
    shard = songs["shard"][4].as_py()
    without = pa.concat_tables([songs.slice(0, 4), songs.slice(5)])
    assert missing(songs, Known(placed(without), ())) == [shard]
    changed = songs.set_column(1, "version", pa.array(["1"] * 4 + ["2"] + ["1"] * 7))
    assert missing(changed, Known(placed(songs), ())) == [shard]


def test_groups_and_units_are_bounded_and_whole(
    features: tuple[Snapshot, pa.Table], monkeypatch: pytest.MonkeyPatch
):
    snapshot, songs = features
    shards = missing(songs, Known.nothing())
    assert names(plan(snapshot, shards)) == [[[name]] for name in shards]
    monkeypatch.setattr(represent_plan, "SMALL_CORPUS_UNITS", 1)
    assert names(plan(snapshot, shards)) == [[shards]]
    size = max(shard.bytes for shard in snapshot.shards)
    monkeypatch.setattr(represent_plan, "GROUP_BYTES", 2 * size)
    assert names(plan(snapshot, shards)) == [[shards[:2], shards[2:]]]
    monkeypatch.setattr(represent_plan, "UNIT_BYTES", size)
    assert names(plan(snapshot, shards)) == [[shards[:2]], [shards[2:]]]


def test_what_is_left_keeps_its_groups():
    a, b, c, d = (Source(name, name, 3, 1) for name in "abcd")
    units = [Unit(((a, b), (c,))), Unit(((d,),))]
    assert unfinished(units, {"a", "c"}) == [Unit(((a, b),)), Unit(((d,),))]
    assert unfinished(units, {"a", "b", "d"}) == [Unit(((c,),))]
    assert sum(unit.rows for unit in units) == 12


def test_a_snapshot_lists_living_songs_once(features: tuple[Snapshot, pa.Table]):
    """Of a track that came back in a new shard, the row of that shard alone."""
    _, songs = features
    moved = songs.set_column(2, "shard", pa.array(["new"] * 2 + songs["shard"].to_pylist()[2:]))
    found = contents(moved.slice(1), Known(placed(songs), ()), [placed(moved.slice(0, 2))])
    assert found.select(["track_id", "version", "shard"]).equals(moved.slice(1).combine_chunks())
    assert missing(moved, Known(placed(songs), ())) == ["new"]


def test_known_shards_without_a_commit_are_not_known(features: tuple[Snapshot, pa.Table]):
    _, songs = features
    shards = missing(songs, Known.nothing())
    known = Known(placed(songs), tuple(ShardFile(name, "", "", 0, 0, 0) for name in shards)).only(shards[1:])
    assert missing(songs, known) == shards[:1]
    assert [item.shard for item in known.shards] == shards[1:]
