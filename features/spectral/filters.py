"""Mel and chroma filter banks over the STFT's bins, equal to librosa's defaults bit for bit.

Written out because importing `librosa.filters` makes numba compile for some 15 s wherever its cache is empty,
and every worker of a pool starts with an empty one.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from features.parameters import Parameters

_MEL_LINEAR_HZ = 200.0 / 3  # Slaney's scale: linear up to 1 kHz, then 27 steps to a factor of 6.4
_MEL_BREAK_HZ = 1000.0
_MEL_LOG_STEP = np.log(6.4) / 27.0
_CHROMA_CENTRE_OCTAVE = 5.0
_CHROMA_WIDTH_OCTAVES = 2.0
_A0_HZ = 440.0 / 16


@lru_cache(maxsize=4)
def mel_filters(spec: Parameters) -> NDArray[np.float32]:
    """Triangles of equal area on Slaney's mel scale: (n_mels, n_fft/2 + 1)."""
    low, high = _hz_to_mel(spec.mel_fmin_hz), _hz_to_mel(spec.mel_fmax_hz)
    corners_hz = _mel_to_hz(np.linspace(low, high, spec.n_mels + 2))
    bins_hz = np.fft.rfftfreq(spec.n_fft, 1.0 / spec.sample_rate)
    above = np.subtract.outer(corners_hz, bins_hz)
    widths = np.diff(corners_hz)[:, None]
    triangles = np.maximum(0, np.minimum(-above[:-2] / widths[:-1], above[2:] / widths[1:])).astype(
        np.float32
    )
    triangles *= (2.0 / (corners_hz[2:] - corners_hz[:-2]))[:, None]
    return triangles


def mel_centres(spec: Parameters) -> NDArray[np.float64]:
    """Where the triangles of `mel_filters` have their peaks, in Hz: (n_mels,)."""
    low, high = _hz_to_mel(spec.mel_fmin_hz), _hz_to_mel(spec.mel_fmax_hz)
    return _mel_to_hz(np.linspace(low, high, spec.n_mels + 2))[1:-1]


@lru_cache(maxsize=256)
def chroma_filters(spec: Parameters, tuning: float) -> NDArray[np.float32]:
    """Gaussian bumps at the pitch classes, weighted by octave: (n_chroma, n_fft/2 + 1).

    `tuning` is the deviation from A440 in fractions of a pitch class.
    """
    n_chroma = spec.n_chroma
    bins_hz = np.linspace(0, spec.sample_rate, spec.n_fft, endpoint=False)[1:]
    reference = _A0_HZ * 2.0 ** (tuning / n_chroma)
    pitch = n_chroma * np.log2(bins_hz / reference)
    # A made-up place for 0 Hz, one and a half octaves below the first bin.
    pitch = np.concatenate([[pitch[0] - 1.5 * n_chroma], pitch])
    width = np.concatenate([np.maximum(np.diff(pitch), 1.0), [1.0]])
    half = np.round(n_chroma / 2)
    distance = np.subtract.outer(pitch, np.arange(n_chroma, dtype=float)).T
    distance = np.remainder(distance + half + 10 * n_chroma, n_chroma) - half
    bumps = np.exp(-0.5 * (2 * distance / width) ** 2)
    bumps /= np.sqrt((bumps**2).sum(axis=0))
    octave_offset = (pitch / n_chroma - _CHROMA_CENTRE_OCTAVE) / _CHROMA_WIDTH_OCTAVES
    bumps *= np.exp(-0.5 * octave_offset**2)
    from_c = np.roll(bumps, -3 * (n_chroma // 12), axis=0)
    return np.ascontiguousarray(from_c[:, : spec.n_fft // 2 + 1], dtype=np.float32)


def _hz_to_mel(hz: float) -> float:
    if hz < _MEL_BREAK_HZ:
        return hz / _MEL_LINEAR_HZ
    return _MEL_BREAK_HZ / _MEL_LINEAR_HZ + np.log(hz / _MEL_BREAK_HZ) / _MEL_LOG_STEP


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    break_mel = _MEL_BREAK_HZ / _MEL_LINEAR_HZ
    exponential = _MEL_BREAK_HZ * np.exp(_MEL_LOG_STEP * (mel - break_mel))
    return np.where(mel >= break_mel, exponential, _MEL_LINEAR_HZ * mel)
