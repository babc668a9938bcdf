"""The run folder."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from infra.errors import Incomplete, StorageError, TakenOver
from infra.root import lease, runs
from infra.root.runs import RunFolder, events_of, has_record, read_record
from infra.storage.store import Store

pytestmark = pytest.mark.s3


@contextmanager
def begun(store: Store, path: str = "runs/x") -> Iterator[RunFolder]:
    with RunFolder(store, path, f"run {path}") as folder:
        folder.begin({"root": store.root})
        yield folder


def test_a_run_says_what_happened(any_root: str):
    store = Store(any_root)
    assert not has_record(store, "runs/x")
    with begun(store) as folder:
        folder.event("epoch", bound=-1.5)
    assert json.loads(read_record(store, "runs/x", "config.json")) == {"root": any_root}
    assert json.loads(read_record(store, "runs/x", "versions.json"))["numpy"]
    with begun(store) as folder:
        folder.event("again")
        folder.summary({"ok": True})
    kinds = ["begin", "epoch", "begin", "again", "end"]
    assert [event["kind"] for event in folder.events()] == kinds
    assert [event["kind"] for event in events_of(store, "runs/x")] == kinds
    assert events_of(store, "runs/x")[1]["bound"] == -1.5
    assert json.loads(read_record(store, "runs/x", "summary.json"))["ok"] is True


def test_older_records_go_but_one(any_root: str):
    store = Store(any_root)
    for _ in range(4):
        with begun(store):
            pass
    assert {name.partition("-")[0] for name in store.names("runs/x")} == {"00000005", "00000007", "lease"}
    assert len(events_of(store, "runs/x")) == 4
    store.delete("runs/x/00000007-events.jsonl")  # killed before it had written any
    assert len(events_of(store, "runs/x")) == 3


def test_a_run_that_does_not_begin_leaves_the_record_of_before(any_root: str):
    store = Store(any_root)
    with begun(store) as folder:
        folder.summary({"songs": 3})
    with pytest.raises(Incomplete), RunFolder(store, "runs/x", "run x"):
        raise Incomplete("nothing to begin with")
    with RunFolder(store, "runs/x", "run x"):
        pass
    assert json.loads(read_record(store, "runs/x", "summary.json"))["songs"] == 3


def test_one_run_of_a_name_at_a_time(any_root: str, monkeypatch: pytest.MonkeyPatch):
    """The second one is told so and touches nothing; one that was taken over writes what nobody reads."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.5)
    store = Store(any_root)
    with begun(store) as first:
        lease._outer.set(None)  # the others are other processes
        with pytest.raises(Incomplete, match=r"run runs/x is under way \(process \d+ on "), begun(store):
            pass
        first.lease._ending.set()  # paused
        with begun(store) as other:
            other.event("other")
            other.flush()
            with pytest.raises(TakenOver):
                first.lease.fence.commit()
            first.summary({"late": True})
            assert [event["kind"] for event in events_of(store, "runs/x")] == ["begin", "begin", "other"]
            with pytest.raises(FileNotFoundError):
                read_record(store, "runs/x", "summary.json")
    assert json.loads(read_record(store, "runs/x", "events.jsonl").splitlines()[-1])["kind"] == "other"


def test_a_failed_run_has_its_exit_code(any_root: str):
    store = Store(any_root)
    with pytest.raises(Incomplete), begun(store):
        raise Incomplete("2 shards are missing")
    summary = json.loads(read_record(store, "runs/x", "summary.json"))
    assert (summary["exit_code"], summary["error"]) == (4, "2 shards are missing")
    with begun(store) as folder:
        with pytest.raises(FileNotFoundError):  # while it goes on, how it once ended is no news
            read_record(store, "runs/x", "summary.json")
        folder.summary({"songs": 3})
    assert json.loads(read_record(store, "runs/x", "summary.json"))["exit_code"] == 0


def test_of_many_alike_the_older_are_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs, "SAMPLES", 8)
    monkeypatch.setattr(runs, "SAMPLE_SECONDS", 0.0)
    store = Store(str(tmp_path))
    for start in (0, 25):  # a run that continues knows what it had
        with begun(store) as folder:
            for step in range(start, start + 25):
                folder.sample("step", step=step)
                folder.event("other")
    steps = [event["step"] for event in folder.events() if event["kind"] == "step"]
    assert steps == sorted(steps)
    assert 4 <= len(steps) <= 8
    assert (steps[0], steps[-1]) == (0, 49)
    assert sum(event["kind"] == "other" for event in folder.events()) == 50


def test_samples_are_seconds_apart(tmp_path: Path):
    with begun(Store(str(tmp_path))) as folder:
        for step in range(3):
            folder.sample("step", step=step)
            folder.sample("read", step=step)
    assert [(event["kind"], event["step"]) for event in folder.events()[1:]] == [("step", 0), ("read", 0)]


def logged(store: Store, path: str = "runs/x") -> list[dict[str, str]]:
    return [json.loads(line) for line in read_record(store, path, "log.jsonl").decode().splitlines()]


@pytest.fixture
def told() -> Iterator[logging.Logger]:
    """A job's logger that lets INFO pass, as the commands have it."""
    logger = logging.getLogger("jobs.told")
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(logging.NOTSET)


def test_what_is_said_is_kept_as_lines(any_root: str, told: logging.Logger, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs, "FLUSH_SECONDS", 0.05)
    store = Store(any_root)
    with begun(store):
        told.info("extract: %d tracks", 3)
        until(lambda: store.exists("runs/x/00000001-log.jsonl"))  # while it goes on
        told.warning("naïve \n name")
    told.info("after")
    with begun(store):
        told.info("again")
    lines = logged(store)
    assert [line["message"] for line in lines] == ["extract: 3 tracks", "naïve \n name", "again"]
    assert [line["level"] for line in lines] == ["INFO", "WARNING", "INFO"]
    assert {line["logger"] for line in lines} == {"jobs.told"}
    assert datetime.fromisoformat(lines[0]["time"]).tzinfo is not None


def test_a_name_that_is_no_utf8_is_kept_too(tmp_path: Path):
    store = Store(str(tmp_path))
    log = runs.RunLog(store, "runs/x/00000001-log.jsonl")
    log.begin()
    log.emit(logging.makeLogRecord({"msg": "a name \ud800"}))  # pytest's own handlers do not take it
    log.end()
    assert [line["message"] for line in logged(store)] == ["a name \ud800"]
    store.delete("runs/x/00000001-log.jsonl")
    log._write()
    assert not store.exists("runs/x/00000001-log.jsonl")  # nothing was said since


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), Incomplete("2 missing")])
def test_a_storage_that_fails_at_the_end_hides_no_error(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store, before = Store(str(tmp_path)), logging.getLogger().handlers[:]
    write = store.write

    def full(*_: object) -> None:
        raise StorageError("full")

    def running(*outcome: BaseException) -> None:
        with begun(store) as folder:
            monkeypatch.setattr(store, "write", full)
            folder.event("an event that is written at the end")
            for error in outcome:
                raise error

    with pytest.raises(type(error)):
        running(error)
    monkeypatch.setattr(store, "write", write)
    monkeypatch.setattr(runs, "FLUSH_SECONDS", 1e6)
    with pytest.raises(StorageError, match="full"):
        running()
    assert logging.getLogger().handlers == before


def test_who_logs_while_a_line_is_written_does_not_wait(
    tmp_path: Path, told: logging.Logger, monkeypatch: pytest.MonkeyPatch
):
    """As a storage's own thread that warns of something, while the write waits for that thread."""
    monkeypatch.setattr(runs, "FLUSH_SECONDS", 0.01)
    store = Store(str(tmp_path))
    write, heard = store.write, threading.Event()

    def writing(path: str, data: bytes) -> None:
        other = threading.Thread(target=lambda: (told.warning("from within"), heard.set()))
        other.start()
        assert heard.wait(10)
        write(path, data)

    with begun(store):
        monkeypatch.setattr(store, "write", writing)
        told.info("1")
        until(heard.is_set)
    assert {line["message"] for line in logged(store)} == {"1", "from within"}


def test_how_it_failed_is_in_log_and_summary(any_root: str):
    store = Store(any_root)
    for error, code in ((ValueError("a bug"), 1), (KeyboardInterrupt(), 130), (Incomplete("2 missing"), 4)):
        with pytest.raises(type(error)), begun(store, f"runs/{code}"):
            raise error
        assert json.loads(read_record(store, f"runs/{code}", "summary.json"))["exit_code"] == code
    assert "ValueError: a bug" in logged(store, "runs/1")[-1]["traceback"]
    assert logged(store, "runs/4")[-1]["message"] == "2 missing"


def test_a_log_that_cannot_be_written_is_no_reason_to_fail(
    tmp_path: Path, told: logging.Logger, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runs, "FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(runs, "LOG_LINES", 3)
    store, tried = Store(str(tmp_path)), threading.Event()

    def failing(*_: object) -> None:
        tried.set()
        raise StorageError("full")

    with begun(store):
        with monkeypatch.context() as patch:
            patch.setattr(store, "write", failing)
            told.info("1")
            assert tried.wait(10)
        told.info("2")
    assert [line["message"] for line in logged(store)] == ["1", "2"]
    with begun(store):
        told.info("3")
        told.info("4")
    assert [line["message"] for line in logged(store)] == ["2", "3", "4"]


def test_events_survive_a_failure(any_root: str):
    store = Store(any_root)

    def failing() -> None:
        with begun(store) as folder:
            folder.event("one")
            folder.event("two")
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        failing()
    kinds = [event["kind"] for event in events_of(store, "runs/x")]
    assert kinds == ["begin", "one", "two", "end"]
