"""The trainer's ranks as Ray actors with one process group, and what becomes of them.

Ray Train's TorchTrainer would start them too: in 19 s where this takes 3 (2 cores, 2026-11-22), and it keeps their
reports to itself until they end.
"""

import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util import get_node_ip_address
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from infra.errors import ConfigError, Incomplete, JobError
from infra.root.journal import Fence
from infra.workers.cluster import leaving_nodes, n_gpus, wants_gpu
from infra.workers.pool import DEATHS, cause_of, first_line
from jobs.train.errors import RanksApart, RanksDied
from jobs.train.events import Event, Stepped, Stopped
from jobs.train.feed.worker import DataWorker
from jobs.train.provenance import Assignment

log = logging.getLogger(__name__)

STORE_SHARE = 0.7  # of a node's object store, at most, for batches: ready, in the making or in use
FIRST_LOOK_SECONDS, PLACED_SECONDS = 3.0, 60.0
LOOK_SECONDS = 0.2  # between two looks at whether someone wants an end
LEAVING_SECONDS = (
    2.0  # between two looks at whether a node will be lost; notices come 30 s to 2 minutes ahead
)
# OpenMP threads that spin while they wait starve their neighbours: 10 to 27 times slower on two busy cores.
PASSIVE_WAIT = {"OMP_WAIT_POLICY": "PASSIVE"}
# Processes that see all GPUs of their machine exchange memory directly; each uses the one that Ray gave it.
ALL_GPUS = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}


class Rank:
    """One process of the trainer."""

    def __init__(self, assignment: Assignment, workers: Sequence[Any], rank: int, n_ranks: int) -> None:
        self.assignment, self.workers, self.rank, self.n_ranks = assignment, workers, rank, n_ranks
        self._stopping = False
        signal.signal(signal.SIGTERM, lambda *_: self.stop())

    def address(self) -> str:
        """Where the ranks meet: this node, a free port."""
        host = get_node_ip_address()
        with socket.socket() as probe:
            probe.bind((host, 0))
            return f"tcp://{host}:{probe.getsockname()[1]}"

    def train(self, address: str | None) -> Iterator[Event]:
        """The events of the first rank; the others have none."""
        from jobs.train.rank import (
            trained,  # torch takes two seconds to import, which the driver need not spend
        )

        yield from trained(
            self.assignment, self.workers, self.rank, self.n_ranks, address, lambda: self._stopping
        )

    def stop(self) -> None:
        """Leave a checkpoint after this step and end."""
        self._stopping = True


class RankGroup:
    """Ranks and data workers on the connected cluster; a context manager.

    The ranks' placement group is what an autoscaler sees of them, and goes with them; `wait_seconds` is how long room
    for it may take to come.
    """

    def __init__(self, assignment: Assignment, wait_seconds: float = 0.0) -> None:
        config = assignment.config
        self.gpu = wants_gpu(config.device, "train.device", wait_seconds > 0.0)
        self.n_ranks = config.ranks or (max(1, n_gpus()) if self.gpu else 1)
        self._placed_seconds = max(PLACED_SECONDS, wait_seconds)
        limit = int(STORE_SHARE * _least_store_bytes())
        within = config.model_copy(update={"ahead_bytes": min(config.ahead_bytes, limit)})
        self.assignment = replace(assignment, config=within)
        self.interrupted = False
        self._ranks: list[Any] = []

    def __enter__(self) -> "RankGroup":
        config = self.assignment.config
        # They wait for storage more than they compute, and must not wait for a CPU that the ranks have taken.
        options: Any = {"num_cpus": 0, "scheduling_strategy": "SPREAD"}
        reader: Any = ray.remote(max_restarts=-1, max_task_retries=-1, **options)(DataWorker)
        self._workers = [reader.remote(self.assignment.root) for _ in range(config.data_workers)]
        self._place()
        if not self._placed():
            self.__exit__()
            kind = "GPU" if self.gpu else "CPU"
            there = ray.cluster_resources().get(kind, 0)
            needs = f"train.ranks: {self.n_ranks} ranks need a {kind} each"
            if there >= self.n_ranks:
                raise Incomplete(
                    f"{needs}, and the cluster's {there:g} are in use; run the same command again"
                )
            if self._placed_seconds > PLACED_SECONDS:
                raise Incomplete(
                    f"{needs}, and the cluster did not grow beyond {there:g} within {self._placed_seconds:g} s "
                    "(ray.wait_seconds); run the same command again"
                )
            raise ConfigError(f"{needs}, the cluster has {there:g}")
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        for worker in self._workers:
            ray.kill(worker)
        remove_placement_group(self._places)

    def train(self, fence: Fence) -> Iterator[Event]:
        """Start the ranks, which commit with this fence, and yield what the first one reports until all have ended.

        Raises RanksDied, and what a rank raised. Ctrl-C is handed on once they have left a checkpoint.
        """
        if self._will_lose_one():
            remove_placement_group(self._places)
            self._place()
        if not self._placed():
            raise Incomplete(
                f"no room for {self.n_ranks} ranks since one was lost; run the same command again"
            )
        self.assignment = replace(self.assignment, fence=fence)
        self._ranks = [self._rank(number) for number in range(self.n_ranks)]
        try:
            with self._interrupts_noted():
                address = ray.get(self._ranks[0].address.remote()) if self.n_ranks > 1 else None
                events, *others = [
                    rank.train.options(num_returns="streaming").remote(address) for rank in self._ranks
                ]
                yield from self._follow(events, others)
        except DEATHS as error:
            raise RanksDied(first_line(error)) from None
        except RayTaskError as error:
            self._raise_cause(error)
        finally:
            self._end()
        if self.interrupted:
            raise KeyboardInterrupt
        if self._stopped:
            raise RanksDied("it was told to, or its node will be lost")

    def _follow(self, events: Any, others: list[Any]) -> Iterator[Event]:
        waiting, stop_sent, stepping = [events, *others], False, False
        self._stopped, looked = False, time.monotonic()
        while waiting:
            if self.interrupted and not stepping:
                raise KeyboardInterrupt  # there is nothing yet to leave a checkpoint of
            if not stop_sent and self.interrupted:
                stop_sent = True
                log.info("train: stopping after this step; once more stops at once")
                self._ranks[0].stop.remote()
            if not stop_sent and time.monotonic() - looked > LEAVING_SECONDS:
                looked, stop_sent = time.monotonic(), self._leave()
            ready, _ = ray.wait(waiting, num_returns=1, timeout=LOOK_SECONDS)
            for generator in ready:
                try:
                    event: Any = ray.get(next(generator))  # pyright: ignore[reportArgumentType]
                except StopIteration:
                    waiting.remove(generator)
                else:
                    stepping = stepping or isinstance(event, Stepped)
                    self._stopped = isinstance(event, Stopped)
                    yield event

    def _leave(self) -> bool:
        """Whether a node with a rank will be lost; if so, the ranks are told to leave a checkpoint."""
        if not self._will_lose_one():
            return False
        log.warning("train: the cluster is about to lose a node with a rank")
        self._ranks[0].stop.remote()
        return True

    def _will_lose_one(self) -> bool:
        leaving = leaving_nodes()
        return bool(leaving) and not leaving.isdisjoint(self._nodes())

    def _place(self) -> None:
        # A node with a GPU may have no CPUs to give, so that nothing else brings it.
        self._places = placement_group([{"GPU" if self.gpu else "CPU": 1.0}] * self.n_ranks)

    def _placed(self) -> bool:
        """Whether there is room for all ranks, or comes in time."""
        if not self._places.wait(FIRST_LOOK_SECONDS):
            log.info("train: waiting for room for %d ranks, %g s at most", self.n_ranks, self._placed_seconds)
            return bool(self._places.wait(self._placed_seconds))
        return True

    def _nodes(self) -> set[str]:
        """Ids of the nodes that have a place for a rank."""
        table: dict[str, Any] = placement_group_table(self._places)
        return set(table["bundles_to_node_id"].values())

    @contextmanager
    def _interrupts_noted(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM are noted the first time and end everything the second; they come to the main thread."""

        def note(number: int, frame: Any) -> None:
            if self.interrupted:
                signal.default_int_handler(number, frame)
            self.interrupted = True

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _raise_cause(self, error: RayTaskError) -> None:
        """What a rank raised on purpose; a rank whose neighbour died raises, too, but of that."""
        cause = cause_of(error)
        if not isinstance(cause, JobError):
            try:
                ray.get([rank.address.remote() for rank in self._ranks])
            except RayError as death:
                raise RanksDied(first_line(death)) from None
            if isinstance(cause, RanksApart):
                raise RanksDied(str(cause)) from None
            raise error.as_instanceof_cause() from None
        raise cause from None

    def _rank(self, number: int) -> Any:
        options: Any = {
            "num_cpus": int(not self.gpu),
            "num_gpus": int(self.gpu),
            "max_concurrency": 2,  # `stop` while `train` runs
            "runtime_env": {"env_vars": {**PASSIVE_WAIT, **ALL_GPUS}},
            "scheduling_strategy": PlacementGroupSchedulingStrategy(self._places, number),
        }
        actor: Any = ray.remote(**options)(Rank)
        return actor.remote(self.assignment, self._workers, number, self.n_ranks)

    def _end(self) -> None:
        for rank in self._ranks:
            ray.kill(rank)
        self._ranks = []


def _least_store_bytes() -> float:
    """Object store of the node that has the least."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return min(there.get("object_store_memory", 1 << 30) for there in alive)
