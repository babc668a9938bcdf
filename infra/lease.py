"""One run at a time: an object that its owner keeps changing, so that a second one sees whether the first still lives.

No clocks are compared. The lease of a process that is gone from this machine is taken over at once, another's when it
has not changed for a while.
"""

import json
import os
import socket
import threading
import time
from typing import Any

from infra.errors import Incomplete, StorageError
from infra.progress import waiting
from infra.runs import now
from infra.storage import Store

BEAT_SECONDS = 10.0
WATCH_SECONDS = 35.0  # three beats, and a slow one


class Lease:
    """Held inside the block. Raises Incomplete where another process holds it, StorageError if that cannot be known."""

    def __init__(self, store: Store, path: str, what: str) -> None:
        self.store, self.path, self.what = store, path, what
        self._mine: dict[str, Any] = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": now(),
            "beat": 0,
        }
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Lease":
        if not self.store.create(self.path, self._content()):
            self._refuse_if_alive()
            self.store.write(self.path, self._content())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self.store.delete(self.path)

    def _content(self) -> bytes:
        return json.dumps(self._mine).encode()

    def _beat(self) -> None:
        while not self._ending.wait(BEAT_SECONDS):
            self._mine["beat"] += 1
            try:
                self.store.write(self.path, self._content())
            except StorageError:
                continue  # the next beat may be written

    def _refuse_if_alive(self) -> None:
        found = self._read()
        is_here = found.get("host") == self._mine["host"]
        if is_here and not os.path.exists(f"/proc/{found.get('pid')}"):
            return
        end = time.monotonic() + WATCH_SECONDS
        with waiting(f"{self.what}: is the run of {found.get('host')} still alive?"):
            while time.monotonic() < end:
                time.sleep(min(1.0, BEAT_SECONDS))
                latest = self._read()
                if not latest:
                    return  # it has just ended
                if latest != found:
                    owner = f"process {found.get('pid')} on {found.get('host')}, since {found.get('since')}"
                    raise Incomplete(f"{self.what} is under way ({owner}); wait for it, or run again later")

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.store.read(self.path))
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
            return {}
        return found if isinstance(found, dict) else {}
