"""Pieces of audio that travel with the pages."""

import tempfile

import numpy as np
import soundfile

FADE_SECONDS = 0.01  # so that a cut does not click
COMPRESSION = 0.7  # of soundfile's scale from 0 to 1


def cut(samples: np.ndarray, sample_rate: int, start_seconds: float, seconds: float) -> np.ndarray:
    """The piece of a mono waveform (sample,) that starts at `start_seconds`, faded in and out, inside [-1, 1]."""
    start = max(0, round(start_seconds * sample_rate))
    piece = samples[start : start + round(seconds * sample_rate)].astype(np.float32)
    fade = min(round(FADE_SECONDS * sample_rate), len(piece) // 2)
    if fade:
        ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
        piece[:fade] *= ramp
        piece[-fade:] *= ramp[::-1]
    return np.clip(piece, -1.0, 1.0)


def encode_mp3(piece: np.ndarray, sample_rate: int) -> bytes:
    """MP3 bytes of a mono waveform, which every browser plays; sample_rate is one that MP3 knows, as 22050.

    A constant bit rate, 56 kbit/s at 22050 Hz: sizes are known beforehand and players seek exactly.
    """
    # By way of a file: into memory libsndfile calls Python for every frame of 26 ms, which takes an eighth longer and
    # waits for the interpreter's lock each time.
    with tempfile.NamedTemporaryFile(suffix=".mp3") as target:
        soundfile.write(
            target.name, piece, sample_rate, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT",
            compression_level=COMPRESSION,
        )  # fmt: skip
        return target.read()
