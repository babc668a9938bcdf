"""Several ranks, each with its own songs of a mini-batch: one all-reduce a step, the same state everywhere."""

import torch
import torch.distributed

from hdpgmm.model import BatchInfo
from hdpgmm.statistics import Statistics


def all_reduce(statistics: Statistics, info: BatchInfo) -> tuple[Statistics, BatchInfo]:
    """Sums over the ranks of the default process group (gloo on CPUs, NCCL on GPUs), in one message of float64."""
    parts = statistics.tensors()
    numbers = torch.tensor([info.songs, info.frames, info.bound, info.refreshes], dtype=torch.float64)
    message = torch.cat([*(part.flatten() for part in parts), numbers.to(parts[0].device)])
    torch.distributed.all_reduce(message)
    *sums, numbers = message.split([part.numel() for part in parts] + [len(numbers)])
    songs, frames, bound, refreshes = numbers.tolist()
    total = Statistics(*(new.view_as(old) for new, old in zip(sums, parts, strict=True)))
    return total, BatchInfo(round(songs), round(frames), bound, round(refreshes))
