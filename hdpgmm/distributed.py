"""Several ranks, each with its own parts of a mini-batch: one exchange a step, the same state everywhere.

Rank r of n takes parts r, r + n, r + 2 n, ... of `training.PART_SONGS` songs each. The exchange is that of the default
process group (gloo on CPUs, NCCL on GPUs), of float64.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from hdpgmm.components.statistics import Statistics
from hdpgmm.model.statistics import BatchInfo
from hdpgmm.training_step import Part, Total, in_order

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """One of several ranks that train together, for `hdpgmm.fit`. total: `fast` or `deterministic`."""

    rank: int
    total: Total

    def share(self, make: Callable[[], T]) -> T:
        """What the first rank makes, on every rank."""
        return share(make() if self.rank == 0 else None)

    def anywhere(self, flag: bool) -> bool:
        return anywhere(flag)


def fast(parts: Iterable[Part], nothing: Part) -> Part:
    """One all-reduce. The order of the additions, and so the last bits, depend on the number of ranks."""
    message = _message(in_order(parts, nothing))
    dist.all_reduce(message)
    return _read(message, nothing)


def deterministic(parts: Iterable[Part], nothing: Part) -> Part:
    """All parts to all ranks, added in the mini-batch's order: bit for bit what a single process finds.

    The message is as many times larger as a rank has parts, and every rank holds those of all: 5.7 MB a part at K = 256
    and D = 52.
    """
    parts = list(parts)
    most = torch.tensor([len(parts)], device=nothing[0].count.device)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    padded = [*parts, *[nothing] * (int(most) - len(parts))]
    own = torch.stack([_message(part) for part in padded])
    every = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(every, own)
    in_turn = (_read(messages[turn], nothing) for turn in range(int(most)) for messages in every)
    return in_order(in_turn, nothing)


def share(value: T | None) -> T:
    """Rank 0's value, on every rank."""
    box = [value]
    dist.broadcast_object_list(box, 0)
    return box[0]  # pyright: ignore[reportReturnType]


def anywhere(flag: bool) -> bool:
    """Whether it is so on any rank; the same on all."""
    highest = torch.tensor([int(flag)])
    dist.all_reduce(highest, dist.ReduceOp.MAX)
    return bool(highest)


def _message(part: Part) -> Tensor:
    statistics, info = part
    numbers = torch.tensor([info.songs, info.frames, info.bound, info.refreshes], dtype=torch.float64)
    return torch.cat([*(t.flatten() for t in statistics.tensors()), numbers.to(statistics.count.device)])


def _read(message: Tensor, like: Part) -> Part:
    parts = like[0].tensors()
    *sums, numbers = message.split([part.numel() for part in parts] + [4])
    songs, frames, bound, refreshes = numbers.tolist()
    statistics = Statistics(*(new.view_as(old) for new, old in zip(sums, parts, strict=True)))
    return statistics, BatchInfo(round(songs), round(frames), bound, round(refreshes))
