"""Short pieces of audio that travel inside a page."""

import base64
import io

import numpy as np
import soundfile

FADE_SECONDS = 0.01  # so that a cut does not click


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
    """MP3 bytes of a mono waveform, which every browser plays; sample_rate is one that MP3 knows, as 22050."""
    target = io.BytesIO()
    soundfile.write(target, piece, sample_rate, format="MP3", subtype="MPEG_LAYER_III")
    return target.getvalue()


def data_uri(mp3: bytes) -> str:
    """The bytes as an address that needs no file."""
    return "data:audio/mpeg;base64," + base64.b64encode(mp3).decode("ascii")
