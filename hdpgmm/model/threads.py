"""Groups of songs on threads: on the CPU each group is one thread's, on a GPU they queue."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from hdpgmm.local_step.groups import Group, gather, partition
from hdpgmm.ragged import Ragged

GROUP_FRAMES = {"cpu": 8192, "cuda": 1 << 17}  # of the songs inferred side by side


def by_group(task: Callable[[Group], Any], songs: Ragged[Tensor]) -> Iterator[Any]:
    """task(group) of every group of the songs, in order. A group is put together by the thread that has the task."""
    device = songs.values.device.type
    run = in_threads if device == "cpu" else map  # a GPU has one queue
    parts = partition(songs.lengths.tolist(), GROUP_FRAMES[device])
    return iter(run(lambda some: task(gather(songs, some)), parts))


def in_threads(task: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """task(item) of each, in order; on as many threads as torch has, each with single-threaded products.

    Small tensor operations lose more by forking than they gain: a group on one thread runs near the core's limit, and
    two groups on two threads run at twice that. At most two results a thread are kept waiting. MKL's number of threads
    is each thread's own: a new one would begin with as many as there are cores.
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1:
        yield from map(task, items)
        return
    torch.set_num_threads(1)
    waiting: deque[Any] = deque()
    try:
        with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for item in items:
                waiting.append(pool.submit(task, item))
                if len(waiting) >= 2 * n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(n_threads)
