"""Batches on their way to the device: on a GPU the next one is copied while this one is worked on."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from hdpgmm.ragged import Ragged
from jobs.train.feed.plan import Batch

Packed = tuple[Batch, Ragged[np.ndarray]]
Loaded = tuple[Batch, Ragged[Tensor]]
S = TypeVar("S")
T = TypeVar("T")


def loaded(batches: Iterable[Packed], device: torch.device) -> Iterator[Loaded]:
    """(batch, songs with their values on the device) of (batch, songs), in order.

    On the CPU nothing is copied: the tensors are the arrays that came, and must not be written to.
    """
    if device.type != "cuda":
        return map(_in_place, batches)
    side = torch.cuda.Stream(device)
    return map(_arrived, one_ahead(batches, lambda packed: _depart(packed, side)))


def one_ahead(items: Iterable[S], make: Callable[[S], T]) -> Iterator[T]:
    """make(item) of every item, in order; a thread makes the next one while the caller is busy with this one."""
    source = iter(items)
    with ThreadPoolExecutor(1, "upload") as thread:

        def following() -> list[T]:
            return [make(item) for item in [*_first(source)]]

        coming = thread.submit(following)
        while made := coming.result():
            coming = thread.submit(following)
            yield made.pop()


def tensor(array: np.ndarray) -> Tensor:
    """The array's own memory as a tensor, to be read only: torch warns of arrays from Ray's object store."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _first(source: Iterator[S]) -> Iterator[S]:
    for item in source:
        yield item
        return


def _in_place(packed: Packed) -> Loaded:
    batch, songs = packed
    return batch, Ragged(tensor(songs.values), tensor(songs.offsets))


def _depart(packed: Packed, side: torch.cuda.Stream) -> tuple[Loaded, Any]:
    """The copy under way on the side stream, from pinned memory, which torch keeps until it is read; its event."""
    batch, songs = packed
    with torch.cuda.stream(side):
        there = tensor(songs.values).pin_memory().to(side.device, non_blocking=True)
        offsets = torch.from_numpy(songs.offsets.copy())
        return (batch, Ragged(there, offsets)), side.record_event()


def _arrived(item: tuple[Loaded, Any]) -> Loaded:
    """The copy as the current stream may use it: after it is complete, and its memory not reused before that use."""
    (batch, songs), copied = item
    stream = torch.cuda.current_stream(songs.values.device)
    stream.wait_event(copied)
    songs.values.record_stream(stream)
    return batch, songs
