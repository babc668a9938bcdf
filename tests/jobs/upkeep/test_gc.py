"""What goes and what stays, by age and by who reads it; local and in S3."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evaluation.comparison.cells import Summary
from infra.errors import ConfigError
from infra.root import layout, models
from infra.root.checkpoints import Checkpoints
from infra.root.ledger import Tree
from infra.root.records import Commit, ShardFile, quarantine_table, songs_table
from infra.root.taken import take
from infra.storage.local import Entry
from infra.storage.store import Store
from jobs.evaluate.grid import encode_rows
from jobs.extract import work as extract_work
from jobs.represent.plan import vectors_shard
from jobs.train.job import find_model
from jobs.upkeep import compact, garbage, gc
from tests.bench.resilience import gc_races

pytestmark = pytest.mark.s3


def commit(tree: Tree, shard: str, tracks: str) -> Commit:
    columns = {
        "track_id": [*tracks],
        "version": ["1"] * len(tracks),
        "n_frames": pa.array([3] * len(tracks), pa.int32()),
    }
    return tree.commit(shard, pa.table(columns), [], len(tracks), [len(tracks)])


def publish(tree: Tree, *commits: Commit) -> None:
    songs = songs_table(commits).sort_by("track_id")
    tree.publish("default", [item.reference() for item in commits], songs, quarantine_table(commits))


@pytest.fixture
def store(any_root: str) -> Store:
    store = Store(any_root)
    store.write("corpus/default/tracks.parquet", b"")
    return store


def reasons(found: list[garbage.Garbage]) -> dict[str, str]:
    return {item.path.partition("/")[2]: item.reason for item in found}


def test_what_a_newer_snapshot_replaced_goes_and_what_lost_a_race(store: Store) -> None:
    tree = Tree(store, "features/f00")
    one, two, three = (commit(tree, f"s{i}", tracks) for i, tracks in enumerate(("ab", "cd", "ef")))
    lost = f"{tree.prefix}/data/s1/{'0' * 64}.parquet"
    store.write(lost, b"other bytes of the same tracks")
    publish(tree, one, two)
    first = tree.latest("default")
    assert first is not None
    publish(tree, two, three)
    found = reasons(gc.run(store.root, -60.0))
    assert found == {
        "f00/snapshots/default/1.json": garbage.SNAPSHOT,
        "f00/commits/s0.json": garbage.COMMIT,
        one.path.partition("/")[2]: garbage.DATA,
        lost.partition("/")[2]: garbage.DATA,
        first.songs.partition("/")[2]: garbage.TABLE,
    }
    assert gc.run(store.root, 3600.0) == []
    assert reasons(gc.run(store.root, -60.0, keep=2)) == {lost.partition("/")[2]: garbage.DATA}
    gc.run(store.root, -60.0, delete=True)
    assert gc.run(store.root, -60.0) == []
    assert tree.read_commits(["s0", "s1", "s2"]).keys() == {"s1", "s2"}
    assert store.exists(two.path)
    assert not store.exists(lost)


def test_what_was_the_newest_of_late_stays_with_its_shards(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that began before may still publish with them."""
    tree = Tree(store, "features/f00")
    one, two = commit(tree, "s0", "ab"), commit(tree, "s1", "cd")
    publish(tree, one)
    publish(tree, two)
    ages = {"1.json": 900.0, "2.json": 5.0}
    walk = Store.walk

    def aged(self: Store, prefix: str) -> list[Entry]:
        return [
            entry._replace(age=ages.get(entry.path.rpartition("/")[2], 900.0)) for entry in walk(self, prefix)
        ]

    monkeypatch.setattr(Store, "walk", aged)
    assert gc.run(store.root, 60.0) == []
    ages["2.json"] = 100.0
    assert set(reasons(gc.run(store.root, 60.0)).values()) == {
        garbage.SNAPSHOT,
        garbage.COMMIT,
        garbage.DATA,
        garbage.TABLE,
    }
    ages["s0.json"] = 5.0  # taken up again
    assert set(reasons(gc.run(store.root, 60.0)).values()) == {garbage.SNAPSHOT, garbage.TABLE}


def test_a_first_run_that_has_not_published_keeps_everything(store: Store) -> None:
    commit(Tree(store, "features/f00"), "s0", "ab")
    assert gc.run(store.root, -60.0) == []


def test_of_a_model_the_checkpoint_that_it_is_stays_and_the_songs_it_knows(store: Store) -> None:
    tree = Tree(store, "features/f00")
    publish(tree, commit(tree, "s0", "ab"))
    first = tree.latest("default")
    assert first is not None
    publish(tree, commit(tree, "s0", "ab"), commit(tree, "s1", "cd"))
    for step in (10, 20):
        for path in (f"models/m/step-{step:08d}.safetensors", f"models/m/index/step-{step:08d}.json"):
            store.write(path, b"{}")
    unread = {"f00/snapshots/default/1.json", first.songs.partition("/")[2]}
    assert reasons(gc.run(store.root, -60.0)).keys() == unread
    provenance = {"songs": first.songs.rpartition("/")[2]}
    store.write("models/m/final.json", json.dumps(
        {"run": "m", "step": 10, "finished": "now", "provenance": provenance}).encode())  # fmt: skip
    assert models.find(store, "m") is not None
    assert reasons(gc.run(store.root, -60.0)) == {
        "f00/snapshots/default/1.json": garbage.SNAPSHOT,
        "m/step-00000020.safetensors": garbage.CHECKPOINT,
        "m/index/step-00000020.json": garbage.CHECKPOINT,
    }


def test_moments_and_answers_of_what_is_superseded_go(store: Store) -> None:
    tree = Tree(store, "features/f00")
    one, two = commit(tree, "s0", "ab"), commit(tree, "s1", "cd")
    publish(tree, one)
    first = tree.latest("default")
    publish(tree, one, two)
    newest = tree.latest("default")
    assert first is not None
    assert newest is not None
    for key, songs in (("old", first.songs), ("new", newest.songs)):
        kept = Checkpoints(store, f"features/f00/moments/{key}")
        kept.save(0, {"count": np.array(3)}, {"songs": songs.rpartition("/")[2]}, keep=1)
    Checkpoints(store, "features/f00/moments/unnamed").save(0, {"count": np.array(3)}, {}, keep=1)
    used, unused = "scores/cells/0a.parquet", "scores/cells/0b.parquet"
    for path in (used, unused):
        store.write(path, b"cells")
    about = {b"hdpgmm": json.dumps({"key": "k", "notes": [], "cells": [used]}).encode()}
    store.write(layout.scores("m", layout.SUMMARY), encode_rows(Summary, [], about))
    store.write("scores/half/grid.parquet", b"its summary is not there yet")
    for name in ("m", "half", "older"):
        store.write(f"models/{name}/lease.json", b"{}")
    older = encode_rows(Summary, [], {b"hdpgmm": b'{"key": "k", "notes": []}'})
    store.write(layout.scores("older", layout.SUMMARY), older)  # does not say of which cells it is
    assert garbage.CELL not in reasons(gc.run(store.root, -60.0)).values()
    store.delete(layout.scores("older", layout.SUMMARY))
    found = reasons(gc.run(store.root, -60.0, delete=True))
    assert {path: reason for path, reason in found.items() if reason in (garbage.MOMENTS, garbage.CELL)} == {
        "f00/moments/old/index/step-00000000.json": garbage.MOMENTS,
        "f00/moments/old/step-00000000.safetensors": garbage.MOMENTS,
        "cells/0b.parquet": garbage.CELL,
    }
    assert gc.run(store.root, -60.0) == []
    assert store.exists(used)


def finish(store: Store, run: str, songs: str, finished: str, **settings: object) -> None:
    """A finished model with vectors, scores, an index and an interpretation."""
    provenance = {"songs": songs, "fingerprint": "f00", "seed": 0, **settings}
    for path in (f"models/{run}/step-00000001.safetensors", f"similar/{run}/log/about.json",
                 f"interpretation/{run}/summary.json", f"scores/{run}/grid.parquet"):  # fmt: skip
        store.write(path, b"{}")
    tree = Tree(store, f"vectors/{run}")
    publish(tree, commit(tree, "v0", "ab"))
    final = {"run": run, "step": 1, "finished": finished, "provenance": provenance}
    store.write(f"models/{run}/final.json", json.dumps(final).encode())


@pytest.fixture
def trained(tmp_path: Path) -> Store:
    """A root of its own, on the disk."""
    return train(Store(str(tmp_path / "trained")))


def train(store: Store) -> Store:
    """Two corpora; models old and new of the first, one of another seed, one of other settings, one of the second.

    The track list has grown since the old ones, and with it what is known of whose songs are whose.
    """
    store.write("corpus/default/tracks.parquet", b"")
    tree, names = Tree(store, "features/f00"), {}
    one, two, three = (commit(tree, f"s{i}", tracks) for i, tracks in enumerate(("ab", "cd", "ef")))
    for which, commits in {"old": (one,), "new": (one, two)}.items():
        publish(tree, *commits)
        found = tree.latest("default")
        assert found is not None
        names[which] = found.songs.rpartition("/")[2]
    other = tree.publish("other", [three.reference()], songs_table([three]), quarantine_table([]))
    finish(store, "old", names["old"], "2026-01-01", groups="a")
    finish(store, "sibling", names["old"], "2026-01-02", groups="a", seed=1)
    finish(store, "new", names["new"], "2026-02-01", groups="b")
    finish(store, "settings", names["old"], "2026-01-01", n_components=8)
    finish(store, "corpus", other.songs.rpartition("/")[2], "2026-01-01")
    return store


def models_gone(found: list[garbage.Garbage]) -> set[str]:
    return {item.name for item in found if item.reason == garbage.MODEL}


def test_a_superseded_model_goes_with_all_that_was_made_with_it(store: Store) -> None:
    trained = train(store)
    assert models_gone(gc.run(trained.root, 3600.0)) == set()
    assert models_gone(gc.run(trained.root, -60.0, keep=2)) == set()
    found = gc.run(trained.root, -60.0)
    assert models_gone(found) == {"old", "sibling"}
    made = {item.path.partition("/")[0] for item in found if item.name == "old"}
    assert made == {"models", "vectors", "scores", "similar", "interpretation"}
    deleted = gc.run(trained.root, -60.0, delete=True)
    assert models_gone(deleted) == {"old", "sibling"}
    for kind in ("models", "vectors", "scores", "similar", "interpretation"):
        assert {e.path.split("/")[1] for e in trained.walk(kind)} == {"new", "settings", "corpus"}
    assert not models.claim(trained, "old")
    with pytest.raises(ConfigError, match="no finished model of that name"):
        models.choose(trained, "old")
    assert models.choose(trained, None).run == "new"


def test_models_that_a_study_or_the_report_is_about_stay(trained: Store) -> None:
    study = {"name": "n", "corpus": "default"}
    trained.write("sweeps/a/about.json", json.dumps(study).encode())  # of before: does not say which
    assert models_gone(gc.run(trained.root, -60.0)) == set()
    trained.write("sweeps/a/about.json", json.dumps({**study, "models": ["new"]}).encode())
    assert models_gone(gc.run(trained.root, -60.0)) == {"old", "sibling"}
    trained.write("sweeps/a/about.json", json.dumps({**study, "models": ["sibling"]}).encode())
    assert models_gone(gc.run(trained.root, -60.0)) == set()  # they are scored together
    trained.delete("sweeps/a/about.json")
    trained.write("report/index.html", b'<footer class="page small soft">Model old, corpus default. Made')
    assert models_gone(gc.run(trained.root, -60.0)) == set()
    trained.write("report/index.html", b"something else")
    assert models_gone(gc.run(trained.root, -60.0)) == set()


def aged(monkeypatch: pytest.MonkeyPatch, ages: dict[str, float], otherwise: float) -> None:
    walk = Store.walk

    def listed(self: Store, prefix: str) -> list[Entry]:
        return [entry._replace(age=ages.get(entry.path, otherwise)) for entry in walk(self, prefix)]

    monkeypatch.setattr(Store, "walk", listed)


def test_a_model_in_use_stays(trained: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ages = {"scores/old/grid.parquet": 5.0}
    aged(monkeypatch, ages, 100_000.0)
    assert models_gone(gc.run(trained.root, 60.0)) == {"sibling"}
    assert models.claim(trained, "sibling")
    assert trained.exists("models/sibling/used.json")
    ages["models/sibling/used.json"] = 5.0
    assert models_gone(gc.run(trained.root, 60.0)) == set()
    ages.clear()
    ages["models/new/final.json"] = 5.0  # it supersedes the others since a moment
    assert models_gone(gc.run(trained.root, 60.0)) == set()


def test_a_model_that_is_used_after_its_name_was_taken(
    trained: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever claims it before the last look keeps it, whoever comes later is told."""
    fence, claims = gc.fence, []
    ages: dict[str, float] = {}
    aged(monkeypatch, ages, 100_000.0)

    def late(tree: Tree) -> None:
        claims.extend(models.claim(trained, run) for run in ("old", "settings"))
        ages["models/old/used.json"] = 5.0
        fence(tree)

    trained.write("features/f00/data/s9/0.parquet", b"an orphan, so that a tree is fenced")
    monkeypatch.setattr(gc, "fence", late)
    assert models_gone(gc.run(trained.root, 60.0, delete=True)) == {"sibling"}
    assert claims == [False, True]  # of old, although it stays: it was certain of it only later
    assert models.claim(trained, "old")
    assert models.find(trained, "old") is not None


def test_what_is_taken_is_no_model_even_if_its_files_are_there(trained: Store) -> None:
    """gc died before it deleted them; the next one deletes them at once, however young they are."""
    take(trained, models.PLACE, ["new"])
    assert models.choose(trained, None).run == "sibling"
    assert "new" not in {final.run for final in models.finished(trained)}
    with pytest.raises(ConfigError, match="no finished model of that name"):
        models.choose(trained, "new")
    assert models_gone(gc.run(trained.root, 3600.0, delete=True)) == {"new"}
    assert list(trained.walk("models/new")) == list(trained.walk("vectors/new")) == []


def test_planners_use_no_name_that_was_taken(tmp_path: Path) -> None:
    """Of a training, an extraction, a compaction and vectors: the same songs under another name, always the same."""
    config, store = gc_races.config_of(str(tmp_path)), Store(str(tmp_path))
    gc_races.write_tracks(store, dict.fromkeys(["t001", "t002", "t003"], 1))
    work = extract_work.prepare(config)
    (shard,) = work.shards
    take(store, work.tree.prefix, [shard.name])
    (again,) = extract_work.prepare(config).shards
    assert again.name != shard.name
    assert again == extract_work.prepare(config).shards[0] == shard._replace(name=again.name)

    found = find_model(store, {"songs": "s", "seed": 0})
    take(store, models.PLACE, [found[0]])
    assert find_model(store, {"songs": "s", "seed": 0})[0] not in (found[0], "")

    reference = ShardFile("s", "", "0123456789" * 6, 0, 0, 0)
    name = vectors_shard(reference)
    assert vectors_shard(reference, {name}) == vectors_shard(reference, {name, "x"}) != name

    tree = Tree(store, work.tree.prefix)
    small = [commit(tree, f"c{track}", track) for track in "abc"]
    publish(tree, *small)
    (part,) = compact.prepare(config).todo.merged
    take(store, work.tree.prefix, [part.name])
    (other,) = compact.prepare(config).todo.merged
    assert other.name != part.name


def test_a_training_keeps_what_it_reads_until_it_is_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(store, "features/f00")
    publish(tree, commit(tree, "s0", "ab"))
    first = tree.latest("default")
    assert first is not None
    provenance = {"songs": first.songs.rpartition("/")[2], "fingerprint": "f00"}
    Checkpoints(store, "models/m").save(1, {"count": np.array(3)}, {"provenance": provenance}, keep=1)
    ages = dict.fromkeys((entry.path for entry in store.walk("models/m")), 5.0)
    aged(monkeypatch, ages, 100.0)
    publish(tree, commit(tree, "s1", "cd"))
    assert gc.run(store.root, 60.0) == []
    ages.clear()
    found = gc.run(store.root, 60.0, delete=True)
    assert {item.reason for item in found} == {garbage.MODEL, garbage.SNAPSHOT, garbage.COMMIT, garbage.DATA}
    assert {item.reason for item in gc.run(store.root, 60.0)} == {garbage.TABLE}  # nobody was trained on it


def test_what_was_marked_goes_after_the_wait_and_what_was_written_again_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(store, "features/f00")
    one, two, three = (commit(tree, f"s{i}", tracks) for i, tracks in enumerate(("ab", "cd", "ef")))
    publish(tree, one, two)
    publish(tree, three)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:
            raise KeyboardInterrupt
        threading.Event().wait(1.1)  # S3's times are of whole seconds
        tree.store.write("features/f00/commits/s0.json", store.read("features/f00/commits/s0.json"))

    monkeypatch.setattr("jobs.upkeep.gc.time.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        gc.run(store.root, -60.0, delete=True, wait=600.0)
    assert len(store.names(layout.marks())) == 1
    assert tree.read_commits(["s0", "s1"]).keys() == {"s0", "s1"}
    gc.run(store.root, -60.0, delete=True, wait=600.0)  # goes on: waits the rest
    assert 500.0 < slept[1] < 600.0
    assert tree.read_commits(["s0", "s1"]).keys() == {"s0"}
    assert store.exists(one.path)
    assert store.names(layout.marks()) == []
    assert tree.taken() >= {"s1"}
    assert "s0" not in tree.taken()


def test_files_of_writers_that_died_go(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("corpus/default/tracks.parquet", b"")
    for folder in ("models/m", "features/f00/data/s0"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / ".tmp-0a").write_bytes(b"half")
        (tmp_path / folder / ".tmp-0b").write_bytes(b"of a writer that lives")
        os.utime(tmp_path / folder / ".tmp-0a", (0, 0))
    found = gc.run(str(tmp_path), -60.0)
    assert {item.path for item in found} == {"models/m/.tmp-0a", "features/f00/data/s0/.tmp-0a"}
    assert {item.reason for item in found} == {garbage.LEFT}


def test_wrong_requests_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no corpus"):
        gc.run(str(tmp_path), 0.0)
    Store(str(tmp_path)).write("corpus/default/tracks.parquet", b"")
    with pytest.raises(ConfigError, match="--keep 0: expected 1 or more"):
        gc.run(str(tmp_path), 0.0, keep=0)


def test_a_list_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gc.show([garbage.Garbage("features/f/commits/s.json", 2_000_000, garbage.COMMIT)], deleted=False)
    out = capsys.readouterr().out
    assert "features/f/commits/s.json" in out
    assert "2.0" in out
    assert "nothing was deleted; --delete does it" in out
    gc.show([], deleted=False)
    assert "nothing to do" in capsys.readouterr().out


def test_a_copied_model_is_superseded_by_newer_ones_of_the_corpus_it_was_trained_on(store: Store) -> None:
    """Of another corpus, or of another root, none is newer; nor is one that was trained here."""
    publish(Tree(store, "features/f00"), commit(Tree(store, "features/f00"), "s0", "ab"))
    origins = {
        "old": ("/a", "x"),
        "new": ("/a", "x"),
        "corpus": ("/a", "y"),
        "root": ("/b", "x"),
        "here": None,
    }
    for day, (run, origin) in enumerate(origins.items()):
        finish(store, run, f"songs-{run}.parquet", f"2026-01-0{day + 1}")
        if origin:
            final = json.loads(store.read(f"models/{run}/final.json"))
            final["origin"] = dict(zip(("root", "corpus"), origin, strict=True))
            store.write(f"models/{run}/final.json", json.dumps(final).encode())
    assert models_gone(gc.run(store.root, -60.0)) == {"old"}
