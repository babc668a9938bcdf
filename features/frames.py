"""Waveform -> 52 frame features, by librosa 0.11's definitions, from one shared power spectrogram.

What librosa rounds to float32 is rounded here at the same places (the STFT is float64 inside, as in
librosa), so the spectrogram and the tuning estimate are equal bit for bit; only the repeated work is gone.
"""

import math

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from features.filters import chroma_filters, mel_filters
from features.spec import FeatureSpec

_FRAMES_PER_BLOCK = 256  # 4 MiB of float64 at n_fft 2048: stays in the processor's cache

Frames = NDArray[np.float32]


def frame_features(samples: Frames, spec: FeatureSpec) -> Frames:
    """Features of mono samples at `spec.sample_rate`: (n_samples,) float32 -> (n_frames, n_features) float32.

    Holds the whole power spectrogram, because tuning is a quantity of the whole track: 4 (n_fft/2 + 1) bytes
    a frame, 177 kB a second. Raises ValueError below `spec.min_frames` frames.
    """
    n_frames = spec.n_frames(len(samples))
    if n_frames < spec.min_frames:
        raise ValueError(f"{n_frames} frames, the features need at least {spec.min_frames}")
    power = power_spectrogram(samples, spec)
    mel_db = _power_to_db(mel_filters(spec) @ power.T, spec)
    mfcc = _cepstrum(mel_db)[: spec.n_mfcc]
    chroma = _chroma(power, spec)
    onset = _onset_strength(mel_db, spec)
    rows = [mfcc, _delta(mfcc, 1, spec), _delta(mfcc, 2, spec), _log(chroma, spec), _log(onset[None], spec)]
    return np.ascontiguousarray(np.concatenate(rows).T, dtype=np.float32)


def power_spectrogram(samples: Frames, spec: FeatureSpec) -> Frames:
    """|STFT|^2, centred with zero padding: (n_samples,) -> (n_frames, n_fft/2 + 1)."""
    window = scipy.signal.get_window(spec.window, spec.n_fft)
    padded = np.pad(samples, spec.n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop_length]
    power = np.empty((len(frames), spec.n_fft // 2 + 1), np.float32)
    for start in range(0, len(frames), _FRAMES_PER_BLOCK):
        block = slice(start, start + _FRAMES_PER_BLOCK)
        # complex64 before the modulus, as in librosa: the tuning estimate counts peaks and feels the last bit
        spectrum = np.fft.rfft(frames[block] * window).astype(np.complex64)
        np.square(np.abs(spectrum), out=power[block])
    return power


def estimate_tuning(power: Frames, spec: FeatureSpec) -> float:
    """`librosa.estimate_tuning(S=power.T)`, computed at peaks only: fractions of a chroma bin from A440."""
    frequencies, magnitudes = _spectral_peaks(power, spec)
    if len(frequencies) == 0:
        return 0.0
    loud = frequencies[magnitudes >= np.median(magnitudes)]
    return _commonest_deviation(loud, spec)


def _commonest_deviation(frequencies: Frames, spec: FeatureSpec) -> float:
    """The mode of the deviations from A440's scale, in bins of `tuning_resolution`: `librosa.pitch_tuning`."""
    octaves = np.log2(frequencies / (440.0 / 16))
    deviation = np.mod(spec.n_chroma * octaves, 1.0)
    deviation[deviation >= 0.5] -= 1.0
    edges = np.linspace(-0.5, 0.5, math.ceil(1 / spec.tuning_resolution) + 1)
    counts, _ = np.histogram(deviation, edges)
    return float(edges[np.argmax(counts)])


def _spectral_peaks(power: Frames, spec: FeatureSpec) -> tuple[Frames, Frames]:
    """Frequencies (Hz) and magnitudes of `librosa.piptrack`'s peaks, by parabolic interpolation."""
    bin_hz = np.fft.rfftfreq(spec.n_fft, 1 / spec.sample_rate)
    first, stop = np.searchsorted(bin_hz, [max(spec.tuning_fmin_hz, bin_hz[1]), spec.tuning_fmax_hz])
    stop = min(stop, len(bin_hz) - 1)
    centre = power[:, first:stop]
    below, above = power[:, first - 1 : stop - 1], power[:, first + 1 : stop + 1]
    loudest = np.float32(spec.tuning_threshold) * power.max(axis=1, keepdims=True)
    frame, column = np.nonzero((centre > loudest) & (centre > below) & (centre >= above))
    peak, left, right = centre[frame, column], below[frame, column], above[frame, column]
    shift = _parabola_shift(left, peak, right)
    slope: Frames = (right - left) / np.float32(2)
    frequency = ((first + column + shift) * float(spec.sample_rate) / spec.n_fft).astype(np.float32)
    magnitude = np.asarray(peak + np.float32(0.5) * slope * shift, np.float32)
    return frequency, magnitude


def _parabola_shift(left: Frames, peak: Frames, right: Frames) -> Frames:
    """The offset in bins of the parabola's top; 0 where it lies more than a bin away."""
    # The mixture of precisions is that of librosa's numba stencil: integer literals promote to float64 there.
    curvature = (right + left).astype(np.float64) - 2.0 * peak
    slope = (right - left).astype(np.float64) / 2.0
    inside = np.abs(slope) < np.abs(curvature)
    shift = np.zeros_like(peak)
    np.divide(-slope, curvature, out=shift, where=inside, casting="same_kind")
    return shift


def _chroma(power: Frames, spec: FeatureSpec) -> Frames:
    """Energy per pitch class, each frame's largest scaled to 1: (n_frames, bins) -> (n_chroma, n_frames)."""
    chroma = chroma_filters(spec, estimate_tuning(power, spec)) @ power.T
    largest = chroma.max(axis=0)
    largest[largest < np.finfo(np.float32).tiny] = 1.0
    return chroma / largest


def _onset_strength(mel_db: Frames, spec: FeatureSpec) -> Frames:
    """Mean rise of the mel bands in dB over `onset_lag` frames, shifted by half a window: -> (n_frames,)."""
    rise = np.maximum(np.float32(0), mel_db[:, spec.onset_lag :] - mel_db[:, : -spec.onset_lag]).mean(axis=0)
    delay = spec.onset_lag + spec.n_fft // (2 * spec.hop_length)
    return np.concatenate([np.zeros(delay, np.float32), rise])[: mel_db.shape[1]]


def _power_to_db(power: Frames, spec: FeatureSpec) -> Frames:
    """Decibels, floored at `power_floor` and at `top_db` below the track's loudest value."""
    decibels = np.float32(10) * np.log10(np.maximum(np.float32(spec.power_floor), power))
    return np.maximum(decibels, decibels.max() - np.float32(spec.top_db))


def _cepstrum(mel_db: Frames) -> Frames:
    return np.asarray(scipy.fft.dct(mel_db, axis=0, type=2, norm="ortho"), np.float32)


def _delta(mfcc: Frames, order: int, spec: FeatureSpec) -> Frames:
    """Local polynomial derivative along time (Savitzky-Golay, as `librosa.feature.delta`)."""
    width = spec.delta_width
    delta = scipy.signal.savgol_filter(mfcc, width, polyorder=order, deriv=order, axis=-1, mode="interp")
    return np.asarray(delta, np.float32)


def _log(values: Frames, spec: FeatureSpec) -> Frames:
    return np.log(np.maximum(values, np.float32(spec.log_floor)))
