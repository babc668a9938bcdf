"""pcm: the mono samples themselves, a frame each."""

import numpy as np
from numpy.typing import NDArray

from features.blocks.block import Block, Grid
from features.blocks.sources import Waveform


def _pcm(track: Waveform) -> NDArray[np.int16]:
    """(1, n_samples); full scale is 2^15, what is beyond is clipped."""
    scaled = np.multiply(track.samples, np.float32(2**15))
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -(2**15), 2**15 - 1, out=scaled).astype(np.int16)[np.newaxis]


BLOCKS = (
    Block("pcm", "waveform", _pcm, lambda _: ["sample"], frozenset(), grid=lambda _: Grid(1, "<i2", int)),
)
