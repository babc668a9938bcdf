"""What a comparison model is: vectors of songs from the same frames as the model's that is evaluated.

Songs come in blocks: it never sees all of them.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np


class Songs(Protocol):
    """Consecutive songs: values float32 (frame, dim) of all; the first frame and the frames of each, (song,) int64."""

    @property
    def values(self) -> np.ndarray: ...
    @property
    def starts(self) -> np.ndarray: ...
    @property
    def lengths(self) -> np.ndarray: ...


Transform = Callable[[Songs], tuple[np.ndarray, ...]]  # -> (song, ...) of each row


class Baseline(Protocol):
    """A comparison model before it is fitted.

    seeded: whether another seed gives another model. sampled: whether it is fitted on a sample of frames. key: texts
    that change with its settings.
    """

    seeded: bool
    sampled: bool
    key: tuple[str, ...]

    def rows(self, n_sampled: int) -> tuple[str, ...]:
        """Names of its vectors in tables of scores, where `n_sampled` frames are drawn."""
        ...

    def by_shares(self) -> "Baseline | None":
        """The same with one row: the share of each of its units in a song, (song, unit), which people can look at as at
        the model's components; None where it has no units.
        """
        ...

    def fit(self, sample: np.ndarray, seed: int) -> Transform:
        """Fit on a sample of frames (frame, dim), or on none, and give what makes its vectors, in the order of rows."""
        ...


def lengths_of(songs: Songs) -> np.ndarray:
    """Frames of each song, (song, 1). Raises ValueError where one has none."""
    lengths = songs.lengths[:, None]
    if (lengths <= 0).any():
        raise ValueError("a song without frames")
    return lengths
