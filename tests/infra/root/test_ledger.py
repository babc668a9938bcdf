"""The commit protocol: what counts, counts once and whole, whoever dies when."""

import json
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from infra.errors import ConfigError, Incomplete, StorageError, TakenOver
from infra.root.lease import Lease
from infra.root.ledger import Tree
from infra.root.records import Commit, Snapshot, quarantine_table, songs_table
from infra.root.schemas import QUARANTINE, SONGS
from infra.root.songs import read_quarantine, read_songs
from infra.root.taken import take
from infra.storage.store import Store
from tests.infra.faults import Crash, CrashingStore

pytestmark = pytest.mark.s3

TEXT = ("track_id", "version")
SHARDS = {"s1": ["a", "b", "c"], "s2": ["d", "BAD"], "s3": ["BAD2"]}


def table_of(tracks: list[str], value: int = 0) -> pa.Table:
    good = [track for track in tracks if not track.startswith("BAD")]
    columns = {"track_id": good, "version": ["1"] * len(good), "n_frames": [value] * len(good)}
    return pa.table(columns, schema=pa.schema({**dict.fromkeys(TEXT, pa.string()), "n_frames": pa.int32()}))


def bad(track: str) -> dict:
    facts = {"stage": "extract", "reason": "NOT_AUDIO", "message": "no", "attempts": 1}
    return {"track_id": track, "version": "1", **facts, "first_seen": "then", "last_seen": "now"}


def commit(tree: Tree, shard: str, value: int = 0) -> Commit:
    tracks = SHARDS[shard]
    table = table_of(tracks, value)
    quarantined = [bad(track) for track in tracks if track.startswith("BAD")]
    groups = [2, table.num_rows - 2] if table.num_rows > 2 else [table.num_rows] * (table.num_rows > 0)
    return tree.commit(shard, table, quarantined, len(tracks), groups)


def publish(tree: Tree, commits: list[Commit]) -> Snapshot:
    songs = songs_table(commits).sort_by("track_id")
    references = [item.reference() for item in commits]
    return tree.publish("default", references, songs, quarantine_table(commits).sort_by("track_id"))


@pytest.fixture
def tree(any_root: str) -> Tree:
    return Tree(Store(any_root), "features/f00")


def test_a_commit_is_read_back(tree: Tree):
    made = commit(tree, "s1")
    assert tree.read_commit("s1") == made
    assert (made.rows, made.inputs, made.bytes) == (3, 3, tree.store.size(made.path))
    assert tree.store.digest(made.path) == made.digest
    assert [(track.track_id, track.row_group, track.row) for track in made.tracks] == [
        ("a", 0, 0),
        ("b", 0, 1),
        ("c", 1, 0),
    ]
    assert tree.read_commits(["none", "s1"]) == {"s1": made}


def test_a_shard_of_bad_tracks_only(tree: Tree):
    made = commit(tree, "s3")
    assert (made.rows, len(made.quarantined), made.tracks) == (0, 1, ())
    assert quarantine_table([made]).to_pylist() == [{**bad("BAD2"), "shard": "s3"}]


def test_rows_and_quarantined_must_be_the_inputs(tree: Tree):
    with pytest.raises(ValueError, match="3 rows \\+ 1 quarantined != 3 inputs"):
        tree.commit("s1", table_of(SHARDS["s1"]), [bad("x")], 3, [3])
    assert tree.read_commits(["s1"]) == {}
    assert tree.store.names("features/f00") == []


def test_the_loser_of_a_race_reads_the_winners_commit(tree: Tree):
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda value: commit(tree, "s1", value), range(6)))
    assert len(set(made)) == 1
    assert tree.read_commit("s1") == made[0]
    assert tree.store.digest(made[0].path) == made[0].digest


def test_a_specification_is_declared_once(tree: Tree):
    with pytest.raises(FileNotFoundError):
        tree.read_spec()
    tree.write_spec({"hop": 512, "names": ("a", "b")})
    tree.write_spec({"names": ["a", "b"], "hop": 512})
    with pytest.raises(ConfigError, match="another specification"):
        tree.write_spec({"hop": 256})
    assert tree.read_spec() == {"hop": 512, "names": ["a", "b"]}


def test_a_snapshot_lists_songs_and_quarantine(tree: Tree):
    assert tree.latest("default") is None
    commits = [commit(tree, shard) for shard in SHARDS]
    snapshot = publish(tree, commits)
    assert tree.latest("default") == snapshot
    assert (snapshot.number, snapshot.n_songs, snapshot.n_quarantined) == (1, 4, 2)
    songs = read_songs(tree.store, snapshot)
    assert songs.schema == SONGS
    assert songs["track_id"].to_pylist() == list("abcd")
    assert read_quarantine(tree.store, snapshot).schema == QUARANTINE
    assert tree.latest("another") is None


def test_the_same_content_is_not_published_twice(tree: Tree):
    commits = [commit(tree, shard) for shard in SHARDS]
    first = publish(tree, commits)
    assert publish(tree, commits[::-1]) == first
    second = publish(tree, commits[:1])
    assert second.number == 2
    assert tree.latest("default") == second
    assert publish(tree, commits).number == 3


def test_two_publishers_at_once(tree: Tree):
    commits = [commit(tree, shard) for shard in SHARDS]
    with ThreadPoolExecutor(6) as pool:
        same = list(pool.map(lambda _: publish(tree, commits), range(3)))
        both = list(pool.map(lambda n: publish(tree, commits[:n]), (1, 2)))
    assert {item.number for item in same} == {1}
    assert sorted(item.number for item in both) == [2, 3]


def test_a_snapshot_made_from_an_older_one_is_refused(tree: Tree):
    one, other = commit(tree, "s1"), commit(tree, "s2")
    first = publish(tree, [one])
    assert publish(tree, [one, other]).number == 2
    songs, quarantine = songs_table([other]).sort_by("track_id"), quarantine_table([other])
    with pytest.raises(Incomplete, match="corpus default changed meanwhile"):
        tree.publish("default", [other.reference()], songs, quarantine, after=first.number)
    assert tree.publish("default", [other.reference()], songs, quarantine, after=2).number == 3


def test_who_was_taken_over_publishes_no_more(tree: Tree):
    """And what it had committed, but not yet made visible, is there when the next one begins."""
    one, other = commit(tree, "s1"), commit(tree, "s2")
    tables = {item.shard: (songs_table([item]), quarantine_table([item])) for item in (one, other)}
    with Lease(tree.store, "runs/x/lease", "the extraction") as first:
        assert tree.publish("default", [one.reference()], *tables["s1"], fence=first.fence).number == 1
        late, paused = first.fence, first._journal.head()
        second = first.hand_over()
        assert paused.effect.create[0][0] == f"{tree.prefix}/snapshots/default/1.json"
        with pytest.raises(TakenOver, match="the extraction was taken over"):
            tree.publish("default", [other.reference()], *tables["s2"], fence=late)
        assert tree.publish("default", [other.reference()], *tables["s2"], fence=second).number == 2
        paused.effect.apply(tree.store)
    newest = tree.latest("default")
    assert newest is not None
    assert (newest.number, [item.shard for item in newest.shards]) == (2, ["s2"])


def test_old_commits_that_are_used_again_become_young(tree: Tree, monkeypatch: pytest.MonkeyPatch):
    before = [commit(tree, shard) for shard in ("s1", "s2")]
    written: list[str] = []
    write = Store.write
    monkeypatch.setattr(
        Store, "write", lambda store, path, data: (written.append(path), write(store, path, data))
    )
    tree.renew(["s1", "s9"])
    assert written == []
    monkeypatch.setattr("infra.root.ledger.RENEW_SECONDS", -60.0)
    tree.renew([])
    tree.renew(["s1", "s9"])
    assert written == ["features/f00/commits/s1.json"]
    assert [tree.read_commit(item.shard) for item in before] == before


def test_names_that_were_taken_are_refused_but_those_of_the_newest_snapshot(tree: Tree):
    one, other = commit(tree, "s1"), commit(tree, "s2")
    first = publish(tree, [one])
    take(tree.store, tree.prefix, ["s1", "s2", first.songs.rpartition("/")[2]])
    assert publish(tree, [one]) == first
    with pytest.raises(Incomplete, match=r"jobs.gc has taken 1 of the shards of corpus default"):
        publish(tree, [one, other])
    assert tree.taken(first) == {"s2"}
    assert publish(tree, [commit(tree, "s3")]).number == 2
    with pytest.raises(Incomplete):
        publish(tree, [one])


def test_a_table_that_was_taken_gets_another_name(tree: Tree):
    one, other = commit(tree, "s1"), commit(tree, "s3")
    first, second = publish(tree, [one]), publish(tree, [other])
    take(tree.store, tree.prefix, [first.songs.rpartition("/")[2]])
    third = publish(tree, [one])
    assert third.songs != first.songs
    assert read_songs(tree.store, third).equals(read_songs(tree.store, first))
    assert third.quarantine not in (second.quarantine, third.songs)


def test_a_fence_takes_a_number_and_changes_nothing(tree: Tree):
    assert tree.fence("default") is None
    assert tree.latest("default") is None
    first = publish(tree, [commit(tree, "s1")])
    assert first.number == 2
    assert tree.fence("default") == first
    assert tree.fence("default") == first
    assert tree.latest("default") == first
    names = [name for name in tree.store.names(f"{tree.prefix}/snapshots/default") if name.endswith(".json")]
    assert names == ["1.json", "2.json", "4.json"]
    songs, quarantine = songs_table([commit(tree, "s3")]), quarantine_table([])
    again = tree.publish("default", [commit(tree, "s3").reference()], songs, quarantine, after=2)
    assert again.number == 5
    assert tree.latest("default") == again


def test_a_snapshot_that_goes_while_it_is_read_is_not_the_newest(tree: Tree, monkeypatch: pytest.MonkeyPatch):
    publish(tree, [commit(tree, "s1")])
    tree.fence("default")
    read, path = Store.read, f"{tree.prefix}/snapshots/default/2.json"

    def late(store: Store, wanted: str) -> bytes:
        if wanted == path:
            monkeypatch.undo()
            tree.fence("default")  # another gc
        return read(store, wanted)

    monkeypatch.setattr(Store, "read", late)
    found = tree.latest("default")
    assert found is not None
    assert found.number == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"shard": 1}', "\xff", '{"tracks": [[1]]}'])
def test_a_damaged_record_is_a_storage_error(tree: Tree, text: str):
    tree.store.write("features/f00/commits/s1.json", text.encode("latin-1"))
    with pytest.raises(StorageError, match=r"s1.json: not"):
        tree.read_commits(["s1"])


def test_a_commit_with_odd_tracks_is_a_storage_error(tree: Tree):
    commit(tree, "s1")
    path = "features/f00/commits/s1.json"
    tree.store.write(path, json.dumps({**json.loads(tree.store.read(path)), "tracks": [[1, 2]]}).encode())
    with pytest.raises(StorageError, match="not a commit"):
        tree.read_commit("s1")


@pytest.mark.parametrize("applied", [False, True], ids=["before the call", "after it, reply lost"])
def test_a_crash_at_any_call_loses_nothing(any_root: str, applied: bool):
    """Kill the job at its k-th write, for every k; another run must end with the same content."""

    def job(store: Store) -> Snapshot:
        tree = Tree(store, "features/f00")
        tree.write_spec({"hop": 512})
        found = tree.read_commits(SHARDS)
        commits = [found.get(shard) or commit(tree, shard) for shard in SHARDS]
        return publish(tree, commits)

    expected = job(Store(f"{any_root}/whole"))
    crashes = 0
    while True:
        root = f"{any_root}/{crashes}"
        try:
            job(CrashingStore(root, crashes, applied))
            break
        except Crash:
            crashes += 1
        snapshot = job(Store(root))
        assert snapshot == expected
        for shard in snapshot.shards:
            assert Store(root).digest(shard.path) == shard.digest
    # spec, three times data and commit, two tables, the snapshot
    assert crashes == 10
