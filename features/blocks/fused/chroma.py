"""chroma: the logarithm of `librosa.feature.chroma_stft`."""

import numpy as np
from numpy.typing import NDArray

from features.blocks.block import STFT, Block, pitch_classes
from features.blocks.sources import Power, log_above
from features.spectral.filters import chroma_filters


def _log_chroma(power: Power) -> NDArray[np.float32]:
    """Log energy per pitch class, each frame's largest scaled to 1: (n_chroma, n_frames)."""
    filters = chroma_filters(power.parameters, power.tuning)
    out = np.empty((power.parameters.n_chroma, power.spectra.n_frames), np.float32)
    for start, block in power.spectra.blocks():
        chroma = filters @ block
        largest = chroma.max(axis=1, keepdims=True)
        largest[largest < np.finfo(np.float32).tiny] = 1.0
        chroma /= largest
        frames = chroma.transpose(1, 0, 2).reshape(len(out), -1)
        out[:, start : start + frames.shape[1]] = frames[:, : out.shape[1] - start]
    return log_above(out, power.parameters.log_floor)


BLOCKS = (
    Block(
        "chroma",
        "power",
        _log_chroma,
        lambda p: pitch_classes("log_chroma", p.n_chroma),
        STFT
        | {
            "n_chroma",
            "log_floor",
            "tuning_fmin_hz",
            "tuning_fmax_hz",
            "tuning_threshold",
            "tuning_resolution",
        },
    ),
)
