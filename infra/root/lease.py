"""One run at a time: a lease with a token that every commit bears, and beats by which others see that its holder lives.

    <path>/00000041.json        entries: who holds it, and what is committed (infra.root.journal)
    <path>/beat-00000040.json   changes every few seconds while the holder of tenure 40 lives

The beats are a courtesy: they tell a second run to wait. Nothing depends on their being right. A holder that is taken
for dead, because it was paused or the storage was away, cannot commit any more once it was taken over (`journal`).

A process that certainly is gone is taken over at once, which can be known on the same machine and in the same container
(infra.root.owner); any other when its beats have stood still for a while. No clocks are compared.
"""

import json
import logging
import math
import threading
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import replace
from typing import TypeVar

from infra.errors import Incomplete, StorageError, TakenOver
from infra.progress import waiting
from infra.root import layout
from infra.root.journal import NOTHING, Entry, Fence, Journal, succeed, taken_over
from infra.root.owner import described, is_gone, this_process
from infra.storage.store import Store

BEAT_SECONDS = 10.0
WATCH_SECONDS = 35.0  # three beats, and a slow one
log = logging.getLogger(__name__)
_outer: ContextVar["Lease | None"] = ContextVar("lease", default=None)

T = TypeVar("T")


class Lease:
    """Held inside the block. Raises Incomplete where another process holds it, StorageError if that cannot be known.

    Inside the block of another lease of this process it is held within that one: who takes that one over has ended this
    one, too.
    """

    def __init__(self, store: Store, path: str, what: str) -> None:
        self.store, self.path, self.what = store, path, what
        self.tenure = 0
        self.is_lost = False  # another was seen to hold it
        self._journal = Journal(store, path)
        self._fence: Fence | None = None
        self._children: dict[str, int] = {}

    def __enter__(self) -> "Lease":
        self._within = _outer.get()
        try:
            head = self._take()
        except BaseException:  # raised again: whatever it was, also an interrupt, this lease is not held
            self._leave_outer()
            raise
        self.tenure, self._mine, self._fence = head.tenure, head, Fence(self._journal, head)
        self._reset = _outer.set(self)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        _outer.reset(self._reset)
        self._leave_outer()
        try:
            self.fence.end()
            self.store.delete(self._beats(self.tenure))
        except TakenOver:
            return
        except StorageError as error:
            log.warning(
                "%s: the lease could not be given back (%s); the next run waits a while", self.what, error
            )

    @property
    def fence(self) -> Fence:
        """What this process commits with. Raises TakenOver where it holds the lease no more."""
        if self._fence is None:
            self._fence = self.hand_over()
        return self._fence

    def hand_over(self) -> Fence:
        """A fence with a new token, for another process; those of before commit no more. `fence` then takes it back."""
        self._fence = None
        while True:
            head = self._own_head()
            # What the process of the last token left is completed, as at a takeover.
            entry = head.followed(token=head.number + 1, children=dict(self._children))
            found = self._journal.put(entry)
            if found is not None and found.id == entry.id:
                entry.effect.apply(self.store)
                return Fence(self._journal, replace(entry, effect=NOTHING))

    def check(self) -> None:
        """Raises TakenOver once another holds the lease."""
        self._own_head()

    def _take(self) -> Entry:
        owner = this_process()
        while True:
            head = self._journal.head()
            if not head.is_free and not is_gone(head.owner):
                head = self._watch(head)
            number = head.number + 1
            if self._within is not None:
                self._within._announce(self.path, number)
            taken = succeed(self._journal, head, Entry(number, self.what, number, number, owner))
            if taken is not None:
                if not head.is_free:
                    self.store.delete(self._beats(head.tenure))
                return taken

    def _leave_outer(self) -> None:
        if self._within is not None:
            self._within._children.pop(self.path, None)

    def _announce(self, path: str, number: int) -> None:
        self._children[path] = number
        self.fence.commit(children=dict(self._children))

    def _own_head(self) -> Entry:
        head = self._journal.head()
        if head.tenure != self.tenure:
            self.is_lost = True
            raise taken_over(self._mine, head)
        return head

    def _beat(self) -> None:
        beats = 0
        while not self._ending.wait(BEAT_SECONDS):
            beats += 1
            try:
                self.check()
                self.store.write(self._beats(self.tenure), json.dumps({"beat": beats}).encode())
            except TakenOver:
                return  # the next commit says so
            except StorageError:
                continue  # the next beat may be written

    def _watch(self, head: Entry) -> Entry:
        """The head once it is free or its holder is gone, or this very one after a while without a sign of life.

        Looks are counted, not seconds: one who was paused meanwhile has seen nothing.
        """
        seconds, pulse = min(1.0, BEAT_SECONDS), self._pulse(head)
        with waiting(f"{self.what}: is the run of {head.owner.get('host')} still alive?"):
            for _ in range(math.ceil(WATCH_SECONDS / seconds)):
                time.sleep(seconds)
                latest = self._journal.head()
                if latest.is_free or is_gone(latest.owner):
                    return latest
                if latest.number != head.number or self._pulse(head) != pulse:
                    owner = described(latest.owner)
                    raise Incomplete(f"{self.what} is under way ({owner}); wait for it, or run again later")
        return head

    def _pulse(self, head: Entry) -> bytes:
        try:
            return self.store.read(self._beats(head.tenure))
        except FileNotFoundError:
            return b""

    def _beats(self, tenure: int) -> str:
        return layout.beat(self.path, tenure)


def holding(lease: Lease, items: Iterable[T]) -> Iterator[T]:
    """The items, until another is known to hold the lease: then raises TakenOver. For work that would be done twice."""
    for item in items:
        if lease.is_lost:
            lease.check()
        yield item
