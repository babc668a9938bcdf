"""spectral_centroid, spectral_bandwidth, spectral_rolloff: in Hz, of each window's magnitude spectrum, by librosa."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.blocks.block import STFT, Block
from features.blocks.sources import Part

_BANDWIDTH: dict[str, Any] = {"p": 2.0}
_ROLLOFF: dict[str, Any] = {"roll_percent": 0.85}


def _centroid(part: Part) -> NDArray[np.float64]:
    import librosa

    return librosa.feature.spectral_centroid(S=part.magnitude, sr=part.track.parameters.sample_rate)


def _bandwidth(part: Part) -> NDArray[np.float64]:
    import librosa

    rate = part.track.parameters.sample_rate
    return librosa.feature.spectral_bandwidth(S=part.magnitude, sr=rate, **_BANDWIDTH)


def _rolloff(part: Part) -> NDArray[np.float64]:
    import librosa

    rate = part.track.parameters.sample_rate
    return librosa.feature.spectral_rolloff(S=part.magnitude, sr=rate, **_ROLLOFF)


SPECTRAL_CENTROID = Block(
    "spectral_centroid", "part", _centroid, lambda _: ["spectral_centroid"], STFT, libraries=("librosa",)
)
SPECTRAL_BANDWIDTH = Block(
    "spectral_bandwidth",
    "part",
    _bandwidth,
    lambda _: ["spectral_bandwidth"],
    STFT,
    _BANDWIDTH,
    libraries=("librosa",),
)
SPECTRAL_ROLLOFF = Block(
    "spectral_rolloff",
    "part",
    _rolloff,
    lambda _: ["spectral_rolloff"],
    STFT,
    _ROLLOFF,
    libraries=("librosa",),
)
BLOCKS = (SPECTRAL_CENTROID, SPECTRAL_BANDWIDTH, SPECTRAL_ROLLOFF)
