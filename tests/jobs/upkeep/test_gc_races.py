"""gc beside writers, each paused before any of its calls: of what a newest snapshot names nothing is missing."""

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from infra.errors import Incomplete
from infra.root.ledger import Tree
from infra.root.records import Commit, Snapshot, quarantine_table, songs_table
from infra.root.songs import read_songs
from infra.root.taken import unused
from infra.storage.store import Store
from jobs.upkeep import gc
from tests.infra.job_turns import CHANGES, Job

Work = Callable[[Store], Any]

TREE = "features/f00"
OLD = -60.0  # everything is older than that
SHARDS = {"aa": "ab", "bb": "cd", "cc": "ef"}  # their tracks


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A tree of which the first snapshot was superseded: its shard aa and its tables are garbage."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # many roots are made
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        monkeypatch.setattr("infra.root.ledger.RENEW_SECONDS", OLD)
        make(Path(folder) / "made")
        yield Path(folder) / "made"


def make(root: Path) -> None:
    store = Store(str(root))
    store.write("corpus/default/tracks.parquet", b"")
    store.write("corpus/other/tracks.parquet", b"")
    tree = Tree(store, TREE)
    commits = {name: commit(tree, name) for name in SHARDS}
    publish(tree, "default", [commits["aa"], commits["bb"]])
    publish(tree, "default", [commits["bb"], commits["cc"]])


def commit(tree: Tree, name: str, tracks: str = "") -> Commit:
    tracks = tracks or SHARDS[name]
    n = len(tracks)
    columns = {"track_id": [*tracks], "version": ["1"] * n, "n_frames": pa.array([3] * n, pa.int32())}
    return tree.commit(name, pa.table(columns), [], n, [n])


def publish(tree: Tree, corpus: str, commits: list[Commit], without: str = "") -> Snapshot:
    songs = songs_table(commits).sort_by("track_id")
    songs = songs.filter(pa.array([track not in without for track in songs["track_id"].to_pylist()]))
    return tree.publish(corpus, [item.reference() for item in commits], songs, quarantine_table(commits))


def extraction(store: Store, corpus: str = "default", wanted: tuple[str, ...] = ("aa", "bb")) -> Snapshot:
    """What jobs.extract does with the ledger, given again while it ends with 4: tracks of before have come back."""
    tree = Tree(store, TREE)
    for _ in range(9):
        latest = tree.latest(corpus)
        gone = tree.taken(latest)
        names = {unused(name, gone): SHARDS[name] for name in wanted}
        found = tree.read_commits(names)
        tree.renew(found)
        commits = [found.get(name) or commit(tree, name, tracks) for name, tracks in names.items()]
        try:
            return publish(tree, corpus, commits)
        except Incomplete:
            continue
    raise AssertionError("gc keeps taking what is used")


def collect(store: Store) -> None:
    gc.collect(store, OLD, 1, 0.0)


def check(root: Path) -> dict[str, list[str]]:
    """The tracks of the newest snapshots; all that they name is there."""
    tree, found = Tree(Store(str(root)), TREE), {}
    for corpus in ("default", "other"):
        snapshot = tree.latest(corpus)
        if snapshot is None:
            continue
        for item in snapshot.shards:
            assert tree.read_commit(item.shard).path == item.path
            assert tree.store.digest(item.path) == item.digest
        for path in (snapshot.songs, snapshot.quarantine):
            assert tree.store.exists(path)
        found[corpus] = sorted(
            track
            for item in snapshot.shards
            for track in (placed.track_id for placed in tree.read_commit(item.shard).tracks)
        )
    return found


class Roots:
    """Copies of a root, one at a time."""

    def __init__(self, made: Path) -> None:
        self.made, self.number = made, 0

    def __call__(self) -> Path:
        shutil.rmtree(self.made.parent / f"root{self.number}", ignore_errors=True)
        self.number += 1
        return Path(shutil.copytree(self.made, self.made.parent / f"root{self.number}"))


def pauses(root: Path, work: Work, everywhere: bool = False) -> list[int]:
    """After how many calls a job may be paused: before each call that changes something, or before any."""
    job = Job(str(root), work)
    job.finish()
    numbers = [n for n, name in enumerate(job.calls) if everywhere or name in CHANGES]
    return [*numbers, len(job.calls)]


def race(root: Path, works: Sequence[Work], turns: Sequence[tuple[int, int]]) -> None:
    """Jobs take turns, (job, calls) each, then end one after the other."""
    jobs = [Job(str(root), work) for work in works]
    for number, calls in turns:
        jobs[number].step(calls)
        check(root)
    for job in jobs:
        job.finish()
        check(root)


@pytest.mark.parametrize("first", ["extraction", "gc"])
def test_each_paused_before_any_change_of_the_other(made: Path, first: str) -> None:
    """k calls of the one, j calls of the other, the rest of the one, the rest of the other; for every k and j.

    gc before every call that changes something, the run before any.
    """
    works = (extraction, collect) if first == "extraction" else (collect, extraction)
    root = Roots(made)
    befores, others = (pauses(root(), work, everywhere=work is extraction) for work in works)
    for k in befores:
        for j in others:
            here = root()
            race(here, works, [(0, k), (1, j)])
            assert check(here)["default"] == list("abcd"), (k, j)


def test_the_first_snapshot_of_a_corpus(made: Path) -> None:
    """Of it there is nothing yet whose number gc could take, but for the first."""
    root = Roots(made)
    work = partial(extraction, corpus="other")
    for k in pauses(root(), work, everywhere=True):
        here = root()
        race(here, (work, collect), [(0, k), (1, 1000)])
        assert check(here) == {"default": list("cdef"), "other": list("abcd")}


def test_a_table_of_before_comes_back(made: Path) -> None:
    """A track leaves and returns: the same shards throughout, another table of songs, and the first one again."""
    tree = Tree(Store(str(made)), TREE)
    publish(tree, "default", [tree.read_commit(name) for name in ("aa", "bb")], without="d")
    root = Roots(made)
    for k in pauses(root(), extraction):
        for j in pauses(root(), collect):
            here = root()
            race(here, (extraction, collect), [(0, k), (1, j)])
            assert len(read_songs(Store(str(here)), newest(here))) == 4


def newest(root: Path) -> Snapshot:
    found = Tree(Store(str(root)), TREE).latest("default")
    assert found is not None
    return found


def test_a_run_that_is_paused_while_gc_runs_twice(made: Path) -> None:
    """The number that the first took away stays away."""
    root = Roots(made)
    for k in pauses(root(), extraction, everywhere=True):
        here = root()
        race(here, (extraction, collect, collect), [(0, k), (1, 1000), (2, 1000)])
        assert check(here)["default"] == list("abcd"), k


def test_what_is_renewed_before_the_last_look_stays(made: Path) -> None:
    root = Roots(made)
    job = Job(str(root()), collect)
    job.finish()
    marked = job.calls.index("write") + 1
    fences = [number for number, name in enumerate(job.calls) if name == "create"]
    for j in range(marked, fences[-1] + 2, 3):
        here = root()
        tree, job = Tree(Store(str(here)), TREE), Job(str(here), collect)
        job.step(j)
        tree.renew(["aa"])
        job.finish()
        assert tree.store.exists(tree.read_commit("aa").path), j
        assert "aa" not in tree.taken(), j


@pytest.mark.parametrize("seed", range(30))
def test_two_gcs_and_two_runs_in_any_order_some_killed(made: Path, seed: int) -> None:
    rng, works = random.Random(seed), (collect, collect, extraction, partial(extraction, corpus="other"))
    jobs = [Job(str(made), work) for work in works]
    going = [*range(4)]
    while going:
        number = rng.choice(going)
        if rng.random() < 0.02:
            jobs[number].kill()
        if not jobs[number].step(rng.choice((1, 1, 2, 10))):
            going.remove(number)
        check(made)
    for work in works[::-1]:
        Job(str(made), work).finish()
    assert check(made) == {"default": list("abcd"), "other": list("abcd")}
    collect(Store(str(made)))
    assert list(gc.look(Store(str(made)), OLD, 1)) == []
