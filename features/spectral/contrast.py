"""Spectral contrast (Jiang et al. 2002) of a power spectrogram, gathered block by block.

The same numbers as `librosa.feature.spectral_contrast`, without sorting: of each octave band only the few smallest and
largest bins are kept.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.spectral.fft import LANES

AMIN, TOP_DB = 1e-10, 80.0  # of librosa.power_to_db, which librosa applies with its defaults

Floats = NDArray[np.float32]


class Extremes:
    """The mean magnitude of each band's quietest and loudest bins, frame by frame.

    Band 0 ends at fmin, each of the others is an octave; the last one reaches to half the sample rate. Their quietest
    and loudest are a `quantile` of their bins, at least one. Memory: 8 bytes a band and frame.
    """

    def __init__(self, bands: NDArray[np.int64], n_frames: int) -> None:
        """bands: as `features.spectral.bands.bands` gives."""
        self._bands = bands
        self._n_frames = n_frames
        padded = -(-n_frames // LANES) * LANES
        self._valley, self._peak = (np.empty((len(bands), padded), np.float32) for _ in range(2))

    def add(self, start: int, power: Floats) -> None:
        """A block (group, bin, lane) of |STFT|^2, whose first frame is `start`."""
        stop = start + len(power) * LANES
        _extremes(power, self._bands, self._valley[:, start:stop], self._peak[:, start:stop])

    def values(self) -> Floats:
        """Peak over valley in dB, (band, n_frames) float32."""
        peak, valley = (_decibels(mean[:, : self._n_frames]) for mean in (self._peak, self._valley))
        return np.subtract(peak, valley, out=peak)


def _decibels(mean: Floats) -> Floats:
    """`librosa.power_to_db` with its defaults, in the place of the means."""
    np.maximum(mean, np.float32(AMIN), out=mean)
    np.log10(mean, out=mean)
    mean *= np.float32(10)
    return np.maximum(mean, mean.max() - np.float32(TOP_DB), out=mean)


@njit(cache=True, error_model="numpy")
def _extremes(power, bands, valley, peak):  # type: ignore[no-untyped-def]
    """Means of each band's smallest and largest magnitudes, (band, frame).

    The smallest and the largest bins so far stand in order, those of LANES frames side by side. A bin goes past all of
    them and leaves the smaller (the larger) one at every place: without a branch, in the processor's vectors.
    """
    few = 1
    for band in range(bands.shape[0]):
        few = max(few, bands[band, 2])
    small, large = np.empty(few * LANES, np.float32), np.empty(few * LANES, np.float32)
    for group in range(power.shape[0]):
        flat = power[group].reshape(-1)
        for band in range(bands.shape[0]):
            first, stop, few = bands[band]
            small[:], large[:] = np.inf, -np.inf
            for k in range(first, stop):
                _pass(flat[k * LANES : (k + 1) * LANES], small, large, few)
            for lane in range(LANES):
                low = high = 0.0
                for i in range(few):
                    low += np.sqrt(np.float64(small[i * LANES + lane]))
                    high += np.sqrt(np.float64(large[i * LANES + lane]))
                valley[band, group * LANES + lane] = low / few
                peak[band, group * LANES + lane] = high / few


@njit(cache=True, error_model="numpy", inline="always")
def _pass(row, small, large, few):  # type: ignore[no-untyped-def]
    """A bin of LANES frames, past the `few` smallest and largest ones."""
    a = b = row[0]
    c = d = row[1]
    e = f = row[2]
    g = h = row[3]
    m = n = row[4]
    o = p = row[5]
    q = r = row[6]
    s = t = row[7]
    for i in range(few):
        lows, highs = small[i * LANES : (i + 1) * LANES], large[i * LANES : (i + 1) * LANES]
        lows[0], a = min(a, lows[0]), max(a, lows[0])
        lows[1], c = min(c, lows[1]), max(c, lows[1])
        lows[2], e = min(e, lows[2]), max(e, lows[2])
        lows[3], g = min(g, lows[3]), max(g, lows[3])
        lows[4], m = min(m, lows[4]), max(m, lows[4])
        lows[5], o = min(o, lows[5]), max(o, lows[5])
        lows[6], q = min(q, lows[6]), max(q, lows[6])
        lows[7], s = min(s, lows[7]), max(s, lows[7])
        highs[0], b = max(b, highs[0]), min(b, highs[0])
        highs[1], d = max(d, highs[1]), min(d, highs[1])
        highs[2], f = max(f, highs[2]), min(f, highs[2])
        highs[3], h = max(h, highs[3]), min(h, highs[3])
        highs[4], n = max(n, highs[4]), min(n, highs[4])
        highs[5], p = max(p, highs[5]), min(p, highs[5])
        highs[6], r = max(r, highs[6]), min(r, highs[6])
        highs[7], t = max(t, highs[7]), min(t, highs[7])
