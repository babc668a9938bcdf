"""The run folder."""

import json

import pytest

from infra.errors import Incomplete
from infra.runs import RunFolder
from infra.storage import Store

pytestmark = pytest.mark.s3


def test_a_run_says_what_happened(any_root: str):
    store = Store(any_root)
    with RunFolder(store, "runs/x") as folder:
        folder.begin({"root": any_root})
        folder.event("epoch", bound=-1.5)
    assert json.loads(store.read("runs/x/config.json")) == {"root": any_root}
    assert json.loads(store.read("runs/x/versions.json"))["numpy"]
    with RunFolder(store, "runs/x") as folder:
        folder.event("again")
        folder.summary({"ok": True})
    assert [event["kind"] for event in folder.events()] == ["begin", "epoch", "again"]
    lines = store.read("runs/x/events.jsonl").decode().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["begin", "epoch", "again"]
    assert json.loads(lines[1])["bound"] == -1.5
    assert json.loads(store.read("runs/x/summary.json"))["ok"] is True


def test_a_failed_run_has_its_exit_code(any_root: str):
    store = Store(any_root)
    with pytest.raises(Incomplete), RunFolder(store, "runs/x") as folder:
        raise Incomplete("2 shards are missing")
    summary = json.loads(store.read("runs/x/summary.json"))
    assert (summary["exit_code"], summary["error"]) == (4, "2 shards are missing")
    folder.summary({"songs": 3})
    assert json.loads(store.read("runs/x/summary.json"))["exit_code"] == 0


def test_events_survive_a_failure(any_root: str):
    store = Store(any_root)

    def failing() -> None:
        with RunFolder(store, "runs/x") as folder:
            folder.event("one")
            folder.event("two")
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        failing()
    assert len(store.read("runs/x/events.jsonl").decode().splitlines()) == 2
