"""What a feature block is: named columns of a frame, and how they are computed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from features.parameters import Parameters

# What a block is computed from: Mel, Power, Waveform or Part of features.blocks.sources; or Gathered, "spectrogram".
Source = Literal["mel", "power", "spectrogram", "waveform", "part"]
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

# Fields of the parameters that blocks have in common.
STFT = frozenset({"n_fft", "hop_length", "window"})
MEL = STFT | {"n_mels", "mel_fmin_hz", "mel_fmax_hz", "power_floor", "top_db"}


@dataclass(frozen=True)
class Grid:
    """Where the frames of a track are, and the type of their values.

    hop_samples: from one frame to the next. n_frames: frames that so many samples give.
    """

    hop_samples: int
    dtype: str
    n_frames: Callable[[int], int]


def stft_grid(parameters: Parameters) -> Grid:
    """The frames of a centred STFT, float32."""
    return Grid(parameters.hop_length, "<f4", parameters.stft_frames)


@dataclass(frozen=True)
class Block:
    """Columns of a frame under one name: librosa's, or the field's.

    compute: the source -> (column, frame), as librosa returns it; of "spectrogram" (parameters, n_frames) -> Gathered,
    which sees the spectrogram once, block by block. columns: their names. fields: of `Parameters`, those
    that bear on the values, beside those of the waveform; parameters: further ones, which this block alone has.
    libraries: packages whose versions bear on the values, beside those that every block needs. min_frames: that a track
    must have. grid: its frames; a block whose frames are not those of the STFT has no others beside it.
    """

    name: str
    source: Source
    compute: Callable[..., Any]
    columns: Callable[[Parameters], Sequence[str]]
    fields: frozenset[str]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    min_frames: Callable[[Parameters], int] = lambda _: 1
    grid: Callable[[Parameters], Grid] = stft_grid


def numbered(name: str, count: int, digits: int = 2) -> list[str]:
    """name_00, name_01, ..."""
    return [f"{name}_{i:0{digits}d}" for i in range(count)]


def pitch_classes(name: str, count: int = 12) -> list[str]:
    """name_C, name_C#, ...; numbers where an octave is not divided in twelve."""
    return [f"{name}_{pitch}" for pitch in (PITCH_CLASSES if count == 12 else range(count))]
