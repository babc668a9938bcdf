"""Frames that a user brings instead of audio: the record that names them by their digest, and a track's, from .npy."""

import dataclasses
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import BadTrack


@dataclass(frozen=True)
class OwnFrames:
    """Frames (frame, n_features) of each track, or one vector (n_features,).

    digest: of the files that hold them. frames_per_second: of the audio they come from; where a track has one vector,
    it only says how far the report's clips go. storage: the type of the values that are kept. Raises ValueError on
    nonsense.
    """

    digest: str
    n_features: int
    frames_per_second: float = 1.0
    storage: str = "float32"

    def __post_init__(self) -> None:
        if self.n_features < 1:
            raise ValueError(
                f"frames.path: vectors must have a dimension at least, they have {self.n_features}"
            )
        if not self.frames_per_second > 0:
            raise ValueError(f"frames.frames_per_second must be above 0, got {self.frames_per_second:g}")
        if self.storage not in ("float16", "float32"):
            raise ValueError(f"frames.storage must be float16 or float32, got {self.storage!r}")

    def to_json(self) -> dict[str, Any]:
        """All that bears on the values."""
        return dataclasses.asdict(self)


def read_frames(data: bytes, name: str, own: OwnFrames) -> NDArray[np.float32]:
    """The frames (frame, n_features) of the .npy file with these bytes. Raises BadTrack; no pickle is read."""
    if not data:
        raise BadTrack("EMPTY", f"{name}: 0 bytes")
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise BadTrack("DECODE_ERROR", f"{name}: no array of numbers in .npy format ({error})") from None
    frames = np.atleast_2d(found)
    if frames.dtype.kind not in "fiu" or frames.ndim != 2 or frames.shape[1] != own.n_features:
        raise BadTrack(
            "DECODE_ERROR",
            f"{name}: {found.dtype} {found.shape}, expected numbers (frame, {own.n_features}) or ({own.n_features},)",
        )
    if not len(frames):
        raise BadTrack("TOO_SHORT", f"{name}: 0 frames")
    if not (np.abs(frames) <= np.finfo(own.storage).max).all():
        raise BadTrack("NON_FINITE", f"{name}: values that are no finite {own.storage}")
    return frames.astype(np.float32)
