"""What feature blocks are computed from. Arrays are (feature, frame), as librosa's; frame n is centred at n hops."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from features.parameters import Parameters

PART_FRAMES = 4096  # 95 s; of magnitude spectrogram, 17 MB
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Mel:
    """db: (n_mels, n_frames) float32, the mel bands in decibels, of a whole track."""

    db: Floats
    parameters: Parameters

    @cached_property
    def mfcc(self) -> Floats:
        """(n_mfcc, n_frames) float32; three blocks need it."""
        n_mels, n_mfcc = self.parameters.n_mels, self.parameters.n_mfcc
        out = np.empty((n_mfcc, self.db.shape[1]), np.float32)
        for block in in_slices(self.db.shape[1]):
            out[:, block] = _cosines(n_mels, n_mfcc) @ self.db[:, block]
        return out


class PowerBlocks(Protocol):
    """A power spectrogram that comes in blocks of frames."""

    n_frames: int

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """(first frame, |STFT|^2 as (group, bin, lane)): frame = first + group * lanes + lane; those past n_frames are
        silent."""
        ...


class Gathered(Protocol):
    """What a block gathers from the power spectrogram as it passes, in one pass for all blocks."""

    def add(self, start: int, power: Floats) -> None:
        """A block (group, bin, lane) of |STFT|^2, whose first frame is `start`; the last one ends in silent frames."""
        ...

    def values(self) -> NDArray[Any]:
        """(column, frame), once all have passed."""
        ...


@dataclass(frozen=True)
class Power:
    """The power spectrogram of a whole track, and its tuning: the deviation from A440 in fractions of a chroma bin."""

    spectra: PowerBlocks
    tuning: float
    parameters: Parameters


@dataclass(frozen=True)
class Waveform:
    """samples: (n_samples,) float32, mono at parameters.sample_rate: a whole track. For blocks whose frames depend on
    more of the track than their own window."""

    samples: Floats
    parameters: Parameters
    _made: dict[Any, NDArray[Any]] = field(default_factory=dict, compare=False)

    def once(self, compute: Callable[["Waveform"], NDArray[Any]]) -> NDArray[Any]:
        """compute(self), which several blocks need: the first that asks computes it."""
        if compute not in self._made:
            self._made[compute] = compute(self)
        return self._made[compute]

    @property
    def stft(self) -> dict[str, Any]:
        """The spectrogram's parameters by librosa's names: n_fft, hop_length, window."""
        return {name: getattr(self.parameters, name) for name in ("n_fft", "hop_length", "window")}


@dataclass(frozen=True)
class Part:
    """Frames start to stop of a track, for blocks whose frames depend on their own window alone."""

    track: Waveform
    start: int
    stop: int

    def samples(self, mode: Literal["constant", "edge"] = "constant") -> Floats:
        """What the part's windows cover, for librosa's functions with center=False: (n_fft + (n_frames - 1) * hop,).

        Beyond the track's ends it is silent, or goes on with the first and the last sample ("edge").
        """
        n_fft, hop = self.track.parameters.n_fft, self.track.parameters.hop_length
        first = self.start * hop - n_fft // 2
        stop = first + n_fft + (self.stop - self.start - 1) * hop
        inside = self.track.samples[max(0, first) : stop]
        before = max(0, -first)
        return np.pad(inside, (before, stop - first - before - len(inside)), mode=mode)

    @cached_property
    def magnitude(self) -> Floats:
        """|librosa.stft|: (n_fft/2 + 1, n_frames) float32, computed once for all blocks."""
        import librosa

        return np.abs(librosa.stft(self.samples(), center=False, **self.track.stft))


def parts(track: Waveform) -> Iterator[Part]:
    """The whole track in parts of PART_FRAMES."""
    n_frames = track.parameters.stft_frames(len(track.samples))
    return (Part(track, s, min(s + PART_FRAMES, n_frames)) for s in range(0, n_frames, PART_FRAMES))


def in_slices(n_frames: int) -> Iterator[slice]:
    """Of some thousand frames, so that what is computed between is small beside a long track."""
    return (slice(start, start + 4096) for start in range(0, n_frames, 4096))


def log_above(values: Floats, floor: float) -> Floats:
    """Natural logarithms of what is at least `floor`; in the place of the values."""
    np.maximum(values, np.float32(floor), out=values)
    return np.log(values, out=values)


@lru_cache(maxsize=8)
def _cosines(n_mels: int, n_mfcc: int) -> NDArray[np.float64]:
    """The orthonormal DCT-II's first rows: (n_mfcc, n_mels)."""
    angles = np.pi / n_mels * np.outer(np.arange(n_mfcc), np.arange(n_mels) + 0.5)
    scale = np.full((n_mfcc, 1), np.sqrt(2.0 / n_mels))
    scale[0] = np.sqrt(1.0 / n_mels)
    return scale * np.cos(angles)
