"""rms, zero_crossing_rate: of each window of the waveform, by librosa."""

import numpy as np
from numpy.typing import NDArray

from features.blocks.block import Block
from features.blocks.sources import Part

_FIELDS = frozenset({"n_fft", "hop_length"})


def _rms(part: Part) -> NDArray[np.float32]:
    import librosa

    given = part.track.parameters
    return librosa.feature.rms(
        y=part.samples(), frame_length=given.n_fft, hop_length=given.hop_length, center=False
    )


def _zero_crossing_rate(part: Part) -> NDArray[np.float64]:
    """Crossings per sample."""
    import librosa

    given = part.track.parameters
    return librosa.feature.zero_crossing_rate(
        part.samples("edge"), frame_length=given.n_fft, hop_length=given.hop_length, center=False
    )


RMS = Block("rms", "part", _rms, lambda _: ["rms"], _FIELDS, libraries=("librosa",))
ZERO_CROSSING_RATE = Block(
    "zero_crossing_rate",
    "part",
    _zero_crossing_rate,
    lambda _: ["zero_crossing_rate"],
    _FIELDS,
    libraries=("librosa",),
)
BLOCKS = (RMS, ZERO_CROSSING_RATE)
