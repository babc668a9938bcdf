"""Batches in their order, produced ahead by parallel data workers within a budget of bytes."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import ray

from hdpgmm.whitening import Moments, Whitening
from infra.plan import Batch, Pick


class Feed:
    """Asks `workers` (actor handles of DataWorker) for batches; counts the seconds spent waiting for one."""

    def __init__(self, workers: Sequence[Any], ahead_bytes: int) -> None:
        self.workers = list(workers)
        self.ahead_bytes = ahead_bytes
        self.waited_seconds = 0.0

    def batches(
        self, batches: Iterable[Batch], whitening: Whitening
    ) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
        """(batch, values, offsets) in the order given. At least one batch is always under way."""
        shared = ray.put(whitening)
        frame_bytes = 4 * len(whitening.mean)
        waiting: deque[tuple[Batch, Any]] = deque()
        ahead = 0
        for batch in batches:
            while waiting and ahead + batch.n_frames * frame_bytes > self.ahead_bytes:
                ahead -= waiting[0][0].n_frames * frame_bytes
                yield self._take(waiting)
            worker = self.workers[(batch.epoch + batch.window) % len(self.workers)]
            waiting.append((batch, worker.batch.remote(batch.picks, shared)))
            ahead += batch.n_frames * frame_bytes
        while waiting:
            yield self._take(waiting)

    def survey(
        self, row_groups: Sequence[list[Pick]], share: float, seed: int
    ) -> Iterator[tuple[Moments, np.ndarray]]:
        """Moments and a sample of every row group, in order, a few under way per worker."""
        waiting: deque[Any] = deque()
        for number, picks in enumerate(row_groups):
            if len(waiting) >= 2 * len(self.workers):
                yield ray.get(waiting.popleft())
            worker = self.workers[number % len(self.workers)]
            waiting.append(worker.survey.remote(picks, share, (seed, number)))
        while waiting:
            yield ray.get(waiting.popleft())

    def _take(self, waiting: deque[tuple[Batch, Any]]) -> tuple[Batch, np.ndarray, np.ndarray]:
        batch, reference = waiting.popleft()
        started = time.perf_counter()
        values, offsets = ray.get(reference)
        self.waited_seconds += time.perf_counter() - started
        return batch, values, offsets
