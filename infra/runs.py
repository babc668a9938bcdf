"""The folder of one run: what was asked, with which versions, what happened, how it ended."""

import json
import math
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from infra.errors import JobError
from infra.storage import Store

FLUSH_SECONDS = 5.0
SAMPLE_SECONDS, SAMPLES = 5.0, 2000
PACKAGES = (
    *("hdpgmm", "numpy", "scipy", "librosa", "soundfile", "soxr"),
    *("torch", "scikit-learn", "ray", "pyarrow", "s3fs"),
)


def now() -> str:
    """The time as ISO text, UTC, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunFolder:
    """`runs/<name>` of a store: config.json, versions.json, events.jsonl, summary.json.

    Objects cannot be appended to, so the events of a run are rewritten whole, at most every few seconds and
    at the end. A run that continues keeps the events it had.
    """

    def __init__(self, store: Store, path: str) -> None:
        self.store, self.path = store, path
        self._events: list[str] | None = None
        self._flushed = 0.0
        self._sampled: dict[str, float] = {}

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """A run that fails says how in its summary, with the exit code of its command."""
        if isinstance(error, JobError):
            self._end({"exit_code": error.exit_code, "error": str(error)})
        self.flush()

    def begin(self, config: Mapping[str, Any]) -> None:
        """Write the resolved configuration and the versions, and an event that says so."""
        self._write("config.json", config)
        self._write("versions.json", versions())
        self.event("begin")

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
        """A file of the folder, replaced whole."""
        self.store.write(f"{self.path}/{name}", data)

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
            self.store.write(f"{self.path}/events.jsonl", ("\n".join(self._events) + "\n").encode())
        self._flushed = time.monotonic()

    def _end(self, fields: Mapping[str, Any]) -> None:
        self._write("summary.json", {"time": now(), **fields})

    def _load(self) -> list[str]:
        if self._events is None:
            try:
                self._events = self.store.read(f"{self.path}/events.jsonl").decode().splitlines()
            except FileNotFoundError:
                self._events = []
        return self._events

    def _thin(self, kind: str) -> None:
        events = self._load()
        alike = [place for place, line in enumerate(events) if json.loads(line)["kind"] == kind]
        if len(alike) >= SAMPLES:
            gone = set(alike[1::2])
            self._events = [line for place, line in enumerate(events) if place not in gone]

    def _write(self, name: str, tree: Mapping[str, Any]) -> None:
        self.store.write(f"{self.path}/{name}", json.dumps(tree, indent=1, ensure_ascii=False).encode())


def versions() -> dict[str, str]:
    """Python, platform and the packages that matter here."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
