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
from infra.root import layout
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

    def __init__(self, store: Store, path: str, earlier: Sequence[str] = ()) -> None:
        """`earlier`: the logs of earlier runs, the newest first."""
        super().__init__(logging.INFO)
        self.store, self.path, self._logs = store, path, earlier
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
                self._earlier = _lines(self.store, self._logs)
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
        self.lease = Lease(store, layout.lease(path), what)
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
            log.warning("%s: how it ended could not be written", self.store.uri(self._file("")))
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
        self._earlier = _tenures(self.store, self.path)
        logs = _files(self.path, self._earlier, layout.LOG_JSONL)
        self._log = RunLog(self.store, self._file(layout.LOG_JSONL), logs)
        self._log.begin()
        self._write(layout.CONFIG_JSON, config)
        self._write(layout.VERSIONS_JSON, versions())
        self.event("begin")
        self.flush()
        for name in self.store.names(self.path):
            if layout.tenure_of(name) in self._earlier[1:]:
                self.store.delete(layout.listed(self.path, name))

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
        self.store.write(self._file(name), data)

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
            self.store.write(self._file(layout.EVENTS_JSONL), ("\n".join(self._events) + "\n").encode())
        self._flushed = time.monotonic()

    def _end(self, fields: Mapping[str, Any]) -> None:
        self.event("end", **fields)
        self._write(layout.SUMMARY_JSON, {"time": now(), **fields})

    def _load(self) -> list[str]:
        if self._events is None:
            self._events = _lines(self.store, _files(self.path, self._earlier, layout.EVENTS_JSONL))
        return self._events

    def _thin(self, kind: str) -> None:
        events = self._load()
        alike = [place for place, line in enumerate(events) if json.loads(line)["kind"] == kind]
        if len(alike) >= SAMPLES:
            gone = set(alike[1::2])
            self._events = [line for place, line in enumerate(events) if place not in gone]

    def _file(self, name: str) -> str:
        return layout.record(self.path, self.lease.tenure, name)

    def _write(self, name: str, tree: Mapping[str, Any]) -> None:
        self.file(name, json.dumps(tree, indent=1, ensure_ascii=False).encode())


def events_of(store: Store, path: str) -> list[dict[str, Any]]:
    """The events of the runs under a path so far."""
    files = _files(path, _tenures(store, path), layout.EVENTS_JSONL)
    return [json.loads(line) for line in _lines(store, files)]


def read_record(store: Store, path: str, name: str) -> bytes:
    """A file of the newest record under a path. Raises FileNotFoundError where it has none."""
    tenures = _tenures(store, path)
    if not tenures:
        raise FileNotFoundError(store.uri(path))
    return store.read(layout.record(path, tenures[0], name))


def has_record(store: Store, path: str) -> bool:
    """Whether a run under a path has begun."""
    return bool(_tenures(store, path))


def _tenures(store: Store, path: str) -> list[int]:
    """Of the runs that have a record, the newest first."""
    numbers = {layout.tenure_of(name) for name in store.names(path)}
    return sorted((number for number in numbers if number is not None), reverse=True)


def _files(path: str, tenures: Sequence[int], name: str) -> list[str]:
    return [layout.record(path, tenure, name) for tenure in tenures]


def _lines(store: Store, files: Sequence[str]) -> list[str]:
    """Of the first of these files that is there; a run that was killed at its start has none."""
    for file in files:
        with suppress(FileNotFoundError):
            return store.read(file).decode(errors="replace").splitlines()
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
