"""Octave bands of a spectrum's bins, as `librosa.feature.spectral_contrast` counts them."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from features.parameters import Parameters


def bands(parameters: Parameters, fmin: float, n_bands: int, quantile: float) -> NDArray[np.int64]:
    """First bin, stop and number of extremes of each band, (n_bands + 1, 3): as librosa counts them.

    A band takes in the bin below its lower edge, and leaves its own last one to the next. Raises ValueError where one
    has no bin.
    """
    bins_hz = np.fft.rfftfreq(parameters.n_fft, 1.0 / parameters.sample_rate)
    edges = np.concatenate([[0.0], fmin * 2.0 ** np.arange(n_bands + 1)])
    found = []
    for k, (low, high) in enumerate(pairwise(edges.tolist())):
        first = int(np.searchsorted(bins_hz, low)) - (k > 0)
        stop = len(bins_hz) if k == n_bands else int(np.searchsorted(bins_hz, high, side="right"))
        few = max(1, int(np.rint(quantile * (stop - first))))
        stop -= k < n_bands
        if low >= bins_hz[-1] or stop - first < few:
            raise ValueError(
                f"spectral_contrast: no frequency of n_fft={parameters.n_fft} at "
                f"sample_rate={parameters.sample_rate} lies between {low:g} and {high:g} Hz"
            )
        found.append((first, stop, few))
    return np.array(found, np.int64)
