"""Who is heard when: the answer that a composed song has and a recording has not."""

import numpy as np

from evaluation.compose.sound.filters import Floats
from evaluation.compose.sound.mix import stem
from evaluation.compose.writing.score import Song

AUDIBLE = 1e-6  # of the loudest frame's power (-60 dB), below which nobody plays


def energy_shares(
    song: Song, rate: int, window: int, hop: int, n_frames: int, rng: np.random.Generator
) -> Floats:
    """Each player's part of the power of the dry mix, (frame, instrument) in the order of song.instruments.

    Frame n is the `window` samples centred on sample n * hop at `rate`, as a centred STFT has them. Rows add to 1, or
    are 0 where nobody plays. Room, echo and the master's colour are left out: they belong to nobody.
    """
    samples = n_frames * hop + window
    power = np.zeros((n_frames, len(song.instruments)))
    for part in song.parts:
        sound = stem(song, part, rate, samples, rng) * np.float32(10 ** (part.level_db / 20))
        power[:, song.instruments.index(part.instrument)] += _power(sound, window, hop, n_frames)
    total = power.sum(axis=1, keepdims=True)
    heard = total > AUDIBLE * total.max(initial=0.0)
    return np.where(heard, power / np.where(heard, total, 1.0), 0.0).astype(np.float32)


def _power(sound: Floats, window: int, hop: int, n_frames: int) -> np.ndarray:
    """Sum of squares of the window around each frame's centre, (frame,); before the start there is silence."""
    sums = np.concatenate([[0.0], np.cumsum(sound.astype(np.float64) ** 2)])
    centres = hop * np.arange(n_frames)
    first, last = np.maximum(centres - window // 2, 0), np.minimum(centres + window // 2, len(sound))
    return np.maximum(sums[last] - sums[first], 0.0)
