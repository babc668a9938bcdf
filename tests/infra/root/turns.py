"""Processes that share objects, one step at a time, in an order that the test chooses: a pause anywhere, of any length.

A step is a call to the storage. Between two of them a process may be paused while the others do as much as they like.
"""

import threading
from collections.abc import Callable, Sequence

from infra.errors import StorageError

Choose = Callable[[Sequence[int]], int]  # out of the numbers of processes that go on, whose turn it is


class Turns:
    """Runs processes in threads of which one at a time is awake."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self._turn: dict[int, threading.Semaphore] = {}
        self._back = threading.Semaphore(0)
        self._me = threading.local()

    def run(self, processes: Sequence[Callable[[], None]]) -> None:
        """Until all have ended; raises what one of them raised."""
        going, errors = list(range(len(processes))), list[BaseException]()

        def process(number: int) -> None:
            self._me.number = number
            self._turn[number].acquire()
            try:
                processes[number]()
            except BaseException as error:  # noqa: BLE001
                errors.append(error)
            going.remove(number)
            self._back.release()

        for number in list(going):
            self._turn[number] = threading.Semaphore(0)
            threading.Thread(target=process, args=(number,), daemon=True).start()
        while going and not errors:
            self._turn[self.choose(going)].release()
            self._back.acquire()
        if errors:
            raise errors[0]

    def step(self) -> None:
        """The calling process pauses here until it is its turn again."""
        number = getattr(self._me, "number", None)
        if number is not None:
            self._back.release()
            self._turn[number].acquire()


class Shared:
    """A storage in memory; each call is one step, a move two. `seen` is called with every object that did not exist
    before, and with what was moved.

    `failing` says of a create whether it fails: "before" it did anything, "after" it did, or not ("").
    """

    def __init__(
        self, turns: Turns, seen: Callable[[str, bytes], None], failing: Callable[[], str] = lambda: ""
    ) -> None:
        self.turns, self.seen, self.failing, self.objects = turns, seen, failing, dict[str, bytes]()
        self._staged = 0

    def names(self, path: str) -> list[str]:
        self.turns.step()
        return sorted(key.removeprefix(f"{path}/") for key in self.objects if key.startswith(f"{path}/"))

    def read(self, path: str) -> bytes:
        self.turns.step()
        if path not in self.objects:
            raise FileNotFoundError(path)
        return self.objects[path]

    def create(self, path: str, data: bytes) -> bool:
        self.turns.step()
        how = self.failing()
        if how == "before":
            raise StorageError(path)
        is_new = path not in self.objects
        if is_new:
            self.objects[path] = data
            self.seen(path, data)
        if how == "after":
            raise StorageError(path)
        return is_new

    def write(self, path: str, data: bytes) -> None:
        self.turns.step()
        self.objects[path] = data

    def stage(self, path: str, data: bytes) -> str:
        staged = f"{path}.staged-{self._staged}"
        self._staged += 1
        self.write(staged, data)
        return staged

    def move(self, source: str, target: str) -> bool:
        """As S3 does."""
        self.turns.step()
        if source not in self.objects:
            return False
        self.objects[target] = self.objects[source]
        self.seen(target, self.objects[target])
        self.delete(source)
        return True

    def delete(self, path: str) -> None:
        self.turns.step()
        self.objects.pop(path, None)

    def uri(self, path: str) -> str:
        return path


def paused_after(*steps: int) -> Choose:
    """Two processes: the first is paused after so many of its steps, then the second, then the first and so on; once
    there are no more pauses, the one whose turn it is ends before the other goes on.
    """
    left = list(steps)

    def choose(going: Sequence[int]) -> int:
        while left and left[0] == 0:
            left.pop(0)
        turn = (len(steps) - len(left)) % 2
        if left:
            left[0] -= 1
        return turn if turn in going else going[0]

    return choose


def any_of(draw: Callable[[int], int]) -> Choose:
    """`draw(n)` gives a number below n."""
    return lambda going: going[draw(len(going))]
