"""Jobs that take turns: each runs in a thread of its own, from one storage call to its next when it is told."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from infra.storage.store import Store
from tests.infra.faults import Crash

CHANGES = ("write", "create", "stage", "move", "delete", "delete_many")
CALLS = (*CHANGES, "read", "exists", "size", "names", "walk", "digest")


class TurnStore(Store):
    """Asks its job for a turn before every call."""

    def __init__(self, root: str, job: "Job") -> None:
        super().__init__(root)
        self.job = job


def _in_turn(name: str) -> Callable[..., Any]:
    def call(self: TurnStore, *arguments: Any) -> Any:
        """Whole listings, and whole deletions, are one call."""
        whole = [list(item) if name == "delete_many" else item for item in arguments]
        with self.job.turn(name):
            found = getattr(Store, name)(self, *whole)
            return list(found) if name == "walk" else found

    return call


for _name in CALLS:
    setattr(TurnStore, _name, _in_turn(_name))


class Job:
    """Runs `work` on a store. `calls` are those that it has made."""

    def __init__(self, root: str, work: Callable[[Store], Any]) -> None:
        self.calls: list[str] = []
        self._work, self._store = work, TurnStore(root, self)
        self._state = threading.Condition()
        self._waiting, self._running, self._permits = 0, 0, 0
        self._ended, self._dead = False, False
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def step(self, calls: int = 1) -> bool:
        """Let it make so many storage calls; False if it ended before."""
        for _ in range(calls):
            with self._state:
                self._state.wait_for(self._is_idle)
                if self._ended:
                    return False
                self._permits += 1
                self._state.notify_all()
                self._state.wait_for(lambda: not self._permits and self._is_idle())
        return True

    def finish(self) -> Any:
        """Let it make all that are left; the result, or the error raised."""
        while self.step():
            pass
        self._thread.join()
        if self._error is not None and not isinstance(self._error, Crash):
            raise self._error
        return self._result

    def kill(self) -> None:
        """The calls that it has not made never happen."""
        with self._state:
            self._dead = True
            self._state.notify_all()
        self._thread.join()

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Of a call; waits for it."""
        with self._state:
            self._waiting += 1
            self._state.notify_all()
            self._state.wait_for(lambda: self._permits or self._dead)
            self._waiting -= 1
            if self._dead:
                raise Crash
            self._permits -= 1
            self._running += 1
        self.calls.append(name)
        try:
            yield
        finally:
            with self._state:
                self._running -= 1
                self._state.notify_all()

    def _is_idle(self) -> bool:
        """Nothing happens until it is told to go on, if ever."""
        return self._ended or (self._running == 0 and self._waiting > 0)

    def _run(self) -> None:
        try:
            self._result = self._work(self._store)
        except BaseException as error:  # noqa: BLE001
            self._error = error
        with self._state:
            self._ended = True
            self._state.notify_all()
