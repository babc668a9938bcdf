"""Drum sounds: a gliding sine and a band of noise, each with its decay. `kits` holds the records."""

from dataclasses import dataclass

import numpy as np

from evaluation.compose.sound.filters import Floats, butterworth


@dataclass(frozen=True)
class Drum:
    """One drum. The sine falls from `start_hz` to `hertz`; `band` limits the noise; decays are seconds to 1/e."""

    hertz: float = 0.0
    start_hz: float = 0.0
    tone_decay: float = 0.1
    band: tuple[float, float] = (200.0, 8000.0)
    noise_level: float = 0.0
    noise_decay: float = 0.05
    bursts: int = 1
    hold: int = 1
    level: float = 1.0


def strike(drum: Drum, velocity: float, tune: float, rate: int, rng: np.random.Generator) -> Floats:
    """One stroke, float32 (samples,), peak about velocity. `tune` scales pitch and length (1 = as recorded)."""
    longest = max(drum.tone_decay if drum.hertz else 0.0, drum.noise_decay)
    time = np.arange(int(min(1.5, 6 * longest / tune + 0.03 * drum.bursts) * rate)) / rate
    sound = np.zeros(len(time))
    if drum.hertz:
        sound += _glide(drum, time, tune)
    if drum.noise_level:
        sound += _burst(drum, time, tune, rate, rng)
    fade = np.minimum(1.0, (len(time) - np.arange(len(time))) / (0.005 * rate))
    return (drum.level * velocity * sound * fade).astype(np.float32)


def _glide(drum: Drum, time: Floats, tune: float) -> Floats:
    fall = 0.03
    sweep = max(0.0, drum.start_hz - drum.hertz) * fall * (1 - np.exp(-time / fall))
    return np.sin(2 * np.pi * tune * (drum.hertz * time + sweep)) * np.exp(-time * tune / drum.tone_decay)


def _burst(drum: Drum, time: Floats, tune: float, rate: int, rng: np.random.Generator) -> Floats:
    noise = rng.uniform(-1, 1, len(time))
    if drum.hold > 1:
        # Old sound chips step their noise at a few kHz; the steps are the sound.
        noise = np.repeat(noise[:: drum.hold], drum.hold)[: len(time)]
    low, high = drum.band[0], min(drum.band[1], 0.45 * rate)
    noise = butterworth(noise, (low, high), "bandpass", rate)
    envelope = np.exp(-time * tune / drum.noise_decay)
    for repeat in range(1, drum.bursts):
        late = time - 0.011 * repeat
        envelope = np.where(late >= 0, np.exp(-late * tune / drum.noise_decay), envelope * 0.8)
    return 1.5 * drum.noise_level * noise * envelope
