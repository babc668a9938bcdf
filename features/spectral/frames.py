"""Waveform -> frame features, by librosa 0.11's definitions, from one float64 spectrum of each frame.

Frames go eight side by side through the Fourier transform (features.spectral.fft), the mel bands and the search for
spectral peaks, a block at a time, so that all of it stays in the processor's cache. What is a quantity of the whole
track comes after: the tuning, by which chroma depends on every frame, and the loudest mel band, the ceiling of top_db.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.signal
from numba import njit
from numpy.typing import NDArray

from features.spec import FeatureSpec
from features.spectral.fft import LANES, Transform
from features.spectral.filters import chroma_filters, mel_filters
from features.spectral.tuning import Peaks

BLOCK_FRAMES = 64
# Of power spectrogram, 25 minutes. That of a longer track is computed a second time for the chroma.
KEPT_BYTES = 256 << 20

Frames = NDArray[np.float32]


def frame_features(samples: Frames, spec: FeatureSpec) -> NDArray[Any]:
    """Features of mono samples at `spec.sample_rate`: (n_samples,) float32 -> (n_frames, n_features) `spec.dtype`.

    Memory beside the samples: at most KEPT_BYTES of spectrogram, and for each frame n_mels floats, its features and
    8 bytes for each of its spectral peaks. Raises ValueError below `spec.min_frames` frames.
    """
    n_frames = spec.n_frames(len(samples))
    if n_frames < spec.min_frames:
        raise ValueError(f"{n_frames} frames, the features need at least {spec.min_frames}")
    if spec.kind == "pcm":
        return _pcm(samples)
    spectra, bands = Spectra(samples, spec), _bands(spec)
    peaks = Peaks(spec) if spec.kind == "paper" else None
    mel = np.empty((spec.n_mels, spectra.n_padded), np.float32)
    for start, power in spectra.blocks():
        _filtered(power, *bands, mel[:, start:])
        if peaks:
            peaks.add(power, min(len(power) * LANES, n_frames - start))
    if not peaks:
        return np.ascontiguousarray(_power_to_db(mel[:, :n_frames], spec).T)
    out = np.empty((n_frames, spec.n_features), np.float32)
    mel_db = _power_to_db(mel[:, :n_frames], spec)
    _put_cepstra(mel_db, spec, out)
    _log(_onset_strength(mel_db, spec), spec, out[:, -1])
    del mel, mel_db
    _put_chroma(spectra, peaks.tuning(), spec, out[:, 3 * spec.n_mfcc : -1])
    return out


def _pcm(samples: Frames) -> NDArray[np.int16]:
    """(sample, 1); full scale is 2^15, what is beyond is clipped."""
    scaled = np.multiply(samples, np.float32(2**15))
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -(2**15), 2**15 - 1, out=scaled).astype(np.int16)[:, np.newaxis]


class Spectra:
    """Power spectrogram of a track, block by block: centred frames, zero padding."""

    def __init__(self, samples: Frames, spec: FeatureSpec) -> None:
        self._samples, self._spec = samples, spec
        self._transform = Transform(np.asarray(scipy.signal.get_window(spec.window, spec.n_fft), np.float64))
        self._n_groups = -(-spec.n_frames(len(samples)) // LANES)
        keeps = 4 * self._transform.n_bins * self.n_padded <= KEPT_BYTES
        self._kept: list[Frames] | None = [] if keeps else None

    @property
    def n_padded(self) -> int:
        """Frames, made a multiple of the lanes by silent ones."""
        return self._n_groups * LANES

    def blocks(self) -> Iterator[tuple[int, Frames]]:
        """(first frame, |STFT|^2 as (group, bin, lane))."""
        for number, group in enumerate(range(0, self._n_groups, BLOCK_FRAMES // LANES)):
            if self._kept is None:
                yield group * LANES, self._power(group)
                continue
            if number == len(self._kept):
                self._kept.append(self._power(group))
            yield group * LANES, self._kept[number]

    def _power(self, group: int) -> Frames:
        n_fft, hop = self._spec.n_fft, self._spec.hop_length
        n_groups = min(BLOCK_FRAMES // LANES, self._n_groups - group)
        n_needed = n_fft + (n_groups * LANES - 1) * hop
        start = group * LANES * hop - n_fft // 2
        needed = part = self._samples[max(0, start) : start + n_needed]
        if len(part) < n_needed:  # at the ends
            needed, begin = np.zeros(n_needed, np.float32), max(0, -start)
            needed[begin : begin + len(part)] = part
        # complex64 before the modulus, as in librosa: the tuning estimate counts peaks and feels the last bit
        magnitude = np.abs(self._transform(needed, hop, n_groups))
        return np.square(magnitude, out=magnitude)


@lru_cache(maxsize=8)
def _bands(spec: FeatureSpec) -> tuple[NDArray[np.int64], Frames]:
    """The mel filters without zeros: (first bin, end in `weights`) of each, and the weights of all."""
    filters = mel_filters(spec)
    first, weights, ends = [], [], []
    for row in filters:
        bins = np.flatnonzero(row)
        low, high = (bins[0], bins[-1] + 1) if len(bins) else (0, 0)
        first.append(low)
        weights.append(row[low:high])
        ends.append(sum(map(len, weights)))
    return np.stack([first, ends]).astype(np.int64), np.concatenate(weights)


@njit(cache=True, error_model="numpy")
def _filtered(power, bands, weights, out):  # type: ignore[no-untyped-def]
    """Banded filters of a block (group, bin, lane), into (filter, frame)."""
    for group in range(power.shape[0]):
        bins, place = power[group], 0
        for band in range(bands.shape[1]):
            k = bands[0, band]
            a = b = c = d = e = f = g = h = np.float32(0.0)
            while place < bands[1, band]:
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


def _power_to_db(power: Frames, spec: FeatureSpec) -> Frames:
    """Decibels, floored at `power_floor` and at `top_db` below the track's loudest value; in the place of the power."""
    np.maximum(power, np.float32(spec.power_floor), out=power)
    np.log10(power, out=power)
    power *= np.float32(10)
    return np.maximum(power, power.max() - np.float32(spec.top_db), out=power)


def _put_cepstra(mel_db: Frames, spec: FeatureSpec, out: Frames) -> None:
    """MFCC and their two derivatives, into the first columns of (frame, feature)."""
    n = spec.n_mfcc
    for block in _slices(len(out)):
        out[block, :n] = (_cosines(spec.n_mels, n) @ mel_db[:, block]).T
    mfcc, half = out[:, :n].astype(np.float64), spec.delta_width // 2
    for order in (1, 2):
        delta = out[:, order * n : (order + 1) * n]
        inner = np.zeros((len(mfcc) - 2 * half, n))
        for tap, weight in enumerate(_savitzky_golay(spec.delta_width, order)):
            inner += weight * mfcc[tap : tap + len(inner)]
        # A polynomial's highest derivative is a constant: the ends have that of the first and the last full window.
        delta[:half], delta[half:-half], delta[-half:] = inner[0], inner, inner[-1]


@lru_cache(maxsize=8)
def _cosines(n_mels: int, n_mfcc: int) -> NDArray[np.float64]:
    """The orthonormal DCT-II's first rows: (n_mfcc, n_mels)."""
    angles = np.pi / n_mels * np.outer(np.arange(n_mfcc), np.arange(n_mels) + 0.5)
    scale = np.full((n_mfcc, 1), np.sqrt(2.0 / n_mels))
    scale[0] = np.sqrt(1.0 / n_mels)
    return scale * np.cos(angles)


@lru_cache(maxsize=8)
def _savitzky_golay(width: int, order: int) -> NDArray[np.float64]:
    """Weights (width,) of the `order`-th derivative of a polynomial of that order: `librosa.feature.delta`."""
    powers = np.vander(np.arange(width) - width // 2, order + 1, increasing=True).astype(np.float64)
    return math.factorial(order) * np.linalg.pinv(powers)[order]


def _onset_strength(mel_db: Frames, spec: FeatureSpec) -> Frames:
    """Mean rise of the mel bands in dB over `onset_lag` frames, shifted by half a window: -> (n_frames,)."""
    n_frames, lag = mel_db.shape[1], spec.onset_lag
    rise = np.zeros(n_frames, np.float32)
    delay = lag + spec.n_fft // (2 * spec.hop_length)
    now, before = mel_db[:, lag : n_frames - delay + lag], mel_db[:, : max(0, n_frames - delay)]
    for block in _slices(max(0, n_frames - delay)):
        rise[delay:][block] = np.maximum(now[:, block] - before[:, block], np.float32(0)).mean(axis=0)
    return rise


def _slices(n_frames: int) -> Iterator[slice]:
    """Of some thousand frames, so that what is computed between is small beside a long track."""
    return (slice(start, start + 4096) for start in range(0, n_frames, 4096))


def _put_chroma(spectra: Spectra, tuning: float, spec: FeatureSpec, out: Frames) -> None:
    """Log energy per pitch class, each frame's largest scaled to 1, into (frame, n_chroma)."""
    filters = chroma_filters(spec, tuning)
    for start, power in spectra.blocks():
        chroma = filters @ power
        largest = chroma.max(axis=1, keepdims=True)
        largest[largest < np.finfo(np.float32).tiny] = 1.0
        chroma /= largest
        block = out[start : start + len(power) * LANES]
        frames = chroma.transpose(0, 2, 1).reshape(-1, spec.n_chroma)
        _log(frames[: len(block)], spec, block)


def _log(values: Frames, spec: FeatureSpec, out: Frames) -> None:
    np.maximum(values, np.float32(spec.log_floor), out=out)
    np.log(out, out=out)
