"""Songs of any length one after the other: one array of frames, and where each song begins."""

from collections.abc import Iterable, Iterator, Sequence
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
    def starts(self) -> A:
        """The first frame of every song, (song,) int64."""
        return self.offsets[:-1]

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
        starts, lengths = np.asarray(self.starts)[numbers], np.asarray(self.lengths)[numbers]
        frames: Any = np.arange(lengths.sum()) + np.repeat(starts - offsets_of(lengths)[:-1], lengths)
        if not isinstance(self.values, np.ndarray):
            import torch

            frames = torch.from_numpy(frames).to(self.values.device)
        return ragged(lengths, self.values[frames])

    def split(self, songs: int) -> Iterator["Ragged[A]"]:
        """So many songs at a time, in order; without a copy."""
        return (self[start : start + songs] for start in range(0, len(self), songs))


def concat(parts: Iterable[Ragged[A]]) -> Ragged[A]:
    """The songs of the parts, one part after the other. Raises ValueError where there are none."""
    parts = list(parts)
    if not parts:
        raise ValueError("expected at least one part")
    lengths = np.concatenate([np.asarray(part.lengths) for part in parts])
    return ragged(lengths, _one_array([part.values for part in parts]))


def packed(songs: Sequence[A]) -> Ragged[A]:
    """Songs (frame, ...) of a list, one after the other; a copy. Raises ValueError where there are none."""
    if not songs:
        raise ValueError("expected at least one song")
    return ragged([len(song) for song in songs], _one_array(songs))


def ragged(lengths: "Sequence[int] | np.ndarray | Tensor", values: A) -> Ragged[A]:
    """Songs of these lengths (song,) in values (frame, ...). Raises ValueError where they have other frames in all."""
    offsets: Any = offsets_of(lengths)
    if offsets[-1] != len(values):
        raise ValueError(f"songs of {offsets[-1]} frames in all, found {len(values)}")
    if not isinstance(values, np.ndarray):
        import torch

        offsets = torch.from_numpy(offsets)
    return Ragged(values, offsets)


def offsets_of(lengths: "Sequence[int] | np.ndarray | Tensor") -> np.ndarray:
    """Where each of what has these lengths (n,) begins, one after another, and where the last ends, (n + 1,) int64."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(lengths), dtype=np.int64)])


def _one_array(parts: Sequence[A]) -> A:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)  # pyright: ignore[reportReturnType, reportCallIssue, reportArgumentType]
    import torch

    return torch.cat(parts)  # pyright: ignore[reportReturnType, reportArgumentType]
