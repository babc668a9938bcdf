"""Ragged songs side by side: songs of similar length make a group, padded by at most an eighth of their frames."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hdpgmm.ragged import Ragged

SLACK = 1.125  # longest over shortest song of a group


@dataclass(frozen=True)
class Group:
    """songs (song,): their places in the batch; values (song, frame, dim), zero where mask (song, frame) is zero."""

    songs: Tensor
    values: Tensor
    mask: Tensor

    def split(self, songs: int) -> "Iterator[Group]":
        """So many songs at a time, in order; without a copy."""
        parts = (part.split(songs) for part in (self.songs, self.values, self.mask))
        return (Group(*part) for part in zip(*parts, strict=True))


def groups(songs: Ragged[Tensor], max_frames: int) -> Iterator[Group]:
    """Every song with frames (frame, dim), once.

    Which songs meet follows from the lengths alone. A group holds at most `max_frames` frames, or one song.
    """
    for some in partition(songs.lengths.tolist(), max_frames):
        yield gather(songs, some)


def gather(songs: Ragged[Tensor], some: list[int]) -> Group:
    """The songs at `some`, the longest last."""
    index, values = torch.tensor(some, dtype=torch.int64), songs.values
    lengths = songs.lengths[index]
    steps = torch.arange(int(lengths[-1]))
    inside = steps < lengths[:, None]
    frames = torch.where(inside, songs.starts[index][:, None] + steps, 0)
    mask = inside.to(device=values.device, dtype=values.dtype)
    return Group(index, values[frames.to(values.device)] * mask[:, :, None], mask)


def partition(lengths: list[int], max_frames: int) -> Iterator[list[int]]:
    """Indices of songs with frames, in groups, each in order of rising length."""
    group: list[int] = []
    for i in sorted((i for i, length in enumerate(lengths) if length > 0), key=lambda i: lengths[i]):
        full = (len(group) + 1) * lengths[i] > max_frames
        if group and (full or lengths[i] > SLACK * lengths[group[0]]):
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def chunks(lengths: list[int], max_frames: int) -> Iterator[slice]:
    """Songs in their order, in chunks of at most `max_frames` frames, or of one song."""
    first, frames = 0, 0
    for i, length in enumerate(lengths):
        if i > first and frames + length > max_frames:
            yield slice(first, i)
            first, frames = i, 0
        frames += length
    if lengths:
        yield slice(first, len(lengths))
