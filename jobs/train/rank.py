"""The work of one rank: its device, its place in the process group, its trainer."""

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import psutil
import ray
import torch
import torch.distributed as dist
from ray.util import get_node_ip_address

from jobs.train.errors import RanksApart
from jobs.train.events import Event
from jobs.train.provenance import Assignment
from jobs.train.trainer import Trainer

# That ranks wait to meet, and later for the first one's survey or moves; a dead one is noticed otherwise.
MEETING, LONGEST_WAIT = timedelta(minutes=5), timedelta(days=1)


def trained(
    assignment: Assignment,
    workers: Sequence[Any],
    rank: int,
    n_ranks: int,
    address: str | None,
    stopping: Callable[[], bool],
) -> Iterator[Event]:
    """Train as one of several ranks that meet at `address`; the first one yields events, the others have none.

    Raises RanksApart where they do not meet.
    """
    device = _device()
    if address is not None:
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        own = os.environ.get("GLOO_SOCKET_IFNAME") or interface_of(get_node_ip_address())
        os.environ["GLOO_SOCKET_IFNAME"] = own
        os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={own}")
        try:
            dist.init_process_group(backend, address, MEETING, n_ranks, rank)
            dist.distributed_c10d._set_pg_timeout(LONGEST_WAIT)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise RanksApart(
                f"rank {rank}, on interface {own}, does not reach the others: {reason}"
            ) from None
    for event in Trainer(assignment, workers, str(device), rank, n_ranks, stopping).train():
        if rank == 0:
            yield event


def interface_of(address: str) -> str:
    """The network interface that has this address. Gloo would take that of the host's name, often 127.0.1.1."""
    for name, theirs in psutil.net_if_addrs().items():
        if any(own.address.partition("%")[0] == address for own in theirs):
            return name
    raise RanksApart(f"no network interface has the address {address} of this node; set GLOO_SOCKET_IFNAME")


def _device() -> torch.device:
    """The GPU that Ray gave this process, or the CPU."""
    given = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    if not given:
        return torch.device("cpu")
    device = torch.device("cuda", int(given[0]))
    torch.cuda.set_device(device)
    return device
