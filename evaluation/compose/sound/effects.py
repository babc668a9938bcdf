"""What a studio adds: room, echo, tape, dust, tone and level. Signals are float32 (samples,) or (channels, samples)."""

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from evaluation.compose.sound.filters import Floats, butterworth, onepole


def room(send: Floats, seconds: float, channels: int, rate: int, rng: np.random.Generator) -> Floats:
    """Reverberation of a mono signal with decay time `seconds` (to -60 dB): (channels, samples), energy kept."""
    size = scipy.fft.next_fast_len(len(send) + int(seconds * rate), real=True)
    # scipy's transform of float32 is three times as fast as numpy's.
    signals = [send, *(_impulse(seconds, rate, rng) for _ in range(channels))]
    spectra = [np.asarray(scipy.fft.rfft(signal, size)) for signal in signals]
    wet = [np.asarray(scipy.fft.irfft(spectra[0] * spectrum, size))[: len(send)] for spectrum in spectra[1:]]
    return np.stack(wet).astype(np.float32)


def echoes(sound: Floats, delay_samples: int, feedback: float, rate: int) -> Floats:
    """Up to six repeats of a mono sound without the sound itself, each `feedback` times the last and darker."""
    total = np.zeros_like(sound)
    repeat, level = sound, 1.0
    for _ in range(6):
        level *= feedback
        if len(repeat) <= delay_samples or level < 0.03:
            break
        repeat = onepole(repeat[:-delay_samples], 2500.0, rate) * np.float32(feedback)
        repeat = np.concatenate([np.zeros(delay_samples, np.float32), repeat])
        total += repeat
    return total


def pump(samples: int, kicks: NDArray[np.int64], depth: float, rate: int) -> Floats:
    """A gain that dips by `depth` at each kick and recovers in a fifth of a second: (samples,)."""
    gain = np.ones(samples, np.float32)
    dip = (1 - depth * np.exp(-np.arange(int(0.4 * rate)) / (0.1 * rate))).astype(np.float32)
    for start in kicks:
        piece = gain[start : start + len(dip)]
        np.minimum(piece, dip[: len(piece)], out=piece)
    return gain


def drive(mix: Floats, amount: float) -> Floats:
    """Soft saturation; 0 is clean. The level of quiet sounds is kept."""
    if amount <= 0:
        return mix
    push = np.float32(1 + 2 * amount)
    return np.tanh(push * mix) / push


def tilt(mix: Floats, decibels: float, rate: int) -> Floats:
    """Highs up and lows down by half of `decibels` each around 1 kHz."""
    low = onepole(mix, 1000.0, rate)
    return low * np.float32(10 ** (-decibels / 40)) + (mix - low) * np.float32(10 ** (decibels / 40))


def lowpass(mix: Floats, hertz: float, rate: int) -> Floats:
    """Second-order low-pass; nothing if the cut-off is beyond the band."""
    if hertz >= 0.45 * rate:
        return mix
    return butterworth(mix, hertz, "lowpass", rate)


def without_dc(mix: Floats, rate: int) -> Floats:
    """High-pass at 25 Hz."""
    return butterworth(mix, 25.0, "highpass", rate)


def wow(mix: Floats, cents: float, rate: int, rng: np.random.Generator) -> Floats:
    """Slow pitch drift of a worn machine, up to `cents` either way."""
    if cents < 0.5:
        return mix
    time = np.arange(mix.shape[1]) / rate
    hertz = rng.uniform(0.4, 1.1)
    shift = (2 ** (cents / 1200) - 1) / (2 * np.pi * hertz) * rate
    position = np.arange(mix.shape[1]) + shift * np.sin(2 * np.pi * hertz * time)
    return np.stack([np.interp(position, np.arange(mix.shape[1]), row) for row in mix]).astype(np.float32)


def crush(mix: Floats, bits: int) -> Floats:
    """Fewer levels; 0 leaves the signal alone."""
    if bits == 0:
        return mix
    steps = np.float32(2 ** (bits - 1))
    return np.round(mix * steps) / steps


def crackle(samples: int, amount: float, rate: int, rng: np.random.Generator) -> Floats:
    """Dust on a record: short clicks at random times, (samples,)."""
    clicks = np.zeros(samples, np.float32)
    count = int(12 * amount * samples / rate)
    clicks[rng.integers(0, samples, count)] = rng.normal(0, 0.08, count) * rng.random(count)
    return onepole(clicks, 5000.0, rate) * np.float32(amount)


def level(mix: Floats, decibels: float) -> Floats:
    """Scaled to an RMS of `decibels` below full scale; peaks above 0.6 are bent below 0.97."""
    mix = mix * np.float32(10 ** (decibels / 20) / (np.sqrt(np.mean(mix**2)) + 1e-9))
    size = np.abs(mix)
    bent = 0.6 + 0.37 * np.tanh((size - 0.6) / 0.37)
    return np.where(size > 0.6, np.sign(mix) * bent, mix).astype(np.float32)


def faded(mix: Floats, seconds: float, rate: int) -> Floats:
    """The last `seconds` go to silence."""
    ramp = np.minimum(1.0, np.arange(mix.shape[1], 0, -1) / (seconds * rate)) ** 2
    return mix * ramp.astype(np.float32)


def _impulse(seconds: float, rate: int, rng: np.random.Generator) -> Floats:
    time = np.arange(int(seconds * rate), dtype=np.float32) / np.float32(rate)
    noise = rng.standard_normal(len(time), np.float32)
    dark = onepole(noise, 1500.0, rate) * 2
    fresh = np.exp(-time * np.float32(12 / seconds))
    tail = (noise * fresh + dark * (1 - fresh)) * np.exp(-time * np.float32(6.9 / seconds))
    tail[: int(0.008 * rate)] = 0
    return tail / np.sqrt(np.sum(tail**2))
