"""A lease: one holder, who is noticed while alive, not mourned for long, and not heard once it was taken over."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import pytest

from infra.errors import Incomplete, StorageError, TakenOver
from infra.root import lease, owner
from infra.root.journal import Effect, Entry, Journal
from infra.root.lease import Lease
from infra.root.owner import is_gone, this_process
from infra.storage.store import Store

pytestmark = pytest.mark.s3

WHAT, PATH = "model m", "runs/m/lease"
WAITING = "import sys; print(flush=True); sys.stdin.read()"


@pytest.fixture
def store(any_root: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lease, "WATCH_SECONDS", 1.0)
    return Store(any_root)


def second(store: Store) -> Lease:
    return Lease(store, PATH, WHAT)


def creating(name: str, text: str = "{}") -> Effect:
    return Effect(create=((name, text),))


@contextmanager
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Who takes the lease in this block gives no sign of life; others look for a moment only."""
    with monkeypatch.context() as patch:
        patch.setattr(lease, "BEAT_SECONDS", 1e6)
        yield
    lease._outer.set(None)  # the others are other processes
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.3)


def test_the_second_is_refused_while_the_first_lives(store: Store):
    with second(store) as first:
        with (
            pytest.raises(Incomplete, match=rf"model m is under way \(process {os.getpid()} on "),
            second(store),
        ):
            pass
        first.check()
        assert store.names(PATH)[:1] == ["00000001.json"]
    assert store.names(PATH) == ["00000001.json", "00000002.json"]
    with second(store) as later:
        assert later.tenure == 3


def test_the_lease_of_a_dead_process_is_taken_over(store: Store):
    gone = subprocess.Popen(["true"])
    gone.wait()
    for mine in ({**this_process(), "pid": gone.pid}, {"host": "elsewhere", "pid": 1}):
        number = Journal(store, PATH).head().number + 1
        assert Journal(store, PATH).put(Entry(number, WHAT, number, number, mine))
        with second(store) as now:
            assert Journal(store, PATH).head().owner["pid"] == os.getpid()
            assert now.tenure == number + 1


def test_who_dies_while_another_looks_is_mourned_no_longer(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease, "WATCH_SECONDS", 1e3)
    with subprocess.Popen(
        [sys.executable, "-c", WAITING], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        seen = owner.look(child.pid)
        assert seen is not None
        theirs = {**this_process(), "pid": child.pid, "started": seen.started}
        assert Journal(store, PATH).put(Entry(1, WHAT, 1, 1, theirs))
        death = threading.Timer(0.3, child.kill)
        death.start()
        with second(store) as held:
            assert held.tenure == 2


def test_a_damaged_lease_is_nobodys(store: Store):
    store.write(f"{PATH}/00000001.json", b"{")
    with second(store) as held:
        assert held.tenure == 2


def test_who_was_taken_over_commits_no_more(store: Store, monkeypatch: pytest.MonkeyPatch):
    with silent(monkeypatch):
        first = second(store).__enter__()
    first.fence.commit(creating("a"))
    with second(store) as other:
        with pytest.raises(
            TakenOver, match=rf"model m was taken over by process {os.getpid()} on .* too long"
        ):
            first.fence.commit(creating("b"))
        with pytest.raises(TakenOver):
            first.check()
        first.__exit__()  # and does not end the other's
        other.check()
        other.fence.commit(creating("c"))
    assert [name for name in store.names("") if name != "runs"] == ["a", "c"]


def test_the_new_holder_completes_what_was_committed(store: Store, monkeypatch: pytest.MonkeyPatch):
    """The first one pauses between the entry and what it makes visible."""
    with silent(monkeypatch):
        first = second(store).__enter__()
    commit = creating("a", "old")
    head = Journal(store, PATH).head()
    assert Journal(store, PATH).put(head.followed(effect=commit))
    with second(store) as other:
        assert store.read("a") == b"old"
        other.fence.commit(creating("b"))
        commit.apply(store)  # it wakes up
        with pytest.raises(TakenOver):
            first.fence.commit(creating("c"))
    assert store.read("a") == b"old"
    assert not store.exists("c")


def test_a_number_that_is_long_past_counts_no_more(store: Store, monkeypatch: pytest.MonkeyPatch):
    with silent(monkeypatch):
        first = second(store).__enter__()
    with second(store) as other:
        for name in "abc":
            other.fence.commit(creating(name))
        assert not store.exists(f"{PATH}/00000002.json")
        with pytest.raises(TakenOver):
            first.fence.commit(creating("old"))
        other.fence.commit(creating("d"))
    assert not store.exists("old")
    assert len([name for name in store.names(PATH) if "beat" not in name]) == 2


def test_who_holds_a_lease_that_was_deleted_commits_no_more(store: Store, monkeypatch: pytest.MonkeyPatch):
    with silent(monkeypatch):
        first = second(store).__enter__()
    for name in "abc":
        first.fence.commit(creating(name))
    for name in store.names(PATH):
        store.delete(f"{PATH}/{name}")
    with second(store) as other:
        with pytest.raises(TakenOver):
            first.fence.commit(creating("d"))
        assert other.tenure == 1


def test_a_token_is_handed_to_another_process_and_taken_back(store: Store):
    with second(store) as held:
        before = held.fence
        theirs = pickle.loads(pickle.dumps(held.hand_over()))  # noqa: S301
        theirs.commit(creating("a"))
        assert theirs.label() < theirs.label()
        with pytest.raises(TakenOver):
            before.commit(creating("b"))
        again = held.hand_over()
        assert len({before.token, theirs.token, again.token}) == 3
        with pytest.raises(TakenOver):
            theirs.commit(creating("c"))
        held.fence.commit(creating("d"))
        held.check()
        with pytest.raises(TakenOver):
            again.commit(creating("e"))
    assert [name for name in store.names("") if name != "runs"] == ["a", "d"]


def test_a_reply_that_was_lost_is_found_again(store: Store, monkeypatch: pytest.MonkeyPatch):
    """The entry is there, its writer was told of a failure."""
    create = Store.create
    with second(store) as held:

        def losing(self: Store, path: str, data: bytes) -> bool:
            create(self, path, data)
            raise StorageError("no answer")

        with monkeypatch.context() as patch:
            patch.setattr(Store, "create", losing)
            with pytest.raises(StorageError):
                held.fence.commit(creating("a"))
        assert not store.exists("a")
        held.fence.commit(creating("b"))
        assert store.exists("a")
        with monkeypatch.context() as patch:
            patch.setattr(Store, "create", lambda *rest: create(*rest) and False)
            held.fence.commit(creating("c"))
        assert store.exists("c")


def test_who_takes_the_outer_lease_over_ends_what_was_held_within(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    with silent(monkeypatch):
        outer = Lease(store, "runs/p/lease", "the pipeline").__enter__()
        stage = second(store).__enter__()
    stage.fence.commit(creating("a"))
    with Lease(store, "runs/p/lease", "the pipeline") as other:
        for late in (stage, outer):
            with pytest.raises(TakenOver):
                late.fence.commit(creating("b"))
        with second(store) as again:
            again.fence.commit(creating("c"))
        other.fence.commit(creating("d"))
    assert [name for name in store.names("") if name != "runs"] == ["a", "c", "d"]


def test_a_stage_that_is_announced_only_cannot_be_entered_any_more(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    """The pipeline pauses just before it takes the lease of its stage."""
    with silent(monkeypatch):
        outer = Lease(store, "runs/p/lease", "the pipeline").__enter__()
    outer._announce(PATH, 1)
    with Lease(store, "runs/p/lease", "the pipeline"):
        late = Journal(store, PATH).put(Entry(1, WHAT, 1, 1, this_process()))
        assert late is not None
        assert late.is_free


def test_another_runs_stage_is_left_alone(store: Store, monkeypatch: pytest.MonkeyPatch):
    with silent(monkeypatch):
        Lease(store, "runs/p/lease", "the pipeline").__enter__()
        with second(store):
            pass
    with second(store) as alone:
        lease._outer.set(None)
        with Lease(store, "runs/p/lease", "the pipeline"):
            alone.fence.commit(creating("a"))


def test_what_can_be_known_of_a_process():
    mine = this_process()
    assert not is_gone(mine)
    assert is_gone({**mine, "started": mine["started"] + 1})  # its id belongs to another one now
    with subprocess.Popen(
        [sys.executable, "-c", WAITING], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        seen = owner.look(child.pid)
        assert seen is not None
        theirs = {**mine, "pid": child.pid, "started": seen.started}
        assert not is_gone(theirs)
        os.kill(child.pid, signal.SIGSTOP)
        assert not is_gone(theirs)
        for name in owner.PLACE:
            assert not is_gone({**theirs, "started": 1, name: "another"})
            assert not is_gone({**theirs, "started": 1, name: ""})
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(theirs)  # its exit code is not read yet
    assert is_gone(theirs)
    for odd in ({}, {**mine, "pid": "1"}, {**mine, "pid": -1}, {**theirs, "started": None}):
        assert not is_gone(odd)


def test_without_proc_nothing_is_certain(monkeypatch: pytest.MonkeyPatch):
    gone = subprocess.Popen(["true"])
    gone.wait()
    mine = {**this_process(), "pid": gone.pid}
    assert is_gone(mine)
    for hidden in ("_boot", "_namespace"):
        with monkeypatch.context() as patch:
            patch.setattr(owner, hidden, lambda: "")
            assert not is_gone(mine)
            assert not is_gone({**this_process(), "pid": gone.pid})


def test_an_entry_is_read_as_it_was_written(store: Store):
    effect = Effect((("w", "1"),), (("c", "ü"),), (("s", "m"),), ("d",))
    entry = Entry(1, WHAT, 1, 1, this_process(), {"x/lease": 3}, effect)
    journal = Journal(store, PATH)
    assert journal.put(entry) == entry
    assert journal.head() == entry
    assert journal.put(replace(entry, id="other")) == entry
    assert json.loads(json.dumps(asdict(entry))) == json.loads(store.read(f"{PATH}/00000001.json"))
