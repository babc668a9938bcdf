"""mfcc, mfcc_delta, mfcc_delta2: mel-frequency cepstral coefficients and their derivatives over time."""

import math
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from features.blocks.block import MEL, Block, numbered
from features.blocks.sources import Mel
from features.parameters import Parameters


def _mfcc(mel: Mel) -> NDArray[np.float32]:
    return mel.mfcc


def _delta(mel: Mel, order: int) -> NDArray[np.float64]:
    """`librosa.feature.delta` of the MFCC: (n_mfcc, n_frames)."""
    mfcc, width = mel.mfcc.astype(np.float64), mel.parameters.delta_width
    half = width // 2
    out = np.zeros_like(mfcc)
    inner = out[:, half:-half]
    for tap, weight in enumerate(_savitzky_golay(width, order)):
        inner += weight * mfcc[:, tap : tap + inner.shape[1]]
    # A polynomial's highest derivative is a constant: the ends have that of the first and the last full window.
    out[:, :half], out[:, -half:] = inner[:, :1], inner[:, -1:]
    return out


@lru_cache(maxsize=8)
def _savitzky_golay(width: int, order: int) -> NDArray[np.float64]:
    """Weights (width,) of the `order`-th derivative of a polynomial of that order: `librosa.feature.delta`."""
    powers = np.vander(np.arange(width) - width // 2, order + 1, increasing=True).astype(np.float64)
    return math.factorial(order) * np.linalg.pinv(powers)[order]


def _columns(name: str, parameters: Parameters) -> list[str]:
    return numbered(name, parameters.n_mfcc)


def _width(parameters: Parameters) -> int:
    """A derivative fits a polynomial to so many frames."""
    return parameters.delta_width


MFCC = Block("mfcc", "mel", _mfcc, partial(_columns, "mfcc"), MEL | {"n_mfcc"})
MFCC_DELTA, MFCC_DELTA2 = (
    Block(
        name,
        "mel",
        partial(_delta, order=order),
        partial(_columns, column),
        MEL | {"n_mfcc", "delta_width"},
        min_frames=_width,
    )
    for name, column, order in (("mfcc_delta", "delta", 1), ("mfcc_delta2", "delta2", 2))
)
BLOCKS = (MFCC, MFCC_DELTA, MFCC_DELTA2)
