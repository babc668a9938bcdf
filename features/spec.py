"""The feature specification: every number that changes a feature value, and its fingerprint."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import soundfile
import soxr

# What the code does without a choice; written down because another way would change the last bits.
_FIXED = {
    "definitions": "librosa 0.11",
    "decoder": "libsndfile, in order without seeking; FFmpeg (PyAV) for what it does not know or read to the end",
    "mono": "mean of the channels, before resampling",
    "resampler": "soxr",
    "stft": "float64 by decimation in time, rounded to complex64, centred, zero padding",
}
_PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


# What bears on the values of each kind; the rest of a specification's fields say nothing about them.
_SOURCE = frozenset(
    {"sample_rate", "resample_quality", "silence_peak", "overflow_peak", "max_seconds", "revision"}
)
_MEL = _SOURCE | {
    *("n_fft", "hop_length", "window", "n_mels", "mel_fmin_hz", "mel_fmax_hz", "power_floor", "top_db")
}
_PAPER = _MEL | {
    *("n_mfcc", "delta_width", "n_chroma", "tuning_fmin_hz", "tuning_fmax_hz", "tuning_threshold"),
    *("tuning_resolution", "onset_lag", "log_floor"),
}
_KINDS = {"paper": _PAPER, "log-mel": _MEL | {"kind"}, "pcm": _SOURCE | {"kind"}}
_EXCERPTS = {
    "whole": frozenset(),
    "first": frozenset({"excerpt", "excerpt_seconds"}),
    "middle": frozenset({"excerpt", "excerpt_seconds"}),
    "every": frozenset({"excerpt", "excerpt_seconds", "every_seconds"}),
}


@dataclass(frozen=True)
class FeatureSpec:
    """The frame features by librosa's definitions; the defaults are the paper's (preset `paper-52`).

    kind "paper": MFCC, their derivatives, chroma and onset strength; "log-mel": the mel bands in dB; "pcm": the mono
    samples themselves as 16-bit integers, a frame each. excerpt "first", "middle": `excerpt_seconds` from the start or
    the middle of a track; "every": as many at the start of every `every_seconds`; each is treated as a track of its
    own, their frames follow one another. Units are in the names; levels without one are linear, 1.0 is full scale.
    Raises ValueError on nonsense.
    """

    kind: str = "paper"
    excerpt: str = "whole"
    excerpt_seconds: float = 30.0
    every_seconds: float = 60.0
    sample_rate: int = 22050
    n_fft: int = 2048
    hop_length: int = 512
    window: str = "hann"
    n_mels: int = 128
    mel_fmin_hz: float = 0.0
    mel_fmax_hz: float = 11025.0
    power_floor: float = 1e-10
    top_db: float = 80.0
    n_mfcc: int = 13
    delta_width: int = 9
    n_chroma: int = 12
    tuning_fmin_hz: float = 150.0
    tuning_fmax_hz: float = 4000.0
    tuning_threshold: float = 0.1
    tuning_resolution: float = 0.01
    onset_lag: int = 1
    log_floor: float = 1e-8
    resample_quality: str = "HQ"
    silence_peak: float = 1e-4
    overflow_peak: float = 1e12
    max_seconds: float = 10800.0
    # Raised by hand when a change of our code changes feature values.
    revision: int = 4

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str) and value < 0:
                raise ValueError(f"{field.name} must not be negative, got {value}")
        self._check_choices()
        for name in ("sample_rate", "n_fft", "hop_length", "n_mels", "n_mfcc", "n_chroma", "onset_lag"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.n_fft < 32 or self.n_fft & (self.n_fft - 1):
            raise ValueError(f"n_fft must be a power of two and at least 32, got {self.n_fft}")
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length must not exceed n_fft = {self.n_fft}, got {self.hop_length}")
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc must not exceed n_mels = {self.n_mels}, got {self.n_mfcc}")
        if self.delta_width < 3 or self.delta_width % 2 == 0:
            raise ValueError(f"delta_width must be odd and at least 3, got {self.delta_width}")

    def _check_choices(self) -> None:
        for name, known in (("kind", _KINDS), ("excerpt", _EXCERPTS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.excerpt_seconds < 1.0:
            raise ValueError(f"excerpt_seconds must be at least 1, got {self.excerpt_seconds:g}")
        if self.every_seconds < self.excerpt_seconds:
            raise ValueError(
                f"every_seconds must not be less than excerpt_seconds = {self.excerpt_seconds:g}, "
                f"got {self.every_seconds:g}"
            )

    @property
    def n_features(self) -> int:
        """Columns of a frame, see `columns`."""
        return len(columns(self))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a frame's values."""
        return np.dtype("<i2" if self.kind == "pcm" else "<f4")

    @property
    def min_frames(self) -> int:
        """Frames that a track needs: librosa's delta fits a polynomial to `delta_width` of them."""
        return self.delta_width if self.kind == "paper" else 1

    @property
    def least_seconds(self) -> float:
        """Of audio that give `min_frames`."""
        return max(1, (self.min_frames - 1) * self.frame_samples) / self.sample_rate

    @property
    def frames_per_second(self) -> float:
        """Of the audio they come from."""
        return self.sample_rate / self.frame_samples

    @property
    def frame_samples(self) -> int:
        """Samples from one frame to the next."""
        return 1 if self.kind == "pcm" else self.hop_length

    def n_frames(self, n_samples: int) -> int:
        """Frames of `n_samples`: those of a centred STFT, or the samples themselves."""
        return n_samples if self.kind == "pcm" else 1 + n_samples // self.hop_length

    def to_json(self) -> dict[str, Any]:
        """What bears on the values: of the specification, of the code and of the libraries, with their versions."""
        names = sorted(_KINDS[self.kind] | _EXCERPTS[self.excerpt])
        values = {name: getattr(self, name) for name in names}
        return {**values, "fixed": dict(_FIXED), "libraries": library_versions()}


PRESETS: dict[str, FeatureSpec] = {
    "paper-52": FeatureSpec(),
    "log-mel-128": FeatureSpec(kind="log-mel"),
    "pcm-22050": FeatureSpec(kind="pcm"),
}


def library_versions() -> dict[str, str]:
    """The versions of everything between the file's bytes and the frame values.

    Not numba's: what it compiles here is arithmetic in a fixed order, whose result is that of IEEE 754.
    """
    packages = ("av", "numpy", "scipy", "soundfile", "soxr")
    return {
        **{name: version(name) for name in packages},
        "libsndfile": soundfile.__libsndfile_version__,
        "libsoxr": soxr.__libsoxr_version__,
    }


def fingerprint(spec: FeatureSpec) -> str:
    """16 hex digits that change with any field and any library version."""
    canonical = json.dumps(spec.to_json(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def columns(spec: FeatureSpec) -> list[str]:
    """The names of the columns of a frame, in order."""
    if spec.kind == "pcm":
        return ["sample"]
    if spec.kind == "log-mel":
        return [f"mel_{i:03d}" for i in range(spec.n_mels)]
    chroma = _PITCH_CLASSES if spec.n_chroma == 12 else tuple(str(i) for i in range(spec.n_chroma))
    return [
        *(f"{kind}_{i:02d}" for kind in ("mfcc", "delta", "delta2") for i in range(spec.n_mfcc)),
        *(f"log_chroma_{name}" for name in chroma),
        "log_onset",
    ]
