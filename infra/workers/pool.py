"""A bounded window of work over plain actors: one unit an actor, and whoever dies gives its unit back.

Ray's own retries are off (`max_restarts=0`, `max_task_retries=0`): what is retried, how often, and what is
never retried is decided here.
"""

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError

from infra.errors import Incomplete, JobError, NotStarted, StorageError

Unit = TypeVar("Unit")
PATIENCE_SECONDS = 60.0
# Ray takes up to half a minute to know that a node is gone, and until then puts new actors there. A slot whose actors
# die before they began pauses, twice as long each time, and is given up after so many; fewer if their start raises,
# fewest if what they need themselves does not start, which they have tried then for a while.
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS, STILLBORN, REFUSED, HELPLESS = 0.5, 15.0, 8, 4, 3
DEATHS = (RayActorError, OutOfMemoryError, NodeDiedError)  # of an actor that said nothing wrong
log = logging.getLogger(__name__)


class Pool(Generic[Unit]):
    """`make(slot)` gives an actor for a slot below `size`; `call(actor, unit)` a streaming generator of it.

    A unit is tried `attempts` times if its actor dies, its storage fails or nothing is heard of it for
    `silence_seconds`; other errors pass at once. Actors that die before they had a unit are no unit's fault, nor is a
    NotStarted that one raises: its slot gives way to others, and the run ends with it only if there are none.
    `start_seconds`: how long nothing may be under way because no actor can start; a cluster may have to grow for them.
    """

    def __init__(
        self,
        make: Callable[[int], Any],
        call: Callable[[Any, Unit], Any],
        size: int,
        attempts: int = 4,
        silence_seconds: float = math.inf,
        start_seconds: float = math.inf,
    ) -> None:
        self.make, self.call, self.size, self.attempts = make, call, size, attempts
        self.silence_seconds, self.start_seconds = silence_seconds, start_seconds
        self._failures: Counter[int] = Counter()
        self._queue: deque[tuple[int, Unit]] = deque()
        self._active: dict[Any, tuple[int, Any, tuple[int, Unit] | None]] = {}
        self._stillborn: Counter[int] = Counter()  # since the slot's last actor that lived
        self._helpless: Counter[int] = Counter()  # since the slot's last unit that was done
        self._resting: deque[int] = deque()  # slots whose actor ended because nothing was left to do
        self._pausing: dict[int, float] = {}  # slot: when it tries again
        self._lost = 0

    @property
    def waiting(self) -> int:
        """Units that nobody has begun."""
        return len(self._queue)

    @property
    def under_way(self) -> int:
        """Units that an actor has begun."""
        return sum(work is not None for _, _, work in self._active.values())

    @property
    def retries(self) -> int:
        """How often a unit went back, or an actor died before it had one."""
        return sum(self._failures.values()) + self._lost

    def run(self, units: Iterable[Unit]) -> Generator[tuple[Unit, Any]]:
        """(unit, item) for all that the generators yield, as it comes; a unit tried again starts over.

        The actors live until it ends or is closed: who may stop early closes it.

        Raises Incomplete for a unit whose actors keep dying, or where none can start, StorageError for a unit whose
        storage keeps failing.
        """
        self._queue, self._active, self._pausing = deque(enumerate(units)), {}, {}
        for of_before in (self._stillborn, self._helpless, self._resting):
            of_before.clear()
        self._heard: dict[int, float] = {}
        worked = time.monotonic()
        for slot in range(min(self.size, len(self._queue))):
            self._start(slot)
        try:
            while self._queue or any(work for _, _, work in self._active.values()):
                self._end_pauses()
                patience = min(PATIENCE_SECONDS, self.silence_seconds, self.start_seconds, *self._pauses())
                if not self._active:
                    time.sleep(patience)
                    continue
                ready, _ = ray.wait(list(self._active), num_returns=1, timeout=patience)
                for item in ready:
                    self._heard[self._active[item][0]] = time.monotonic()
                    yield from self._advance(item)
                self._replace_silent()
                if ready or self._pausing or any(work for _, _, work in self._active.values()):
                    worked = time.monotonic()
                else:
                    self._wait_for_room(time.monotonic() - worked)
        finally:
            for _, actor, _ in self._active.values():
                ray.kill(actor)

    def _wait_for_room(self, seconds: float) -> None:
        """Raises Incomplete after too long, or where no node is left that could make any."""
        if not any(node["Alive"] for node in ray.nodes()):
            raise Incomplete("Ray's node died, most likely out of memory; run the same command again")
        if seconds > self.start_seconds:
            raise Incomplete(
                f"no worker could start within {self.start_seconds:g} s; run the same command again"
            )
        log.warning("no room for a worker yet")

    def _start(self, slot: int) -> None:
        """An actor gets work only once it is alive: with fewer CPUs than slots the others do it all."""
        actor = self.make(slot)
        self._active[actor.__ray_ready__.remote()] = (slot, actor, None)

    def _advance(self, ready: Any) -> Iterator[tuple[Unit, Any]]:
        slot, _, work = self._active[ready]
        try:
            if work is None:
                ray.get(ready)
                self._stillborn[slot] = 0
                self._assign(ready)
            else:
                yield work[1], ray.get(next(ready))
        except StopIteration:
            self._helpless[slot] = 0
            self._assign(ready)
        except DEATHS as error:
            del self._active[ready]
            if work is None:
                self._mourn(slot, error)
            else:
                self._give_back(work, Incomplete(f"workers keep dying: {first_line(error)}"))
                self._start(slot)
        except StorageError as error:
            cause = cause_of(error)
            assert work is not None
            self._give_back(work, cause if isinstance(cause, StorageError) else error)
            self._assign(ready)
        except NotStarted as error:
            ray.kill(self._active.pop(ready)[1])
            assert work is not None
            self._queue.append(work)
            self._pause(slot, self._helpless, HELPLESS, cause_of(error))
        except JobError as error:
            raise cause_of(error) from None

    def _mourn(self, slot: int, error: Exception) -> None:
        """An actor died that had no unit yet."""
        refused = getattr(error, "actor_init_failed", False)
        words = str(error).strip().splitlines()[-1].strip() if refused else first_line(error)
        ended = Incomplete(f"workers keep dying: {words}")
        self._pause(slot, self._stillborn, REFUSED if refused else STILLBORN, ended)

    def _pause(self, slot: int, failures: Counter[int], limit: int, error: Exception) -> None:
        """The slot, or one that rests, tries again in a while.

        Raises the error when this was the last slot; one bad node does not end what others do well.
        """
        self._lost += 1
        failures[slot] += 1
        if failures[slot] < limit:
            self._resting.append(slot)
        seconds = min(LAST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (failures[slot] - 1))
        if self._resting:
            log.warning("%s; another worker tries in %g s", error, seconds)
            self._pausing[self._resting.popleft()] = time.monotonic() + seconds
            return
        log.warning("%s; %d times with one worker, which is given up", error, failures[slot])
        if not self._active and not self._pausing:
            raise error

    def _pauses(self) -> list[float]:
        """Seconds that slots will still pause for."""
        now = time.monotonic()
        return [max(0.0, due - now) for due in self._pausing.values()]

    def _end_pauses(self) -> None:
        now = time.monotonic()
        for slot in [slot for slot, due in self._pausing.items() if due <= now]:
            del self._pausing[slot]
            self._start(slot)

    def _replace_silent(self) -> None:
        """An actor that has work and says nothing is stuck where no deadline of its own reaches it."""
        latest = time.monotonic() - self.silence_seconds
        for call, (slot, actor, work) in list(self._active.items()):
            if work and self._heard[slot] < latest and not ray.wait([call], timeout=0)[0]:
                del self._active[call]
                ray.kill(actor)
                self._give_back(work, Incomplete(f"a worker said nothing for {self.silence_seconds:g} s"))
                self._start(slot)

    def _assign(self, finished: Any) -> None:
        """The actor of a finished call gets the next unit, or stays idle out of sight."""
        slot, actor, _ = self._active.pop(finished)
        if self._queue:
            work = self._queue.popleft()
            self._active[self.call(actor, work[1])] = (slot, actor, work)
            self._heard[slot] = time.monotonic()
        else:
            ray.kill(actor)
            self._resting.append(slot)

    def _give_back(self, work: tuple[int, Unit], error: Incomplete | StorageError) -> None:
        self._failures[work[0]] += 1
        log.warning("%s; attempt %d of %d", error, self._failures[work[0]], self.attempts)
        if self._failures[work[0]] >= self.attempts:
            raise error
        self._queue.append(work)


def cause_of(error: Exception) -> Exception:
    """The error as it was raised in an actor, or in one that this called; Ray's copy has a traceback in its text."""
    while isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        error = error.cause
    return error


def first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
