"""Songs of any length one after the other: one array of frames, and where each song begins."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np

if TYPE_CHECKING:  # torch takes two seconds to import, which readers of frames need not spend
    from torch import Tensor

A = TypeVar("A", np.ndarray, "Tensor")


@dataclass(frozen=True, eq=False)
class Ragged(Generic[A]):
    """Song i is values[offsets[i] : offsets[i + 1]], a view.

    values (frame, ...), a numpy array or a tensor; offsets (song + 1,) int64 of the same kind, a tensor's on the CPU.
    """

    values: A
    offsets: A

    def __len__(self) -> int:
        """Songs."""
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, songs: int) -> A: ...
    @overload
    def __getitem__(self, songs: slice) -> "Ragged[A]": ...
    def __getitem__(self, songs: "int | slice") -> "A | Ragged[A]":
        """The frames of one song; of a slice the songs of it, which have to follow each other. No frame is copied."""
        if not isinstance(songs, slice):
            number = range(len(self))[songs]
            return self.values[int(self.offsets[number]) : int(self.offsets[number + 1])]
        start, stop, step = songs.indices(len(self))
        if step != 1:
            raise ValueError(f"songs of a slice have to follow each other, found a step of {step}")
        bounds = self.offsets[start : max(start, stop) + 1]
        return Ragged(self.values[int(bounds[0]) : int(bounds[-1])], bounds - bounds[0])

    def __iter__(self) -> Iterator[A]:
        """The frames of every song."""
        return (self.values[start:stop] for start, stop in pairwise(self.offsets.tolist()))

    @property
    def lengths(self) -> A:
        """Frames of every song, (song,) int64."""
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.offsets.nbytes

    def take(self, songs: A) -> "Ragged[A]":
        """The songs at `songs` (song,) int64, on the CPU, in that order; a copy."""
        numbers = np.asarray(songs)
        bounds = np.asarray(self.offsets)
        lengths = np.diff(bounds)[numbers]
        offsets = _offsets(lengths)
        frames = np.arange(offsets[-1]) + np.repeat(bounds[:-1][numbers] - offsets[:-1], lengths)
        values: Any = self.values
        if isinstance(values, np.ndarray):
            return Ragged(values[frames], offsets)  # pyright: ignore[reportReturnType]
        import torch

        return Ragged(values[torch.from_numpy(frames).to(values.device)], torch.from_numpy(offsets))  # pyright: ignore[reportReturnType]

    def split(self, songs: int) -> Iterator["Ragged[A]"]:
        """So many songs at a time, in order; without a copy."""
        return (self[start : start + songs] for start in range(0, len(self), songs))


def concat(parts: Iterable[Ragged[A]]) -> Ragged[A]:
    """The songs of the parts, one part after the other. Raises ValueError where there are none."""
    parts = list(parts)
    if not parts:
        raise ValueError("expected at least one part")
    values: Any = [part.values for part in parts]
    offsets: Any = _offsets(np.concatenate([np.diff(np.asarray(part.offsets)) for part in parts]))
    if isinstance(values[0], np.ndarray):
        return Ragged(np.concatenate(values), offsets)  # pyright: ignore[reportReturnType]
    import torch

    return Ragged(torch.cat(values), torch.from_numpy(offsets))  # pyright: ignore[reportReturnType]


def ragged(lengths: np.ndarray, values: np.ndarray) -> Ragged[np.ndarray]:
    """Songs of these lengths (song,) in values (frame, ...). Raises ValueError where they have other frames in all."""
    offsets = _offsets(lengths)
    if offsets[-1] != len(values):
        raise ValueError(f"songs of {offsets[-1]} frames in all, found {len(values)}")
    return Ragged(values, offsets)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
