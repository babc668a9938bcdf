"""The records of runs: what was asked, with which versions, what happened, how it ended.

    runs/<name>/lease/                  one run of that name at a time (infra.root.lease)
    runs/<name>/00000040-events.jsonl   of the run that took the lease with number 40, as the others; the newest count

So a run that was paused and taken over writes on in a record that nobody reads any more.
"""

import json
import logging
import math
import platform
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from infra.errors import JobError, StorageError
from infra.root.lease import Lease
from infra.storage.store import Store

FLUSH_SECONDS = 5.0
SAMPLE_SECONDS, SAMPLES = 5.0, 2000
LOG_LINES, LAST_SECONDS = 5000, 10.0
PACKAGES = (
    *("hdpgmm", "numpy", "scipy", "librosa", "soundfile", "soxr"),
    *("torch", "scikit-learn", "ray", "pyarrow", "s3fs"),
)
SHOWN = {"shown": True}  # extra of records that the console has in other words
INTERRUPTED = 130
log = logging.getLogger(__name__)


def now() -> str:
    """The time as ISO text, UTC, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunLog(logging.Handler):
    """What is logged, as JSON lines in an object: time, level, logger, message; traceback where there is one.

    The newest LOG_LINES are kept, those of earlier runs under this name included. A thread of its own writes them every
    few seconds: who logs never waits for the storage, nor calls it from within itself. A line that cannot be written
    is written with a later one: a log is no reason to fail.
    """

    def __init__(self, store: Store, path: str, records: Sequence[str] = ()) -> None:
        """`records`: of earlier runs, the newest first."""
        super().__init__(logging.INFO)
        self.store, self.path, self.records = store, path, records
        self._lines: deque[str] = deque(maxlen=LOG_LINES)
        self._said = self._kept = 0
        self._earlier: list[str] | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._write_now_and_then, daemon=True)

    def begin(self) -> None:
        """From now on what is logged is kept."""
        logging.getLogger().addHandler(self)
        self._thread.start()

    def end(self) -> None:
        """Until now; writes the rest, unless the storage has been silent for a while."""
        logging.getLogger().removeHandler(self)
        self._ending.set()
        self._thread.join(LAST_SECONDS)
        if not self._thread.is_alive():
            self._write()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            line = {
                "time": when,
                "level": record.levelname,
                "logger": record.name,
                "message": record.getMessage(),
            }
            if record.exc_info:
                line["traceback"] = logging.Formatter().formatException(record.exc_info)
            self._lines.append(json.dumps(line, ensure_ascii=False))
            self._said += 1
        except (TypeError, ValueError):
            self.handleError(record)

    def _write_now_and_then(self) -> None:
        while not self._ending.wait(FLUSH_SECONDS):
            self._write()

    def _write(self) -> None:
        with self.lock or nullcontext():
            said, lines = self._said, [*self._lines]
        if said == self._kept:
            return
        try:
            if self._earlier is None:
                self._earlier = _lines(self.store, self.records, self.path.rpartition("-")[2])
            text = "\n".join([*self._earlier, *lines][-LOG_LINES:]) + "\n"
            self.store.write(self.path, text.encode(errors="backslashreplace"))
            self._kept = said
        except StorageError:
            return


class RunFolder:
    """The record of a run under `path`: config.json, versions.json, events.jsonl, log.jsonl, summary.json once it has
    ended. One run at a time, by a lease: raises Incomplete, with `what` it is, where another is under way.

    Objects cannot be appended to, so events and log are rewritten whole, at most every few seconds and at the end. A
    run that continues keeps those it had. What the process logs from `begin` to the end of the block is in the log.
    """

    def __init__(self, store: Store, path: str, what: str) -> None:
        self.store, self.path = store, path
        self.lease = Lease(store, f"{path}/lease", what)
        self._events: list[str] | None = None
        self._flushed = 0.0
        self._sampled: dict[str, float] = {}
        self._log: RunLog | None = None  # until the record begins

    def __enter__(self) -> "RunFolder":
        self.lease.__enter__()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """A run that fails says how in its summary, with the exit code of its command."""
        try:
            if self._log is not None:
                self._end_record(self._log, error)
        finally:
            self.lease.__exit__()

    def _end_record(self, kept: RunLog, error: BaseException | None) -> None:
        try:
            self._note(error)
            self.flush()
        except StorageError:
            if error is None:
                raise
            log.warning("%s: how it ended could not be written", self.store.uri(self._record))
        finally:
            kept.end()

    def _note(self, error: BaseException | None) -> None:
        if isinstance(error, JobError):
            log.error("%s", str(error), extra=SHOWN)
            self._end({"exit_code": error.exit_code, "error": str(error)})
        elif isinstance(error, Exception):
            log.error("%r", error, exc_info=error, extra=SHOWN)
            self._end({"exit_code": 1, "error": repr(error)})
        elif error is not None:
            log.info("interrupted", extra=SHOWN)
            self._end({"exit_code": INTERRUPTED, "error": "interrupted"})

    def begin(self, config: Mapping[str, Any]) -> None:
        """The record begins: resolved configuration, versions, and an event that says so. Older ones go but one."""
        self._earlier = _records(self.store, self.path)
        self._record = f"{self.path}/{self.lease.tenure:08d}-"
        self._log = RunLog(self.store, f"{self._record}log.jsonl", self._earlier)
        self._log.begin()
        self._write("config.json", config)
        self._write("versions.json", versions())
        self.event("begin")
        self.flush()
        for name in self.store.names(self.path):
            if f"{self.path}/{name}".startswith(tuple(self._earlier[1:])):
                self.store.delete(f"{self.path}/{name}")

    def event(self, kind: str, **fields: Any) -> None:
        """Something that happened: {"time": ..., "kind": kind, **fields}."""
        events = self._load()
        events.append(json.dumps({"time": now(), "kind": kind, **fields}, ensure_ascii=False))
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def sample(self, kind: str, **fields: Any) -> None:
        """One of many like it: an event at most every few seconds; of those of long ago every second one stays."""
        if time.monotonic() - self._sampled.get(kind, -math.inf) >= SAMPLE_SECONDS:
            self._sampled[kind] = time.monotonic()
            self._thin(kind)
            self.event(kind, **fields)

    def file(self, name: str, data: bytes) -> None:
        """A file of the record, replaced whole."""
        self.store.write(f"{self._record}{name}", data)

    def events(self) -> list[dict[str, Any]]:
        """All events so far, those of earlier runs under this name included."""
        return [json.loads(line) for line in self._load()]

    def summary(self, fields: Mapping[str, Any]) -> None:
        """How it ended, the file that a machine reads: these fields and exit code 0. Writes the events too."""
        self._end({"exit_code": 0, **fields})
        self.flush()

    def flush(self) -> None:
        """Write the events that are not written yet."""
        if self._events:
            self.store.write(f"{self._record}events.jsonl", ("\n".join(self._events) + "\n").encode())
        self._flushed = time.monotonic()

    def _end(self, fields: Mapping[str, Any]) -> None:
        self.event("end", **fields)
        self._write("summary.json", {"time": now(), **fields})

    def _load(self) -> list[str]:
        if self._events is None:
            self._events = _lines(self.store, self._earlier, "events.jsonl")
        return self._events

    def _thin(self, kind: str) -> None:
        events = self._load()
        alike = [place for place, line in enumerate(events) if json.loads(line)["kind"] == kind]
        if len(alike) >= SAMPLES:
            gone = set(alike[1::2])
            self._events = [line for place, line in enumerate(events) if place not in gone]

    def _write(self, name: str, tree: Mapping[str, Any]) -> None:
        self.file(name, json.dumps(tree, indent=1, ensure_ascii=False).encode())


def events_of(store: Store, path: str) -> list[dict[str, Any]]:
    """The events of the runs under a path so far."""
    return [json.loads(line) for line in _lines(store, _records(store, path), "events.jsonl")]


def read_record(store: Store, path: str, name: str) -> bytes:
    """A file of the newest record under a path. Raises FileNotFoundError where it has none."""
    records = _records(store, path)
    if not records:
        raise FileNotFoundError(store.uri(path))
    return store.read(f"{records[0]}{name}")


def has_record(store: Store, path: str) -> bool:
    """Whether a run under a path has begun."""
    return bool(_records(store, path))


def _records(store: Store, path: str) -> list[str]:
    """What the paths of their files begin with, the newest first."""
    numbers = {name.partition("-")[0] for name in store.names(path)}
    return [f"{path}/{number}-" for number in sorted(numbers, reverse=True) if number.isdigit()]


def _lines(store: Store, records: Sequence[str], name: str) -> list[str]:
    """Of the newest record that has that file; a run that was killed at its start has none."""
    for record in records:
        with suppress(FileNotFoundError):
            return store.read(f"{record}{name}").decode(errors="replace").splitlines()
    return []


def versions() -> dict[str, str]:
    """Python, platform and the packages that matter here."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
