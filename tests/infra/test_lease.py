"""A lease: one holder, who is noticed while alive and not mourned for long."""

import json
import os
import subprocess

import pytest

from infra import lease
from infra.errors import Incomplete
from infra.lease import Lease
from infra.storage import Store

pytestmark = pytest.mark.s3


@pytest.fixture
def store(any_root: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lease, "WATCH_SECONDS", 1.0)
    return Store(any_root)


def test_the_second_is_refused_while_the_first_lives(store: Store):
    with Lease(store, "m/lease.json", "model m"):
        with (
            pytest.raises(Incomplete, match=rf"model m is under way \(process {os.getpid()} on "),
            second(store),
        ):
            pass
        assert store.exists("m/lease.json")
    assert not store.exists("m/lease.json")
    with second(store):
        pass


def test_the_lease_of_a_dead_process_is_taken_over(store: Store):
    gone = subprocess.Popen(["true"])
    gone.wait()
    for owner in ({"host": lease.socket.gethostname(), "pid": gone.pid}, {"host": "elsewhere", "pid": 1}):
        store.write("m/lease.json", json.dumps(owner).encode())
        with second(store):
            assert json.loads(store.read("m/lease.json"))["pid"] == os.getpid()


def test_a_damaged_lease_is_nobodys(store: Store):
    store.write("m/lease.json", b"{")
    with second(store):
        pass


def second(store: Store) -> Lease:
    return Lease(store, "m/lease.json", "model m")
