"""Samples to files: encoding, and the four files that no pipeline should trip over."""

import io
import os
from pathlib import Path

import numpy as np
import soundfile

from evaluation.compose.plan import Track
from evaluation.compose.sound.filters import Floats
from evaluation.compose.sound.mix import render
from evaluation.compose.writing.score import generator

_SUBTYPES = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}
_BLOCK_FRAMES = 1 << 16
_NOTE = b"This is a text file with the name of a sound. Whoever decodes it should say so and go on.\n" * 40

PLANTED = {
    "ambient/silent.wav": "SILENT",
    "techno/truncated.wav": "TRUNCATED",
    "waltz/empty.mp3": "EMPTY",
    "lofi/notes.ogg": "NOT_AUDIO",
}


def encode(samples: Floats, rate: int, extension: str) -> bytes:
    """The file of samples (channels, samples) in one of the four formats."""
    buffer = io.BytesIO()
    channels, total = samples.shape
    with soundfile.SoundFile(
        buffer, "w", rate, channels, _SUBTYPES[extension], format=extension.upper()
    ) as file:
        # libsndfile's Vorbis writer keeps a whole call on the stack.
        for start in range(0, total, _BLOCK_FRAMES):
            file.write(samples[:, start : start + _BLOCK_FRAMES].T)
    return buffer.getvalue()


def played(track: Track) -> bytes:
    """The finished file of a track."""
    sound = render(track.song(), track.rate, track.channels, generator(track.seed, track.number, "sound"))
    return encode(sound, track.rate, track.extension)


def planted(name: str, spare: Track) -> bytes:
    """The content of one of PLANTED; `spare` is a wav track outside the corpus, for the one that is cut off."""
    reason = PLANTED[name]
    if reason == "SILENT":
        return encode(np.zeros((1, 20 * 22050), np.float32), 22050, "wav")
    if reason == "TRUNCATED":
        whole = played(spare)
        return whole[: len(whole) * 6 // 10]
    return b"" if reason == "EMPTY" else _NOTE


def place(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    os.replace(partial, path)
