"""spectral_contrast: peak over valley in dB of each octave band, by librosa."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.blocks.block import STFT, Block, numbered
from features.blocks.sources import Waveform

_PARAMETERS: dict[str, Any] = {"fmin": 200.0, "n_bands": 6, "quantile": 0.02}


def _spectral_contrast(track: Waveform) -> NDArray[np.float64]:
    """(n_bands + 1, n_frames). Of the whole track: its loudest peak is the ceiling of the decibels."""
    import librosa

    rate = track.parameters.sample_rate
    return librosa.feature.spectral_contrast(y=track.samples, sr=rate, **track.stft, **_PARAMETERS)


BLOCKS = (
    Block(
        "spectral_contrast",
        "waveform",
        _spectral_contrast,
        lambda _: numbered("spectral_contrast", _PARAMETERS["n_bands"] + 1),
        STFT,
        _PARAMETERS,
        libraries=("librosa",),
    ),
)
