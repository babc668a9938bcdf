"""Pitched notes from time-varying wavetables.

A timbre says how loud each harmonic is at each moment. About twenty such spectra per note become single-cycle
tables by one inverse FFT, and the note reads them at its phase, blending from table to table. One formula covers
plucked strings, winds, pads and filter sweeps, costs two look-ups per sample and cannot alias.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from evaluation.compose.sound.filters import Floats

_FRAMES = 20
_TABLE = 4096
_HARMONICS = 96
_MIDDLE_C_HZ = 261.6


@dataclass(frozen=True)
class Timbre:
    """One instrument's sound. Times in seconds, frequencies in Hz.

    Harmonic k starts at `partials[k-1]`, or k**-rolloff without partials, even ones times `even`. It falls to 1/e
    in `decay / (1 + damping (k-1))`. A low-pass moves from cutoff[0] to cutoff[1] with time constant cutoff[2].
    `formants` are (centre, width, gain) resonances of the body. `divide` puts the partials on a fraction of the
    pitch, which is how bells get theirs. `breath` is steady noise, `strike` the noise of the onset.
    """

    partials: tuple[float, ...] = ()
    rolloff: float = 1.0
    even: float = 1.0
    duty: float = 0.0
    divide: int = 1
    cutoff: tuple[float, float, float] = (12000.0, 12000.0, 1.0)
    resonance: float = 0.0
    formants: tuple[tuple[float, float, float], ...] = ()
    attack: float = 0.004
    decay: float = math.inf
    damping: float = 0.0
    release: float = 0.08
    unison: int = 1
    detune_cents: float = 0.0
    vibrato_cents: float = 0.0
    vibrato_hz: float = 5.2
    breath: float = 0.0
    strike: float = 0.0


def tone(
    timbre: Timbre, hertz: float, seconds: float, velocity: float, rate: int, rng: np.random.Generator
) -> Floats:
    """One note held for `seconds` and released: float32 (samples,), RMS about velocity / 4 when loudest."""
    total = seconds + timbre.release
    time = np.arange(int(total * rate), dtype=np.float64) / rate
    moments = total * np.linspace(0.0, 1.0, _FRAMES) ** 2
    levels = harmonic_levels(timbre, hertz, moments, velocity, rate)
    sound = _read(timbre, _tables(levels), hertz / timbre.divide, time, total, rng)
    if timbre.breath or timbre.strike:
        noise = _noise(timbre, time, rng)
        sound[: len(noise)] += noise
    return (sound * _envelope(timbre, time, seconds) * np.float32(0.25 * velocity)).astype(np.float32)


def harmonic_levels(timbre: Timbre, hertz: float, moments: Floats, velocity: float, rate: int) -> Floats:
    """Amplitudes (moment, harmonic) of a note, scaled so that the loudest moment has unit RMS."""
    base = hertz / timbre.divide
    count = max(1, min(_HARMONICS, int(0.45 * rate / base)))
    k = np.arange(1, count + 1)
    levels = _source(timbre, k) * _body(timbre, k * base)
    levels = levels[None, :] * _lowpass(timbre, k * base, hertz, moments, velocity)
    if math.isfinite(timbre.decay):
        ring = timbre.decay * math.sqrt(_MIDDLE_C_HZ / hertz)
        levels = levels * np.exp(-moments[:, None] / ring * (1 + timbre.damping * (k - 1)))
    power = np.sum(levels**2, axis=1).max() / 2
    return levels / math.sqrt(power + 1e-12)


def _source(timbre: Timbre, k: NDArray[np.int64]) -> Floats:
    if timbre.partials:
        levels = np.zeros(len(k))
        given = timbre.partials[: len(k)]
        levels[: len(given)] = given
        return levels
    levels = k ** -float(timbre.rolloff)
    if timbre.duty:
        levels = levels * np.sin(np.pi * k * timbre.duty)
    return np.where(k % 2 == 0, timbre.even, 1.0) * levels


def _body(timbre: Timbre, hertz: Floats) -> Floats:
    gain = np.full(len(hertz), 1.0 if not timbre.formants else 0.12)
    for centre, width, level in timbre.formants:
        gain += level * np.exp(-(((hertz - centre) / width) ** 2))
    return gain


def _lowpass(
    timbre: Timbre,
    hertz: Floats,
    pitch_hz: float,
    moments: Floats,
    velocity: float,
) -> Floats:
    start, end, seconds = timbre.cutoff
    cutoff = end + (start - end) * np.exp(-moments / seconds)
    cutoff = cutoff * (0.5 + 0.7 * velocity) * math.sqrt(max(pitch_hz, 60.0) / _MIDDLE_C_HZ)
    ratio = hertz[None, :] / cutoff[:, None]
    return (1 + ratio**4) ** -0.5 + timbre.resonance * np.exp(-((4 * (ratio - 1)) ** 2))


def _tables(levels: Floats) -> Floats:
    """Sine-phase cycles, float32 (moment, table)."""
    spectra = np.zeros((len(levels), _TABLE // 2 + 1), np.complex64)
    spectra[:, 1 : levels.shape[1] + 1] = -0.5j * _TABLE * levels
    return np.asarray(scipy.fft.irfft(spectra, axis=1), np.float32)


def _read(
    timbre: Timbre,
    tables: Floats,
    hertz: float,
    time: Floats,
    total: float,
    rng: np.random.Generator,
) -> Floats:
    position = np.sqrt(time / total).astype(np.float32) * np.float32(_FRAMES - 1)
    row = position.astype(np.int32)
    blend = position - row
    row *= _TABLE
    flat = np.append(tables.ravel(), tables[-1])
    sound = np.zeros(len(time), np.float32)
    for voice in range(timbre.unison):
        phase = _phase(timbre, hertz, time, voice, rng)
        index = row + (phase.astype(np.int32) & (_TABLE - 1))
        now = flat.take(index)
        sound += now + blend * (flat.take(index + _TABLE) - now)
    return sound / np.float32(math.sqrt(timbre.unison))


def _phase(timbre: Timbre, hertz: float, time: Floats, voice: int, rng: np.random.Generator) -> Floats:
    """Table positions of one of the unison voices."""
    spread = 0.0 if timbre.unison == 1 else 2 * voice / (timbre.unison - 1) - 1
    start, turn = rng.random(2)
    cycles = time * (hertz * 2.0 ** (spread * timbre.detune_cents / 1200))
    if timbre.vibrato_cents:
        depth = hertz * (2.0 ** (timbre.vibrato_cents / 1200) - 1) / (2 * np.pi * timbre.vibrato_hz)
        wobble = np.sin((2 * np.pi * (timbre.vibrato_hz * time + turn)).astype(np.float32))
        cycles += depth * np.minimum(1.0, 3 * time) * wobble
    return _TABLE * (cycles + (start if timbre.unison > 1 else 0.0))


def _noise(timbre: Timbre, time: Floats, rng: np.random.Generator) -> Floats:
    """Breath throughout and the onset's noise: (samples,), or as many as are not silent."""
    if not timbre.breath:
        time = time[time < 0.1]
    noise = rng.standard_normal(len(time) + 1, np.float32)
    level = timbre.breath + timbre.strike * np.exp(-time / 0.012)
    return (noise[1:] + noise[:-1]) * level.astype(np.float32)


def _envelope(timbre: Timbre, time: Floats, seconds: float) -> Floats:
    rise = np.minimum(1.0, time / timbre.attack)
    fall = np.clip((time - seconds) / timbre.release, 0.0, 1.0)
    return (rise * (1 - fall) ** 2).astype(np.float32)
