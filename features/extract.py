"""The bytes of an audio file -> its frame features."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.audio.decode import Audio, decode
from features.audio.excerpts import pieces
from features.errors import BadTrack
from features.own_frames import OwnFrames, read_frames
from features.spec import FeatureSpec
from features.spectral.frames import frame_features


@dataclass(frozen=True)
class Track:
    """The features of one track: frames (n_frames, n_features) `spec.dtype`, and what is known of its source.

    missing_seconds and fallback: see `features.audio.decode.Audio`.
    """

    frames: NDArray[Any]
    duration_seconds: float
    sample_rate: int
    channels: int
    decoder: str
    missing_seconds: float = 0.0
    fallback: str | None = None


def extract(data: bytes, name: str, spec: FeatureSpec) -> Track:
    """The features of the audio file with these bytes, or a user's frames; `name` is for messages. Raises BadTrack."""
    if spec.frames:
        return _own(data, name, spec.frames)
    audio = decode(data, name, spec)
    parts = [audio.samples[start:stop] for start, stop in pieces(len(audio.samples), spec)]
    _refuse_unusable(parts, audio, name, spec)
    frames = [frame_features(part, spec) for part in parts]
    joined = np.concatenate(frames) if len(frames) > 1 else frames[0]
    facts = (audio.duration_seconds, audio.source_rate, audio.channels, audio.decoder)
    return Track(joined, *facts, audio.missing_seconds, audio.fallback)


def _own(data: bytes, name: str, own: OwnFrames) -> Track:
    frames = read_frames(data, name, own)
    return Track(frames, len(frames) / own.frames_per_second, 0, 0, "own frames")


def _refuse_unusable(parts: list[NDArray[np.float32]], audio: Audio, name: str, spec: FeatureSpec) -> None:
    n_frames = spec.n_frames(len(parts[0]))
    if not len(parts[0]) or n_frames < spec.min_frames:
        raise BadTrack(
            "TOO_SHORT",
            f"{name}: {audio.duration_seconds:.3f} s give {n_frames} frames, {spec.min_frames} are needed",
        )
    peak = max(max(float(part.max()), -float(part.min())) for part in parts)
    if peak < spec.silence_peak:
        raise BadTrack("SILENT", f"{name}: the mono peak is {peak:.2g}, below {spec.silence_peak:g}")
    if peak > spec.overflow_peak:
        raise BadTrack("NON_FINITE", f"{name}: the mono peak is {peak:.2g}, above {spec.overflow_peak:g}")
