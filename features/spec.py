"""The feature specification: which blocks a frame has, every number that changes their values, and its fingerprint."""

import dataclasses
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import accumulate
from typing import Any

import numpy as np
import soundfile
import soxr

from features.blocks import BLOCKS
from features.blocks.block import Block, Grid, stft_grid
from features.networks.network import Network
from features.own_frames import OwnFrames
from features.parameters import Parameters

# What the code does without a choice; written down because another way would change the last bits.
_FIXED = {
    "definitions": "librosa 0.11",
    "decoder": "libsndfile, in order without seeking; FFmpeg (PyAV) for what it does not know or read to the end",
    "mono": "mean of the channels, before resampling",
    "resampler": "soxr",
    "stft": "float64 by decimation in time, rounded to complex64, centred, zero padding",
}
# What bears on the values of every block.
_WAVEFORM = frozenset(
    {"sample_rate", "resample_quality", "silence_peak", "overflow_peak", "max_seconds", "revision"}
)
_EXCERPTS = {
    "whole": frozenset(),
    "first": frozenset({"excerpt", "excerpt_seconds"}),
    "middle": frozenset({"excerpt", "excerpt_seconds"}),
    "every": frozenset({"excerpt", "excerpt_seconds", "every_seconds"}),
}
_PAPER = ("mfcc", "mfcc_delta", "mfcc_delta2", "chroma", "onset_strength")
# How feature trees say the blocks of the presets, which are older than the names of blocks: their fingerprints are
# the addresses of trees.
_KINDS: dict[str | None, tuple[str, ...]] = {None: _PAPER, "log-mel": ("mel",), "pcm": ("pcm",)}


def _require_known(features: tuple[str, ...]) -> None:
    if not features:
        raise ValueError(f"features must name at least one of {', '.join(BLOCKS)}")
    for name in features:
        if name not in BLOCKS:
            raise ValueError(f"features: {name!r} is not known; known are {', '.join(BLOCKS)}")
        if features.count(name) > 1:
            raise ValueError(f"features: {name!r} is there twice")
        if BLOCKS[name].grid is not stft_grid and len(features) > 1:
            raise ValueError(f"features: {name!r} has frames of its own, others cannot be beside it")


@dataclass(frozen=True)
class FeatureSpec(Parameters):
    """The frame features by librosa's definitions; the defaults are the paper's (preset `paper-52`).

    features: names of blocks (features.blocks.BLOCKS), whose columns follow one another in this order. excerpt "first",
    "middle": `excerpt_seconds` from the start or the middle of a track; "every": as many at the start of every
    `every_seconds`; each is treated as a track of its own, their frames follow one another. Raises ValueError on
    nonsense.
    """

    features: tuple[str, ...] = _PAPER
    excerpt: str = "whole"
    excerpt_seconds: float = 30.0
    every_seconds: float = 60.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", tuple(self.features))  # JSON has lists
        super().__post_init__()
        _require_known(self.features)
        if self.excerpt not in _EXCERPTS:
            raise ValueError(f"excerpt must be one of {', '.join(_EXCERPTS)}, got {self.excerpt!r}")
        if self.excerpt_seconds < 1.0:
            raise ValueError(f"excerpt_seconds must be at least 1, got {self.excerpt_seconds:g}")
        if self.every_seconds < self.excerpt_seconds:
            raise ValueError(
                f"every_seconds must not be less than excerpt_seconds = {self.excerpt_seconds:g}, "
                f"got {self.every_seconds:g}"
            )
        _ = self.n_features  # blocks refuse parameters that they cannot be computed with
        if "frames" in self.features and self.excerpt != "whole":
            raise ValueError(f"excerpt must be whole for a user's own frames, got {self.excerpt!r}")
        if self.network and self.network.sample_rate != self.sample_rate:
            raise ValueError(
                f"sample_rate must be the network's, {self.network.sample_rate}, got {self.sample_rate}"
            )

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The feature blocks, in the order of their columns."""
        return tuple(BLOCKS[name] for name in self.features)

    def block(self, name: str) -> slice:
        """The columns of a block. Raises ValueError where there is none of that name."""
        if name not in self._places:
            raise ValueError(f"no feature block {name!r} among {', '.join(self.features)}")
        return self._places[name]

    @cached_property
    def _places(self) -> dict[str, slice]:
        stops = list(accumulate(len(block.columns(self)) for block in self.blocks))
        return dict(zip(self.features, map(slice, [0, *stops[:-1]], stops), strict=True))

    @property
    def n_features(self) -> int:
        """Columns of a frame, see `columns`."""
        return self._places[self.features[-1]].stop

    @property
    def grid(self) -> Grid:
        """Where its frames are."""
        return self.blocks[0].grid(self)

    @property
    def is_waveform(self) -> bool:
        """Whether a frame is a sample."""
        return self.grid.hop_samples == 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a frame's values."""
        return np.dtype(self.grid.dtype)

    @property
    def min_frames(self) -> int:
        """Frames that a track needs, see `Block.min_frames`."""
        return max(block.min_frames(self) for block in self.blocks)

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
        return self.grid.hop_samples

    def n_frames(self, n_samples: int) -> int:
        """Frames of `n_samples`: those of a centred STFT, the samples themselves, or a network's."""
        return self.grid.n_frames(n_samples)

    def to_json(self) -> dict[str, Any]:
        """What bears on the values: of the specification, of the code and of the libraries, with their versions."""
        names = _WAVEFORM.union(_EXCERPTS[self.excerpt], *(block.fields for block in self.blocks))
        values = {name: _plain(getattr(self, name)) for name in sorted(names)}
        libraries = library_versions({name for block in self.blocks for name in block.libraries})
        return {**values, **self._features_to_json(), "fixed": dict(_FIXED), "libraries": libraries}

    def _features_to_json(self) -> dict[str, Any]:
        for kind, features in _KINDS.items():
            if features == self.features:
                return {"kind": kind} if kind else {}
        return {"features": list(self.features), "block_parameters": self._block_parameters()}

    def _block_parameters(self) -> dict[str, dict[str, Any]]:
        return {block.name: dict(block.parameters) for block in self.blocks if block.parameters}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "FeatureSpec":
        """The specification that `to_json` wrote; fields that it left out have their defaults.

        The code and the libraries may be others than this program's: compare the two `to_json`. Raises ValueError where
        this program does not know a block, or has other parameters for it.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        kind = stored.get("kind")
        if kind not in _KINDS:
            raise ValueError(f"kind {kind!r} is not known here")
        given = {"features": _KINDS[kind], **stored}
        if "network" in stored:
            given["network"] = Network.from_json(stored["network"])
        spec = cls(**{name: value for name, value in given.items() if name in names})
        parameters = spec._block_parameters()
        if stored.get("block_parameters", parameters) != parameters:
            raise ValueError(f"block_parameters {stored['block_parameters']} are {parameters} here")
        return spec


def _plain(value: Any) -> Any:
    return value.to_json() if isinstance(value, Network | OwnFrames) else value


DEFAULT_PRESET = "music-59"
PRESETS: dict[str, FeatureSpec] = {
    "music-59": FeatureSpec(features=(*_PAPER, "spectral_contrast")),
    "paper-52": FeatureSpec(),
    "log-mel-128": FeatureSpec(features=("mel",)),
    "pcm-22050": FeatureSpec(features=("pcm",)),
}


def library_versions(more: Collection[str] = ()) -> dict[str, str]:
    """The versions of everything between the file's bytes and the frame values; `more`: packages of some blocks alone.

    Not numba's: what it compiles here is arithmetic in a fixed order, whose result is that of IEEE 754.
    """
    packages = ("av", "numpy", "scipy", "soundfile", "soxr", *sorted(more))
    return {
        **{name: version(name).partition("+")[0] for name in packages},  # torch names its GPU there
        "libsndfile": soundfile.__libsndfile_version__,
        "libsoxr": soxr.__libsoxr_version__,
    }


def fingerprint(spec: FeatureSpec) -> str:
    """16 hex digits that change with any field and any library version."""
    canonical = json.dumps(spec.to_json(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def columns(spec: FeatureSpec) -> list[str]:
    """The names of the columns of a frame, in order."""
    return [name for block in spec.blocks for name in block.columns(spec)]
