"""The sounds of the report: each file is read and decoded once, cut and encoded."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from evaluation.figures.clips import cut, encode_mp3
from evaluation.interpretation.segments import Window
from features.audio.decode import decode
from features.audio.excerpts import frame_sample, pieces
from features.errors import BadTrack
from features.spec import FeatureSpec
from infra.errors import StorageError
from infra.root.schemas import TRACK_ID, URI
from infra.storage.store import read_uri
from jobs.evaluate.inputs import Inputs

READERS = 4


@dataclass(frozen=True)
class Clip:
    """A sound and where in the track it starts, or the problem with it. seconds: of the track that it covers."""

    start_seconds: float
    seconds: float
    mp3: bytes | None
    problem: str = ""


@dataclass(frozen=True)
class Sounds:
    """The sound of every window, and of the beginning of every song with a timeline."""

    windows: Mapping[Window, Clip]
    songs: Mapping[str, Clip]


def cut_sounds(
    inputs: Inputs, windows: Sequence[Window], songs: Sequence[str], seconds: float, spec: FeatureSpec
) -> Sounds:
    """The sounds of windows, and the first `seconds` of what was kept of songs, or the reason why there are none."""
    wanted: dict[str, list[Window]] = {track: [] for track in songs}
    for window in windows:
        wanted.setdefault(window.track_id, []).append(window)
    rows = zip(inputs.tracks[TRACK_ID].to_pylist(), inputs.tracks[URI].to_pylist(), strict=True)
    uris = {track: uri for track, uri in rows if track in wanted}
    with_timeline, found, begun = set(songs), {}, {}

    def read(track: str) -> tuple[str, dict[Window, Clip], Clip | None]:
        samples = _samples(uris[track], track, spec)
        clips = {window: _window(samples, window, spec) for window in wanted[track]}
        return track, clips, _beginning(samples, seconds, spec) if track in with_timeline else None

    with ThreadPoolExecutor(READERS) as pool:
        for track, clips, beginning in pool.map(read, wanted):
            found.update(clips)
            if beginning is not None:
                begun[track] = beginning
    return Sounds(found, begun)


def _samples(uri: str, track: str, spec: FeatureSpec) -> np.ndarray | str:
    """The track's waveform, or what is wrong with it."""
    try:
        return decode(read_uri(uri), track, spec).samples
    except FileNotFoundError:
        return "the file has gone"
    except (BadTrack, StorageError) as error:
        return str(error)


def _window(samples: np.ndarray | str, window: Window, spec: FeatureSpec) -> Clip:
    seconds = (window.stop - window.start) / spec.frames_per_second
    if isinstance(samples, str):
        return Clip(window.start / spec.frames_per_second, seconds, None, samples)
    start = frame_sample(window.start, len(samples), spec) / spec.sample_rate
    return Clip(start, seconds, encode_mp3(cut(samples, spec.sample_rate, start, seconds), spec.sample_rate))


def _beginning(samples: np.ndarray | str, most_seconds: float, spec: FeatureSpec) -> Clip:
    """The first part that was kept of the track, whose frames follow one another, at most `most_seconds` of it."""
    if isinstance(samples, str):
        return Clip(0.0, most_seconds, None, samples)
    start, stop = (place / spec.sample_rate for place in pieces(len(samples), spec)[0])
    seconds = min(stop - start, most_seconds)
    return Clip(start, seconds, encode_mp3(cut(samples, spec.sample_rate, start, seconds), spec.sample_rate))
