"""spectral_flatness: geometric over arithmetic mean of each window's power spectrum, by librosa; 1 for noise."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.blocks.block import STFT, Block
from features.blocks.sources import Part

_PARAMETERS: dict[str, Any] = {"amin": 1e-10, "power": 2.0}


def _spectral_flatness(part: Part) -> NDArray[np.float32]:
    import librosa

    return librosa.feature.spectral_flatness(S=part.magnitude, **_PARAMETERS)


BLOCKS = (
    Block(
        "spectral_flatness",
        "part",
        _spectral_flatness,
        lambda _: ["spectral_flatness"],
        STFT,
        _PARAMETERS,
        libraries=("librosa",),
    ),
)
