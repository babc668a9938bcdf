"""The mel bands of a power spectrogram, and their decibels: `librosa.feature.melspectrogram`, `librosa.power_to_db`."""

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.parameters import Parameters
from features.spectral.fft import LANES
from features.spectral.filters import mel_filters

Floats = NDArray[np.float32]


@lru_cache(maxsize=8)
def bands(parameters: Parameters) -> tuple[NDArray[np.int64], Floats]:
    """The mel filters without zeros: (first bin, end in `weights`) of each, and the weights of all."""
    filters = mel_filters(parameters)
    first, weights, ends = [], [], []
    for row in filters:
        bins = np.flatnonzero(row)
        low, high = (bins[0], bins[-1] + 1) if len(bins) else (0, 0)
        first.append(low)
        weights.append(row[low:high])
        ends.append(sum(map(len, weights)))
    return np.stack([first, ends]).astype(np.int64), np.concatenate(weights)


@njit(cache=True, error_model="numpy")
def filtered(power, banks, weights, out):  # type: ignore[no-untyped-def]
    """Banded filters of a block (group, bin, lane), into (filter, frame)."""
    for group in range(power.shape[0]):
        bins, place = power[group], 0
        for band in range(banks.shape[1]):
            k = banks[0, band]
            a = b = c = d = e = f = g = h = np.float32(0.0)
            while place < banks[1, band]:
                row, weight = bins[k], weights[place]
                a += weight * row[0]
                b += weight * row[1]
                c += weight * row[2]
                d += weight * row[3]
                e += weight * row[4]
                f += weight * row[5]
                g += weight * row[6]
                h += weight * row[7]
                k += 1
                place += 1
            row = out[band, group * LANES : group * LANES + LANES]
            row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7] = a, b, c, d, e, f, g, h


def power_to_db(power: Floats, parameters: Parameters) -> Floats:
    """Decibels, floored at `power_floor` and at `top_db` below the track's loudest value; in the place of the power."""
    np.maximum(power, np.float32(parameters.power_floor), out=power)
    np.log10(power, out=power)
    power *= np.float32(10)
    return np.maximum(power, power.max() - np.float32(parameters.top_db), out=power)
