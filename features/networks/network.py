"""What a network is as frame features: the record that names it by digests, and what a reader of networks has to do."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Frames = Callable[[Floats], Floats]  # mono samples (n_samples,) -> frames of a layer (frame, dim)


@dataclass(frozen=True)
class Choice:
    """What a user says of a network: where it lies, and what of it is wanted. Empty: the reader's default."""

    path: str
    layer: str = ""
    pool_frames: int = 1
    pca: str = ""
    storage: Literal["float16", "float32"] = "float16"
    device: Literal["cpu", "cuda"] = "cpu"


@dataclass(frozen=True)
class Network:
    """Frames of a layer of a network; what bears on their values is here by digest, and where it lies is not.

    code, weights: SHA-256, in hexadecimal digits. n_features: of the layer. A frame begins every `hop_samples`, and
    needs `window_samples`; 0 where the network pads. pool_frames: consecutive frames whose mean is kept. pca: SHA-256
    of the file of the projection, which leaves `pca_features`; "" for none. storage: the type of the values.

    path, pca_path and device are this program's own business: no record holds them, so that what was read from one has
    none, and is never run. Raises ValueError on nonsense.
    """

    reader: str
    layer: str
    code: str
    weights: str
    sample_rate: int
    n_features: int
    hop_samples: int
    window_samples: int = 0
    pool_frames: int = 1
    pca: str = ""
    pca_features: int = 0
    storage: str = "float16"
    path: str = field(default="", compare=False)
    pca_path: str = field(default="", compare=False)
    device: str = field(default="cpu", compare=False)

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_features", "hop_samples", "pool_frames"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"network.{name} must be a number from 1 on, got {value!r}")
        if not isinstance(self.window_samples, int) or self.window_samples < 0:
            raise ValueError(
                f"network.window_samples must be a number from 0 on, got {self.window_samples!r}"
            )
        if self.storage not in ("float16", "float32"):
            raise ValueError(f"network.storage must be float16 or float32, got {self.storage!r}")

    def to_json(self) -> dict[str, Any]:
        """All that bears on the values."""
        fields = (each.name for each in dataclasses.fields(self) if each.compare)
        return {name: getattr(self, name) for name in fields}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Network":
        """What `to_json` wrote. A path beside it is somebody else's doing and is left out: it is not to be run."""
        return cls(**{each.name: stored[each.name] for each in dataclasses.fields(cls) if each.compare})

    @property
    def kept_features(self) -> int:
        """Columns of a frame."""
        return self.pca_features or self.n_features

    def layer_frames(self, n_samples: int) -> int:
        """Frames of the layer."""
        if n_samples < max(1, self.window_samples):
            return 0
        return (n_samples - self.window_samples) // self.hop_samples + 1

    def n_frames(self, n_samples: int) -> int:
        """Frames that are kept: of the last ones, fewer than `pool_frames` are pooled."""
        return -(-self.layer_frames(n_samples) // self.pool_frames)


@dataclass(frozen=True)
class Pca:
    """A projection: frames (frame, dim) less mean (dim,), times the rows of components (kept, dim)."""

    mean: Floats
    components: Floats

    def __call__(self, frames: Floats) -> Floats:
        """(frame, kept)."""
        return np.asarray((frames - self.mean) @ self.components.T, np.float32)


class Reader(Protocol):
    """A kind of network: found and described without torch, and loaded with it."""

    name: str
    looks_like: str  # what lies at its path, in words

    def recognises(self, path: Path) -> bool:
        """Whether such a network lies there."""
        ...

    def describe(self, choice: Choice) -> Network:
        """Its facts. Raises ValueError, which begins with the field, where the path or the layer cannot be."""
        ...

    def load(self, network: Network) -> Frames:
        """The function that computes its layer; `code` and `weights` were compared. Raises ValueError if it cannot."""
        ...


def described(choice: Choice, **facts: Any) -> Network:
    """The record of a choice whose layer has these facts."""
    pca, width = "", 0
    if choice.pca:
        pca, width = digest(choice.pca), _pca_width(choice.pca, facts["n_features"])
    return Network(
        **facts,
        pool_frames=choice.pool_frames,
        pca=pca,
        pca_features=width,
        storage=choice.storage,
        path=str(Path(choice.path).absolute()),
        pca_path=str(Path(choice.pca).absolute()) if choice.pca else "",
        device=choice.device,
    )


def known_layer(asked: str, layers: Mapping[str, Any], default: str) -> str:
    """The layer asked for, or the default. Raises ValueError where there is no such layer."""
    if (layer := asked or default) not in layers:
        raise ValueError(f"network.layer: {layer!r} is not known; known are {', '.join(layers)}")
    return layer


def read_pca(path: str) -> Pca:
    """A projection from safetensors. Raises ValueError where the file holds none."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"network.pca: {path}: {' '.join(str(error).split())}") from None
    mean, components = tensors.get("mean"), tensors.get("components")
    if mean is None or components is None or components.ndim != 2 or mean.shape != components.shape[1:]:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in tensors.items())
        raise ValueError(
            f"network.pca: {path}: expected mean (dim,) and components (kept, dim), found {shapes}"
        )
    return Pca(mean.astype(np.float32), components.astype(np.float32))


def digest(*paths: str | Path) -> str:
    """SHA-256 of files, one after the other; each is read again only when it has changed."""
    if len(paths) == 1:
        return _digest_of(str(paths[0]), *_state(paths[0]))
    return joined(_digest_of(str(path), *_state(path)) for path in paths)


def joined(digests: Iterable[str]) -> str:
    """One digest of several, in their order."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _state(path: str | Path) -> tuple[int, int]:
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=256)
def _digest_of(path: str, _modified: int, _size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pca_width(path: str, n_features: int) -> int:
    found = read_pca(path)
    if len(found.mean) != n_features:
        raise ValueError(f"network.pca: {path}: of {len(found.mean)} features, the layer has {n_features}")
    return len(found.components)
