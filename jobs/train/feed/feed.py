"""Batches in their order, produced ahead by parallel data workers within a budget of bytes."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import ray
import torch

from hdpgmm.data.survey import Surveyed
from hdpgmm.data.whitening import Whitening
from jobs.train.feed.plan import Batch, Places
from jobs.train.feed.upload import Loaded, Packed, loaded

CPU = torch.device("cpu")


class Feed:
    """Asks `workers` (actor handles of DataWorker) for batches; paths (shard,) are those of the plan.

    A batch is in Ray's object store, finished or in the making, from when it is asked for until the caller asks for the
    one after it; what is there together never exceeds `ahead_bytes`, but for one batch alone that is larger than its
    share of them. Counts the seconds that the caller waits, and the most bytes that were there.
    """

    def __init__(self, workers: Sequence[Any], paths: np.ndarray, ahead_bytes: int) -> None:
        self.workers, self.ahead_bytes = list(workers), ahead_bytes
        self.waited_seconds, self.max_bytes_ahead, self._ahead = 0.0, 0, 0
        self._paths = ray.put(paths)

    def batches(
        self, batches: Iterable[Batch], whitening: Whitening, device: torch.device = CPU, share: float = 1.0
    ) -> Iterator[Loaded]:
        """(batch, its songs) in the order given. On the CPU they lie in the store: keep no reference for long.

        share: of the bytes ahead; what is read at the same time has the rest.
        """
        coming = loaded(self._asked(batches, whitening, int(share * self.ahead_bytes)), device)
        while True:
            started = time.perf_counter()
            item = next(coming, None)
            self.waited_seconds += time.perf_counter() - started
            if item is None:
                return
            yield item
            del item  # before the next one is asked for

    def survey(self, groups: Iterable[tuple[Places, float, bool]], seed: int) -> Iterator[Surveyed]:
        """Of each (row group, share, summed) what `DataWorker.survey` gives, in order, a few under way per worker."""
        waiting: deque[Any] = deque()
        for number, (places, share, summed) in enumerate(groups):
            if len(waiting) >= 2 * len(self.workers):
                yield ray.get(waiting.popleft())
            worker = self.workers[number % len(self.workers)]
            key = (seed, int(places.shard[0]), int(places.row_group[0]))
            waiting.append(worker.survey.remote(self._paths, places, share, key, summed))
        while waiting:
            yield ray.get(waiting.popleft())

    def _asked(self, batches: Iterable[Batch], whitening: Whitening, most_bytes: int) -> Iterator[Packed]:
        shared, dim, own = ray.put(whitening), len(whitening.mean), 0
        waiting: deque[tuple[Batch, Any]] = deque()

        def count(n_bytes: int) -> None:
            nonlocal own
            own, self._ahead = own + n_bytes, self._ahead + n_bytes
            self.max_bytes_ahead = max(self.max_bytes_ahead, self._ahead)

        try:
            for batch in batches:
                while waiting and own + batch.n_bytes(dim) > most_bytes:
                    freed = waiting[0][0].n_bytes(dim)
                    yield _take(waiting)
                    count(-freed)
                worker = self.workers[(batch.epoch + batch.window) % len(self.workers)]
                waiting.append((batch, worker.batch.remote(self._paths, batch.places, shared)))
                count(batch.n_bytes(dim))
            while waiting:
                yield _take(waiting)
        finally:
            count(-own)


def _take(waiting: deque[tuple[Batch, Any]]) -> Packed:
    batch, reference = waiting.popleft()
    return batch, ray.get(reference)
