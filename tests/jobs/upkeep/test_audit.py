"""The audit finds what is wrong, and nothing where nothing is."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from infra.config import Config
from infra.errors import ConfigError, Incomplete
from infra.root.ledger import Tree
from infra.root.records import quarantine_table, songs_table
from infra.storage.parquet import decode, encode
from infra.storage.store import Store
from jobs.index import job as index
from jobs.represent.plan import vectors_shard
from jobs.upkeep import audit
from tests.infra.faults import Crash, CrashingStore
from tests.jobs.extract.standin import config_of, extract_inline, write_corpus

TRACKS = {"a.mp3": "ok 2", "b.mp3": "bad SILENT", "c.mp3": "ok 3", "d.mp3": "crash", "e.mp3": "ok 1"}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with features, vectors and a checkpoint, and its music."""
    folder = tmp_path_factory.mktemp("healthy")
    config = config_of(
        str(folder / "root"), write_corpus(str(folder / "music"), TRACKS), "extract.shard_tracks=2"
    )
    extract_inline(config)
    store = Store(config.root)
    write_vectors(store, "m")
    store.write("models/m/step-1.bin", b"weights")
    digest = store.digest("models/m/step-1.bin")
    entry = {"step": 1, "files": {"step-1.bin": digest}, "meta": {}}
    store.write("models/m/index/step-1.json", json.dumps(entry).encode())
    return folder


def write_vectors(store: Store, run: str) -> None:
    """Rows without vectors for the songs of the features."""
    (fingerprint,) = store.names("features")
    features, tree = Tree(store, f"features/{fingerprint}").latest("default"), Tree(store, f"vectors/{run}")
    assert features is not None
    tree.write_spec({"fingerprint": fingerprint})
    commits = []
    for shard in features.shards:
        table = decode(store.read(shard.path)).select(["track_id", "version", "n_frames"])
        if table.num_rows:
            commits.append(tree.commit(vectors_shard(shard), table, [], table.num_rows, [1] * table.num_rows))
    songs = songs_table(commits).sort_by("track_id")
    tree.publish("default", [commit.reference() for commit in commits], songs, quarantine_table([]))


@pytest.fixture
def config(healthy: Path, tmp_path: Path) -> Config:
    shutil.copytree(healthy / "root", tmp_path / "root")
    return config_of(str(tmp_path / "root"), str(healthy / "music"))


def problems(config: Config) -> str:
    return "\n".join(audit.run(config).problems)


def one(config: Config, pattern: str) -> Path:
    return sorted(Path(config.root).glob(pattern))[0]


def test_a_healthy_root(config: Config, capsys: pytest.CaptureFixture[str]):
    result = audit.run(config)
    assert result.problems == ()
    features, vectors = result.accounts
    assert (features.commits, features.inputs, features.rows, features.quarantined) == (3, 5, 3, 2)
    assert vectors.rows == 3
    assert (result.coverage[0].tracks, result.coverage[0].songs, result.checkpoints) == (5, 3, 1)
    audit.print_result(result, Console(soft_wrap=True))
    printed = capsys.readouterr().out
    assert "corpus default: 5 tracks = 3 songs + 2 quarantined" in printed
    assert "SILENT: 1\n    b.mp3: as asked" in printed


def test_exit_codes(config: Config):
    audit.main(root=config.root)
    one(config, "features/*/data/*/*.parquet").unlink()
    with pytest.raises(Incomplete, match=r"1 problems, the first: features/.*is missing"):
        audit.main(root=config.root)


def test_a_flipped_bit(config: Config):
    for pattern in ("features/*/data/*/*.parquet", "vectors/*/data/*/*.parquet", "models/m/step-1.bin"):
        path = one(config, pattern)
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    found = audit.run(config).problems
    assert len(found) == 3
    assert all("another digest" in problem for problem in found)


def test_a_lost_checkpoint_file(config: Config):
    one(config, "models/m/step-1.bin").unlink()
    one(config, "models/m/index/*").with_name("step-2.json").write_text("[1]")
    assert "models/m/step-1.bin: is missing" in problems(config)
    assert "models/m/index/step-2.json: not a checkpoint index entry" in problems(config)


def test_a_lost_commit(config: Config):
    one(config, "features/*/commits/*.json").unlink()
    assert "has no such commit" in problems(config)
    assert "songs are not where their commits say" in problems(config)


def test_a_commit_that_does_not_add_up(config: Config):
    path = one(config, "features/*/commits/*.json")
    commit = json.loads(path.read_text())
    wrong = commit["inputs"] + 1
    path.write_text(json.dumps({**commit, "inputs": wrong}))
    assert f"quarantined are not its {wrong} inputs" in problems(config)


def test_a_damaged_commit(config: Config):
    one(config, "features/*/commits/*.json").write_text("{")
    assert "not a commit (Invalid JSON" in problems(config)


def test_a_snapshot_without_its_table(config: Config):
    one(config, "features/*/snapshots/default/songs-*.parquet").unlink()
    assert "a table is missing or damaged" in problems(config)
    assert "no snapshot of features knows them" in problems(config)


def test_songs_in_the_wrong_place(config: Config):
    path = one(config, "features/*/snapshots/default/songs-*.parquet")
    songs = decode(path.read_bytes())
    moved = songs.set_column(songs.column_names.index("row"), "row", pa.array([9, 9, 9], pa.int32()))
    path.write_bytes(encode(moved, [3]))
    assert "3 songs are not where their commits say" in problems(config)


def test_a_song_listed_twice(config: Config):
    path = one(config, "features/*/snapshots/default/songs-*.parquet")
    songs = decode(path.read_bytes())
    path.write_bytes(encode(pa.concat_tables([songs, songs.slice(0, 1)]), [4]))
    assert "1 tracks of default are listed twice" in problems(config)


def test_songs_without_a_vector_of_their_file(config: Config):
    """Of an older version, or of a feature shard with another digest; a model that knows all is enough."""
    path = one(config, "vectors/*/snapshots/default/songs-*.parquet")
    songs = decode(path.read_bytes())
    older = songs.set_column(1, "version", pa.array(["0", *songs["version"].to_pylist()[1:]]))
    path.write_bytes(encode(older, [3]))
    assert "vectors/m: 1 of 3 songs of default have no vector of their features" in problems(config)
    path.write_bytes(encode(songs.slice(1), [2]))
    assert "vectors/m: 1 of 3 songs of default have no vector of their features" in problems(config)
    write_vectors(Store(config.root), "later")
    assert problems(config) == ""


def test_a_song_with_two_vectors(config: Config):
    path = one(config, "vectors/*/snapshots/default/songs-*.parquet")
    songs = decode(path.read_bytes())
    path.write_bytes(encode(pa.concat_tables([songs, songs.slice(0, 1)]), [4]))
    assert "vectors/m: 1 songs of default have two vectors" in problems(config)


def test_vectors_of_features_that_are_gone(config: Config):
    shutil.rmtree(Path(config.root) / "features")
    assert "vectors/m: the features of default behind its vectors are gone" in problems(config)


def test_tracks_that_nobody_extracted(config: Config, tmp_path: Path):
    music = write_corpus(str(tmp_path / "music"), {**TRACKS, "new.mp3": "ok 1"})
    index.run(config_of(config.root, music))
    assert "6 of 6 tracks are neither songs nor quarantined" in problems(config)


def test_an_unknown_corpus(config: Config):
    index.run(config.model_copy(update={"corpus": "second"}))
    assert "corpus second: 5 tracks, no snapshot of features knows them" in problems(config)


def test_nothing_to_audit(tmp_path: Path):
    with pytest.raises(ConfigError, match="holds no corpus"):
        audit.run(config_of(str(tmp_path), "x"))


@pytest.mark.s3
@pytest.mark.parametrize("applied", [False, True], ids=["before the call", "after it, reply lost"])
def test_a_crash_at_any_storage_call_then_again_then_audit(any_root: str, tmp_path: Path, applied: bool):
    """Kill extraction at its k-th write for every k, run it again: the audit passes, every track once."""
    music = write_corpus(str(tmp_path / "music"), {"a.mp3": "ok 2", "b.mp3": "bad SILENT", "c.mp3": "ok 3"})
    crashes = 0
    while True:
        config = config_of(f"{any_root}/{crashes}", music, "extract.shard_tracks=2")
        try:
            extract_inline(config, CrashingStore(config.root, crashes, applied))
            break
        except Crash:
            crashes += 1
        snapshot = extract_inline(config)
        assert (snapshot.n_songs, snapshot.n_quarantined, snapshot.number) == (2, 1, 1)
        assert audit.run(config).problems == ()
    # spec, twice data and commit, two tables, the snapshot
    assert crashes == 8
