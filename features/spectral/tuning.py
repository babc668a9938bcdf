"""A track's tuning: `librosa.estimate_tuning(S=power)`, computed at the spectral peaks only and in one pass.

What librosa rounds to float32 is rounded here at the same places, so that the estimate is exactly its own.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.parameters import Parameters
from features.spectral.fft import LANES

Floats = NDArray[np.float32]


class Peaks:
    """Frequencies (Hz) and magnitudes of `librosa.piptrack`'s peaks, gathered block by block: 8 bytes each."""

    def __init__(self, spec: Parameters) -> None:
        self._spec = spec
        bin_hz = np.fft.rfftfreq(spec.n_fft, 1 / spec.sample_rate)
        first, stop = np.searchsorted(bin_hz, [max(spec.tuning_fmin_hz, bin_hz[1]), spec.tuning_fmax_hz])
        self._first, self._stop = int(first), int(min(stop, len(bin_hz) - 1))
        self._found: list[tuple[Floats, Floats]] = []

    def add(self, power: Floats, n_frames: int) -> None:
        """The first `n_frames` frames of a block (group, bin, lane)."""
        # A peak is above the bin below it, so that no two are neighbours.
        room = n_frames * ((self._stop - self._first) // 2 + 1)
        frequencies, magnitudes = np.empty(room, np.float32), np.empty(room, np.float32)
        count = _peaks(
            power,
            n_frames,
            self._first,
            self._stop,
            np.float32(self._spec.tuning_threshold),
            float(self._spec.sample_rate),
            float(self._spec.n_fft),
            frequencies,
            magnitudes,
        )
        self._found.append((frequencies[:count].copy(), magnitudes[:count].copy()))

    def tuning(self) -> float:
        """Fractions of a chroma bin from A440: the commonest deviation of the peaks of at least median magnitude."""
        frequencies, magnitudes = (np.concatenate(part) for part in zip(*self._found, strict=True))
        if len(frequencies) == 0:
            return 0.0
        return _commonest_deviation(frequencies[magnitudes >= np.median(magnitudes)], self._spec)


def _commonest_deviation(frequencies: Floats, spec: Parameters) -> float:
    """The mode of the deviations from A440's scale, in bins of `tuning_resolution`: `librosa.pitch_tuning`."""
    octaves = np.log2(frequencies / (440.0 / 16))
    deviation = np.mod(spec.n_chroma * octaves, 1.0)
    deviation[deviation >= 0.5] -= 1.0
    edges = np.linspace(-0.5, 0.5, math.ceil(1 / spec.tuning_resolution) + 1)
    counts, _ = np.histogram(deviation, edges)
    return float(edges[np.argmax(counts)])


@njit(cache=True, error_model="numpy")
def _peaks(power, n_frames, first, stop, threshold, rate, n_fft, frequencies, magnitudes):  # type: ignore[no-untyped-def]
    """Peaks by parabolic interpolation, into the two arrays; how many there are."""
    count = 0
    largest = np.empty(LANES, np.float32)
    for group in range(power.shape[0]):
        bins = power[group]
        largest[:] = 0.0
        for k in range(bins.shape[0]):
            for lane in range(LANES):
                if bins[k, lane] > largest[lane]:
                    largest[lane] = bins[k, lane]
        for lane in range(min(LANES, n_frames - group * LANES)):
            least = threshold * largest[lane]
            for k in range(first, stop):
                peak = bins[k, lane]
                if not peak > least:
                    continue
                left, right = bins[k - 1, lane], bins[k + 1, lane]
                if not (peak > left and peak >= right):
                    continue
                # The mixture of precisions is that of librosa's stencil: integer literals promote to float64 there.
                curvature = np.float64(right + left) - 2.0 * peak
                slope = np.float64(right - left) / 2.0
                shift = np.float32(0.0)
                if abs(slope) < abs(curvature):
                    shift = np.float32(-slope / curvature)
                frequencies[count] = (k + np.float64(shift)) * rate / n_fft
                half_slope = (right - left) / np.float32(2.0)
                magnitudes[count] = peak + np.float32(0.5) * half_slope * shift
                count += 1
    return count
