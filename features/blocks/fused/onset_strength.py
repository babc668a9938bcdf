"""onset_strength: the logarithm of `librosa.onset.onset_strength`."""

import numpy as np
from numpy.typing import NDArray

from features.blocks.block import MEL, Block
from features.blocks.sources import Mel, in_slices, log_above


def _log_onset_strength(mel: Mel) -> NDArray[np.float32]:
    """Of the mean rise of the mel bands in dB over `onset_lag` frames, shifted by half a window: (1, n_frames)."""
    given, mel_db = mel.parameters, mel.db
    n_frames, lag = mel_db.shape[1], given.onset_lag
    rise = np.zeros(n_frames, np.float32)
    delay = lag + given.n_fft // (2 * given.hop_length)
    now, before = mel_db[:, lag : n_frames - delay + lag], mel_db[:, : max(0, n_frames - delay)]
    for block in in_slices(max(0, n_frames - delay)):
        rise[delay:][block] = np.maximum(now[:, block] - before[:, block], np.float32(0)).mean(axis=0)
    return log_above(rise, given.log_floor)[np.newaxis]


BLOCKS = (
    Block(
        "onset_strength",
        "mel",
        _log_onset_strength,
        lambda _: ["log_onset"],
        MEL | {"onset_lag", "log_floor"},
    ),
)
