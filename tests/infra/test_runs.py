"""The run folder."""

import json
from pathlib import Path

import pytest

from infra import runs
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


def test_of_many_alike_the_older_are_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs, "SAMPLES", 8)
    monkeypatch.setattr(runs, "SAMPLE_SECONDS", 0.0)
    store = Store(str(tmp_path))
    for start in (0, 25):  # a run that continues knows what it had
        with RunFolder(store, "runs/x") as folder:
            for step in range(start, start + 25):
                folder.sample("step", step=step)
                folder.event("other")
    steps = [event["step"] for event in folder.events() if event["kind"] == "step"]
    assert steps == sorted(steps)
    assert 4 <= len(steps) <= 8
    assert (steps[0], steps[-1]) == (0, 49)
    assert sum(event["kind"] == "other" for event in folder.events()) == 50


def test_samples_are_seconds_apart(tmp_path: Path):
    with RunFolder(Store(str(tmp_path)), "runs/x") as folder:
        for step in range(3):
            folder.sample("step", step=step)
            folder.sample("read", step=step)
    assert [(event["kind"], event["step"]) for event in folder.events()] == [("step", 0), ("read", 0)]


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
