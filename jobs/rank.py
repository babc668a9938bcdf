"""The work of one rank: its device, its place in the process group, its trainer."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import ray
import torch
import torch.distributed as dist

from jobs.assignment import Assignment, Event
from jobs.trainer import Trainer

# That ranks wait for the first one's survey or moves; a dead one is noticed otherwise.
LONGEST_WAIT = timedelta(days=1)


def trained(
    assignment: Assignment,
    workers: Sequence[Any],
    rank: int,
    n_ranks: int,
    address: str | None,
    stopping: Callable[[], bool],
) -> Iterator[Event]:
    """Train as one of several ranks that meet at `address`; the first one yields events, the others have none."""
    device = _device()
    if address is not None:
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, address, LONGEST_WAIT, n_ranks, rank)
    for event in Trainer(assignment, workers, str(device), rank, n_ranks, stopping).train():
        if rank == 0:
            yield event


def _device() -> torch.device:
    """The GPU that Ray gave this process, or the CPU."""
    given = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    if not given:
        return torch.device("cpu")
    device = torch.device("cuda", int(given[0]))
    torch.cuda.set_device(device)
    return device
