"""The window of actors: every unit gets done, whoever dies; nothing is tried for ever."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import ray

from infra.errors import Incomplete, JobError, NotStarted, StorageError
from infra.workers import pool as pool_module
from infra.workers.pool import Pool

pytestmark = pytest.mark.ray


class Worker:
    """Yields a unit's parts; 'die' units kill the process until their file has enough lines."""

    def __init__(self, slot: int, births: str = "", deaths: int = 0, helpless: Sequence[int] = ()) -> None:
        self.slot, self.helpless = slot, helpless
        if deaths:
            with open(f"{births}/{slot}", "a") as file:
                file.write("x")
            if Path(f"{births}/{slot}").stat().st_size <= deaths:
                os._exit(1)

    def work(self, unit: str):
        yield f"{unit} begun"
        verb, _, rest = unit.partition(" ")
        if verb == "die":
            path, times = rest.split()
            with open(path, "a") as file:
                file.write("x")
            if Path(path).stat().st_size <= int(times):
                os._exit(1)
        if verb == "storage":
            raise StorageError("the disk is gone")
        if verb == "stuck":
            time.sleep(1000)
        if verb == "refused":
            raise JobError("that will never do")
        if verb == "start":
            births, together = Path(rest[:-1]) / str(self.slot), int(rest[-1])
            with births.open("a") as file:
                file.write("x")
            while len(list(births.parent.iterdir())) < together:
                time.sleep(0.02)
            if births.stat().st_size <= self.helpless[self.slot]:
                time.sleep(0.5)
                raise NotStarted("the decoder does not start: no room")
        if verb == "bug":
            raise ValueError("a bug")
        yield f"{unit} done"


@pytest.fixture
def pool(ray_session: None) -> Pool[str]:
    actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Worker)
    return Pool(
        make=lambda slot: actor.remote(slot),
        call=lambda worker, unit: worker.work.options(num_returns="streaming").remote(unit),
        size=2,
        attempts=3,
    )


def done(pool: Pool[str], units: list[str]) -> list[str]:
    return sorted(unit for unit, item in pool.run(units) if item == f"{unit} done")


def test_every_unit_is_done_once(pool: Pool[str]):
    units = [f"u{number:02}" for number in range(9)]
    assert done(pool, units) == units


def test_more_workers_than_cpus_or_units(pool: Pool[str]):
    pool.size = 7
    assert done(pool, ["a", "b", "c", "d", "e"]) == ["a", "b", "c", "d", "e"]
    assert done(pool, ["a"]) == ["a"]
    assert done(pool, []) == []


def test_a_dead_workers_unit_is_done_by_another(pool: Pool[str], tmp_path: Path):
    units = ["a", f"die {tmp_path}/x 2", "b", "c"]
    assert done(pool, units) == sorted(units)
    assert (tmp_path / "x").stat().st_size == 3


def test_a_unit_that_always_kills_ends_the_run(pool: Pool[str], tmp_path: Path):
    with pytest.raises(Incomplete, match="workers keep dying"):
        done(pool, [f"die {tmp_path}/x 99", "b"])
    assert (tmp_path / "x").stat().st_size == 3


def test_workers_that_die_before_they_begin_are_no_units_fault(
    pool: Pool[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As on a node that is gone while Ray does not know it yet."""
    monkeypatch.setattr(pool_module, "FIRST_PAUSE_SECONDS", 0.01)
    actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Worker)
    deaths = pool_module.STILLBORN - 1
    pool.make = lambda slot: actor.remote(slot, str(tmp_path), deaths)
    assert done(pool, ["a", "b", "c"]) == ["a", "b", "c"]
    assert pool.retries >= deaths
    (tmp_path / "bad").mkdir()
    pool.make = lambda slot: actor.remote(slot, str(tmp_path / "bad"), 99 if slot else 0)
    assert done(pool, ["a", "b", "c"]) == ["a", "b", "c"]  # one bad node is not all
    pool.make = lambda slot: actor.remote(slot, str(tmp_path / "bad"), 99)
    with pytest.raises(Incomplete, match="workers keep dying"):
        done(pool, ["a", "b", "c"])


def test_whose_child_does_not_start_gives_its_unit_to_others(
    pool: Pool[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pool_module, "FIRST_PAUSE_SECONDS", 0.01)
    actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Worker)
    limit, places = 2, iter("abc")
    monkeypatch.setattr(pool_module, "HELPLESS", limit)

    def tries(units: int, *helpless: int) -> tuple[int, ...]:
        """How often each slot began, where so many of its first children do not start; all begin together."""
        (folder := tmp_path / next(places)).mkdir()
        pool.make = lambda slot: actor.remote(slot, helpless=helpless)
        names = [f"start {folder}{min(units, 2)}"] * units
        assert done(pool, names) == names
        return tuple((folder / str(slot)).stat().st_size for slot in range(min(units, 2)))

    assert tries(2, 0, 99) == (2, 1)  # the first had ended, as nothing was left to do
    assert tries(1, limit - 1) == (limit,)
    before = pool.retries
    with pytest.raises(NotStarted, match=r"^the decoder does not start: no room$"):
        tries(3, 99, 99)
    assert pool.retries - before == 2 * limit


def test_why_a_worker_cannot_even_start_is_told(pool: Pool[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool_module, "FIRST_PAUSE_SECONDS", 0.01)
    actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Worker)
    pool.make = lambda slot: actor.remote(slot, "/no/such", 1)
    with pytest.raises(Incomplete, match=r"workers keep dying: FileNotFoundError: .*/no/such/"):
        done(pool, ["a"])
    assert pool.retries == pool_module.REFUSED


def test_where_no_worker_can_start_there_is_an_end(pool: Pool[str]):
    pool.start_seconds = 60.0
    assert done(pool, ["a", "b"]) == ["a", "b"]
    pool.start_seconds = 1.0
    actor = ray.remote(num_cpus=64, max_restarts=0, max_task_retries=0)(Worker)
    pool.make = lambda slot: actor.remote(slot)
    with pytest.raises(Incomplete, match="no worker could start within 1 s"):
        done(pool, ["a"])


def test_where_no_node_is_left_there_is_an_end(pool: Pool[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool_module, "PATIENCE_SECONDS", 0.2)
    actor = ray.remote(num_cpus=64, max_restarts=0, max_task_retries=0)(Worker)
    pool.make = lambda slot: actor.remote(slot)
    nodes = iter([ray.nodes()])
    monkeypatch.setattr(pool_module.ray, "nodes", lambda: next(nodes, [{"Alive": False}]))
    with pytest.raises(Incomplete, match="Ray's node died"):
        done(pool, ["a"])
    assert next(nodes, None) is None  # while one lived it waited


def test_a_storage_that_keeps_failing_ends_the_run_with_its_own_words(pool: Pool[str]):
    with pytest.raises(StorageError) as raised:
        done(pool, ["a", "storage", "b"])
    assert str(raised.value) == "the disk is gone"


def test_what_a_worker_says_on_purpose_passes_in_its_own_words(pool: Pool[str]):
    with pytest.raises(JobError) as raised:
        done(pool, ["a", "refused", "b"])
    assert str(raised.value) == "that will never do"


def test_a_bug_is_not_tried_again(pool: Pool[str]):
    with pytest.raises(ValueError, match="a bug"):
        done(pool, ["bug"])


def test_a_silent_workers_unit_goes_to_another_and_not_for_ever(pool: Pool[str]):
    pool.silence_seconds = 2.0
    started = time.monotonic()
    with pytest.raises(Incomplete, match="a worker said nothing for 2 s"):
        done(pool, ["a", "stuck", "b", "c"])
    assert time.monotonic() - started < 60
