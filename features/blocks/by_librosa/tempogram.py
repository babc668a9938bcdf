"""tempogram: the local autocorrelation of the onset strength, by librosa."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.blocks.block import STFT, Block, numbered
from features.blocks.sources import Waveform

_PARAMETERS: dict[str, Any] = {"win_length": 384}


def _tempogram(track: Waveform) -> NDArray[np.float64]:
    """(win_length, n_frames): a row a lag in frames, each frame's largest is 1."""
    import librosa

    rate = track.parameters.sample_rate
    onsets = librosa.onset.onset_strength(y=track.samples, sr=rate, **track.stft)
    return librosa.feature.tempogram(onset_envelope=onsets, **_PARAMETERS)


BLOCKS = (
    Block(
        "tempogram",
        "waveform",
        _tempogram,
        lambda _: numbered("tempogram", _PARAMETERS["win_length"], digits=3),
        STFT,
        _PARAMETERS,
        libraries=("librosa",),
    ),
)
