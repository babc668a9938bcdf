"""What a first state needs of all frames: moments, a sample, and how frames follow each other. numpy alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from hdpgmm.data.autocorrelation import Lagged, lagged
from hdpgmm.data.whitening import Moments, moments
from hdpgmm.ragged import Ragged

SAMPLE_GROUPS = 64  # groups that a sample comes from, at most; row groups: half a GB, 2,500 clips of 30 s
LAGGED_FRAMES = 4096  # of a group

T = TypeVar("T", Moments, Lagged)


@dataclass(frozen=True, eq=False)
class Surveyed:
    """Of a group: moments of all frames, where they were asked for; a sample (frame, dim); lagged products."""

    moments: Moments | None
    sample: np.ndarray
    lagged: Lagged | None


@dataclass
class Survey:
    """Of the groups added so far: `moments`, `sample` (frame, dim) and `lagged`."""

    moments: Moments | None = None
    lagged: Lagged | None = None
    _samples: list[np.ndarray] = field(default_factory=list)

    @property
    def sample(self) -> np.ndarray:
        return np.concatenate(self._samples)

    def add(self, group: Surveyed) -> None:
        self.moments = _sum(self.moments, group.moments)
        self.lagged = _sum(self.lagged, group.lagged)
        self._samples.append(group.sample)


def sampled_share(wanted_frames: int, frames: int) -> float:
    """Share of the `frames` of the groups sampled from that makes a sample of about so many."""
    return min(1.0, wanted_frames / max(frames, 1))


def survey_group(songs: Ragged[np.ndarray], share: float, seed: Sequence[int], summed: bool) -> Surveyed:
    """Moments of all frames of a group if `summed`, and a random `share` of the frames.

    Where frames are taken, also products with those that follow them, of the first LAGGED_FRAMES.
    """
    chosen = np.random.default_rng(list(seed)).random(len(songs.values)) < share
    first = Ragged(songs.values[:LAGGED_FRAMES], np.minimum(songs.offsets, LAGGED_FRAMES))
    followed = lagged(first) if share else None
    return Surveyed(moments(songs.values) if summed else None, songs.values[chosen], followed)


def _sum(one: T | None, other: T | None) -> T | None:
    if one is None or other is None:
        return one or other
    return one + other
