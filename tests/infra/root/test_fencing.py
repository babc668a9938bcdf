"""Every order of two holders' storage calls with three pauses, and random orders of three: tokens are one holder's, and
what bears an older one does not appear once a newer holder has begun.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from infra.errors import StorageError, TakenOver
from infra.root import lease
from infra.root.journal import Effect, Fence
from infra.root.lease import Lease
from tests.infra.root.turns import Choose, Shared, Turns, any_of, paused_after

INNER, OUTER, TABLE = "inner", "outer", "visible/table"  # leases, and an object that every commit replaces


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody takes everybody else for dead, at once, and gives no sign of life."""
    monkeypatch.setattr(lease, "is_gone", lambda _: True)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 1e6)


@dataclass
class World:
    """What happened: tokens by lease in the order in which holders began, and what was told to be committed."""

    store: Any = None
    begun: dict[str, list[int]] = field(default_factory=lambda: {INNER: [], OUTER: []})
    told: set[str] = field(default_factory=set)
    n_names: Iterator[int] = field(default_factory=itertools.count)

    def begin(self, path: str, token: int) -> None:
        assert token not in self.begun[path]
        self.begun[path].append(token)

    def seen(self, path: str, data: bytes) -> None:
        """An object has become visible: no newer holder may have begun."""
        if path.startswith("visible/"):
            for part in data.decode().split():
                name, _, token = part.partition("=")
                assert all(other <= int(token) for other in self.begun[name]), (
                    f"{part} after {self.begun[name]}"
                )

    def commit(self, fence: Fence, bears: str, n_times: int) -> None:
        """Tries again where the storage fails, as the trainer does."""
        for _ in range(n_times):
            path = f"visible/{next(self.n_names)}"
            while path not in self.told:
                with suppress(StorageError):
                    moved = (self.store.stage(TABLE, bears.encode()), TABLE)
                    fence.commit(Effect(create=((path, bears),), move=(moved,)))
                    self.told.add(path)


def alone(world: World, n_commits: int) -> None:
    """A job."""
    with Lease(world.store, INNER, "a job") as held:
        world.begin(INNER, held.tenure)
        world.commit(held.fence, f"{INNER}={held.tenure}", n_commits)


def trainer(world: World, n_commits: int) -> None:
    """A job that lets two other processes commit, one after the other."""
    with Lease(world.store, INNER, "a training") as held:
        world.begin(INNER, held.tenure)
        for _ in range(2):
            fence = held.hand_over()
            world.begin(INNER, fence.token)
            world.commit(fence, f"{INNER}={fence.token}", n_commits)
        fence = held.fence
        world.begin(INNER, fence.token)
        world.commit(fence, f"{INNER}={fence.token}", 1)


def pipeline(world: World, n_commits: int) -> None:
    """A job that holds another lease for its stage."""
    with Lease(world.store, OUTER, "a pipeline") as outer:
        world.begin(OUTER, outer.tenure)
        with Lease(world.store, INNER, "its stage") as held:
            world.begin(INNER, held.tenure)
            world.commit(held.fence, f"{OUTER}={outer.tenure} {INNER}={held.tenure}", n_commits)
        world.commit(outer.fence, f"{OUTER}={outer.tenure}", 1)


Job = Callable[[World, int], None]


def play(choose: Choose, *jobs: tuple[Job, int], failing: Callable[[], str] = lambda: "") -> None:
    """Let them run in that order of calls, then look at what is there, and whether the leases can be taken."""
    world, turns = World(), Turns(choose)
    world.store = Shared(turns, world.seen, failing)

    def process(job: Job, n_commits: int) -> None:
        try:
            job(world, n_commits)
        except (TakenOver, StorageError):
            return

    turns.run([lambda job=job, n=n: process(job, n) for job, n in jobs])
    assert world.told <= world.store.objects.keys()
    world.store.failing = lambda: ""
    with Lease(world.store, OUTER, "the last"), Lease(world.store, INNER, "the last") as last:
        last.fence.commit(Effect(create=(("visible/last", f"{INNER}={last.tenure}"),)))
    assert "visible/last" in world.store.objects
    for path in (INNER, OUTER):
        entries = [name for name in world.store.objects if name.startswith(f"{path}/0")]
        assert len(entries) <= 2 + 3 * len(jobs)  # what was put late, by who was paused, goes with the next


PAIRS = {
    "jobs": ((alone, 2), (alone, 3)),
    "trainings": ((trainer, 1), (alone, 1)),
    "pipelines": ((pipeline, 1), (pipeline, 1)),
    "a pipeline and a job": ((pipeline, 1), (alone, 1)),
    "a job and a pipeline": ((alone, 1), (pipeline, 1)),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_one_pause_anywhere(pair: tuple[tuple[Job, int], tuple[Job, int]]):
    for first in range(60):
        play(paused_after(first), *pair)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_pauses_of_both(pair: tuple[tuple[Job, int], tuple[Job, int]]):
    for first in range(40):
        for second in range(first % 4, 36, 4):
            play(paused_after(first, second), *pair)


def test_three_pauses_anywhere():
    for first, second in itertools.product(range(1, 13), range(1, 13)):
        for third in range(1 + (first + second) % 2, 10, 2):
            play(paused_after(first, second, third), (alone, 1), (alone, 2))


def test_a_stage_is_taken_over_by_one_who_pauses_while_the_pipeline_is_taken_over():
    for first, second in itertools.product(range(8, 26), range(1, 9)):
        order = iter([0] * first + [1] * second + [2] * 100 + [1] * 100 + [0] * 100)

        def choose(going: Sequence[int], order: Iterator[int] = order) -> int:
            return next(number for number in order if number in going)

        play(choose, (pipeline, 1), (alone, 1), (pipeline, 1))


def test_tokens_that_are_handed_to_another_process():
    """Which is paused in the middle of its commit, while the first one hands over the next token."""
    for first, second in itertools.product(range(1, 12), range(1, 12)):
        world, turns, fences = World(), Turns(paused_after(first, second)), list[Fence]()
        world.store = Shared(turns, world.seen)

        def first_process(world: World = world, fences: list[Fence] = fences) -> None:
            with Lease(world.store, INNER, "a training") as held:
                for _ in range(2):
                    fence = held.hand_over()
                    world.begin(INNER, fence.token)
                    fences.append(fence)
                    world.store.names("elsewhere")

        def second_process(world: World = world, fences: list[Fence] = fences) -> None:
            for number in range(2):
                while len(fences) <= number:
                    world.store.names("elsewhere")
                with suppress(TakenOver):
                    world.commit(fences[number], f"{INNER}={fences[number].token}", 1)

        turns.run([first_process, second_process])
        assert world.told <= world.store.objects.keys()


@pytest.mark.parametrize("seed", range(8))
def test_three_in_random_order(seed: int):
    """Runs of steps, as pauses make them, and single ones; with a storage that fails, and one that loses replies."""
    rng = random.Random(seed)
    for _ in range(60):
        runs = rng.choice((0.0, 0.7, 0.95))
        last = [0]

        def draw(n: int, runs: float = runs, last: list[int] = last) -> int:
            if rng.random() >= runs or last[0] >= n:
                last[0] = rng.randrange(n)
            return last[0]

        def failing(often: float = rng.choice((0.0, 0.1))) -> str:
            return rng.choice(("before", "after")) if rng.random() < often else ""

        jobs = [(rng.choice((alone, trainer, pipeline)), rng.randint(1, 2)) for _ in range(3)]
        play(any_of(draw), *jobs, failing=failing)
