"""The bytes of an audio file -> its frame features."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.decode import Audio, decode
from features.errors import BadTrack
from features.frames import frame_features
from features.spec import FeatureSpec


@dataclass(frozen=True)
class Track:
    """The features of one track: frames (n_frames, n_features) float32, and what is known of its source."""

    frames: NDArray[np.float32]
    duration_seconds: float
    sample_rate: int
    channels: int
    decoder: str


def extract(data: bytes, name: str, spec: FeatureSpec) -> Track:
    """The features of the audio file with these bytes; `name` is for messages only. Raises BadTrack."""
    audio = decode(data, name, spec)
    _refuse_unusable(audio, name, spec)
    frames = frame_features(audio.samples, spec)
    return Track(frames, audio.duration_seconds, audio.source_rate, audio.channels, audio.decoder)


def _refuse_unusable(audio: Audio, name: str, spec: FeatureSpec) -> None:
    n_frames = spec.n_frames(len(audio.samples))
    if n_frames < spec.min_frames:
        raise BadTrack(
            "TOO_SHORT",
            f"{name}: {audio.duration_seconds:.3f} s give {n_frames} frames, {spec.min_frames} are needed",
        )
    peak = max(float(audio.samples.max()), -float(audio.samples.min()))
    if peak < spec.silence_peak:
        raise BadTrack("SILENT", f"{name}: the mono peak is {peak:.2g}, below {spec.silence_peak:g}")
    if peak > spec.overflow_peak:
        raise BadTrack("NON_FINITE", f"{name}: the mono peak is {peak:.2g}, above {spec.overflow_peak:g}")
