"""The arithmetic of coverage."""

import pyarrow as pa

from infra.config import ExtractConfig
from infra.root.records import Commit, Placed
from jobs.extract.plan import Covered, contents, pending, plan, reasons

CONFIG = ExtractConfig(shard_tracks=8)  # pyright: ignore[reportCallIssue]


def tracks_of(**versions: str) -> pa.Table:
    columns = {"track_id": list(versions), "uri": list(versions), "bytes": [10**6] * len(versions)}
    return pa.table({**columns, "version": list(versions.values())})


def commit_of(shard: str, songs: dict[str, str], bad: dict[str, str]) -> Commit:
    facts = {"stage": "extract", "reason": "SILENT", "message": "", "attempts": 1}
    seen = {"first_seen": "", "last_seen": ""}
    records = tuple({"track_id": name, "version": version, **facts, **seen} for name, version in bad.items())
    placed = tuple(Placed(name, version, 5, 0, row) for row, (name, version) in enumerate(songs.items()))
    return Commit(shard, f"data/{shard}", "d", len(songs), 1, len(songs) + len(bad), records, placed)


def covered_by(tracks: pa.Table, *commits: Commit) -> Covered:
    result = contents(tracks, Covered.nothing(), commits)
    return Covered(result.songs, result.quarantine, result.shards)


OLD = tracks_of(a="1", b="1", c="1", d="1")
COVERED = covered_by(OLD, commit_of("s1", {"a": "1", "b": "1"}, {"c": "1"}), commit_of("s2", {"d": "1"}, {}))


def test_everything_is_pending_at_first_and_nothing_at_last():
    assert pending(OLD, Covered.nothing()).equals(OLD)
    assert pending(OLD, COVERED).num_rows == 0
    assert plan(OLD, COVERED, "f", float, CONFIG) == []


def test_new_and_changed_tracks_are_pending():
    now = tracks_of(a="2", b="1", c="2", e="1")
    assert pending(now, COVERED)["track_id"].to_pylist() == ["a", "c", "e"]


def test_contents_follow_the_track_list():
    now = tracks_of(a="2", b="1", c="2", e="1")
    result = contents(now, COVERED, [commit_of("s3", {"a": "2", "c": "2"}, {"e": "1"})])
    songs = [(row["track_id"], row["version"], row["shard"], row["row"]) for row in result.songs.to_pylist()]
    assert songs == [("a", "2", "s3", 0), ("b", "1", "s1", 1), ("c", "2", "s3", 1)]
    assert result.quarantine["track_id"].to_pylist() == ["e"]
    # s2 held only the removed d
    assert {shard.shard for shard in result.shards} == {"s1", "s3"}


def test_a_shard_of_quarantined_tracks_stays_listed():
    result = contents(tracks_of(x="1"), Covered.nothing(), [commit_of("s9", {}, {"x": "1"})])
    assert [shard.shard for shard in result.shards] == ["s9"]
    assert reasons(result.quarantine) == {"SILENT": 1}


def test_the_plan_has_the_tracks_of_the_list():
    (shard,) = plan(OLD, Covered.nothing(), "f", lambda seconds: 100 * seconds, CONFIG)
    assert [(track.track_id, track.bytes, track.version) for track in shard.tracks] == [
        (name, 10**6, "1") for name in "abcd"
    ]


def test_ids_and_versions_do_not_run_into_each_other():
    assert (
        pending(tracks_of(ab="c"), covered_by(tracks_of(a="bc"), commit_of("s", {"a": "bc"}, {}))).num_rows
        == 1
    )


def test_what_is_retried_is_a_shard_of_its_own_each_time():
    again = COVERED.without(["SILENT", "EMPTY"])
    (shard,) = plan(OLD, again, "f", lambda seconds: 100 * seconds, CONFIG)
    assert [track[:4] for track in shard.tracks] == [("c", "c", 10**6, "1")]
    assert shard.tracks[0].attempts == 1
    first = plan(tracks_of(c="1"), Covered.nothing(), "f", lambda seconds: 100 * seconds, CONFIG)[0]
    assert shard.name != first.name
    assert plan(OLD, COVERED.without(["EMPTY"]), "f", lambda seconds: 100 * seconds, CONFIG) == []
    found = contents(OLD, again, [commit_of("s3", {"c": "1"}, {})])
    assert (found.songs["track_id"].to_pylist(), found.quarantine.num_rows) == (["a", "b", "c", "d"], 0)
