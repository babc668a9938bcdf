"""chroma_stft, chroma_cqt, tonnetz: energy by pitch class and what it says of harmony, by librosa.

All of the whole track, whose tuning they estimate. The constant-Q transform begins at C1 and spans seven octaves.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.blocks.block import STFT, Block, numbered, pitch_classes
from features.blocks.sources import Waveform

_CQT: dict[str, Any] = {"n_octaves": 7, "bins_per_octave": 36}


def _chroma_stft(track: Waveform) -> NDArray[np.float32]:
    """(n_chroma, n_frames), each frame's largest is 1."""
    import librosa

    given = track.parameters
    return librosa.feature.chroma_stft(
        y=track.samples, sr=given.sample_rate, n_chroma=given.n_chroma, **track.stft
    )


def _chroma_cqt(track: Waveform) -> NDArray[np.float32]:
    """(12, n_frames), each frame's largest is 1."""
    import librosa

    given = track.parameters
    return librosa.feature.chroma_cqt(
        y=track.samples, sr=given.sample_rate, hop_length=given.hop_length, **_CQT
    )


def _tonnetz(track: Waveform) -> NDArray[np.float64]:
    """(6, n_frames): fifths, minor and major thirds, a pair each (Harte, Sandler and Gasser 2006), of `_chroma_cqt`."""
    import librosa

    return librosa.feature.tonnetz(chroma=track.once(_chroma_cqt))


CHROMA_STFT = Block(
    "chroma_stft",
    "waveform",
    _chroma_stft,
    lambda p: pitch_classes("chroma_stft", p.n_chroma),
    STFT | {"n_chroma"},
    libraries=("librosa",),
)
CHROMA_CQT = Block(
    "chroma_cqt",
    "waveform",
    lambda track: track.once(_chroma_cqt),
    lambda _: pitch_classes("chroma_cqt"),
    frozenset({"hop_length"}),
    _CQT,
    libraries=("librosa",),
)
TONNETZ = Block(
    "tonnetz",
    "waveform",
    _tonnetz,
    lambda _: numbered("tonnetz", 6),
    frozenset({"hop_length"}),
    _CQT,
    libraries=("librosa",),
)
BLOCKS = (CHROMA_STFT, CHROMA_CQT, TONNETZ)
