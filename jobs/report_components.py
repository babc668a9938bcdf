"""What the page lets people hear: for every component shown, its labels, its sound, and segments of different songs."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from evaluation.clips import cut, encode_mp3
from evaluation.interpret import (
    FrameTally,
    Tally,
    deviations,
    in_words,
    label_lift,
    tally,
    tally_frames,
    top_labels,
    usage,
)
from evaluation.page_components import Card, Segment, Trait
from evaluation.segments import Window, best_window, candidates, choose_segments
from features.decode import decode
from features.errors import BadTrack
from features.excerpts import frame_sample
from features.spec import FeatureSpec, columns
from infra.config import ReportConfig
from infra.errors import StorageError
from infra.songs import read_songs
from infra.storage import read_uri
from jobs.evaluate_inputs import Inputs
from jobs.evaluate_vectors import as_matrix, blocks, vector_tables
from jobs.model import LoadedModel, frame_responsibilities
from jobs.report_corpus import Labels

SEARCHED_SONGS = 5  # songs searched for a component's segments; the local step of long songs costs
MIN_SHARE = 0.003  # of a component in a song, below which there is nothing to hear
READERS = 4

# Name, column of the frame features, its sign, words for less and more.
TRAITS = (
    ("Loudness", "mfcc_00", 1.0, "quieter", "louder"),
    ("Brightness", "mfcc_01", -1.0, "darker", "brighter"),
    ("Attacks", "log_onset", 1.0, "smoother", "sharper"),
)


@dataclass(frozen=True)
class Clip:
    """The sound of a window and where in the track it starts, or the problem with it."""

    start_seconds: float
    mp3: bytes | None
    problem: str


@dataclass(frozen=True)
class Heard:
    """What the frames of the searched songs say: windows per component shown, and tallies of the trait features."""

    windows: tuple[tuple[Window, ...], ...]
    frames: FrameTally


def count_songs(inputs: Inputs, labels: Labels) -> Tally:
    """One pass over the vectors: how much of each component is where."""
    counted: Tally | None = None
    for table in vector_tables(inputs.store, inputs.vectors, ["responsibility"]):
        members = labels.members(table["track_id"].to_pylist())
        part = tally(as_matrix(table["responsibility"]), table["n_frames"].to_numpy(), members)
        counted = part if counted is None else counted + part
    if counted is None:
        raise StorageError(f"the snapshot of vectors of model {inputs.model} has no shard")
    return counted


def component_cards(
    inputs: Inputs,
    model: LoadedModel,
    counted: Tally,
    labels: Labels,
    spec: FeatureSpec,
    config: ReportConfig,
) -> tuple[Card, ...]:
    """The cards of the most used components, most used first."""
    share = usage(counted)
    shown = [int(k) for k in np.argsort(-share, kind="stable")[: config.components] if share[k] > 0]
    groups = _groups(inputs)
    searched = _search_where(inputs, shown, groups)
    with _one_thread():
        heard = _listen(inputs, model, shown, searched, spec, config)
    chosen = [choose_segments(windows, groups, config.segments) for windows in heard.windows]
    clips = _cut_clips(inputs, [window for windows in chosen for window in windows], spec)
    lift, deviation = label_lift(counted), deviations(heard.frames)
    return tuple(
        Card(
            number=k,
            share=float(share[k]),
            labels=tuple(top_labels(lift[:, k], labels.names, counted.members, 2, config.labels)),
            traits=tuple(_traits(deviation[row], spec)),
            segments=tuple(_segment(w, labels, clips[w], spec) for w in chosen[row]),
        )
        for row, k in enumerate(shown)
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Songs are small work: on a busy machine a second thread made this four times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _groups(inputs: Inputs) -> dict[str, str | None]:
    tracks = inputs.tracks["track_id"].to_pylist()
    if "group" not in inputs.tracks.column_names:
        return dict.fromkeys(tracks)
    return dict(zip(tracks, inputs.tracks["group"].to_pylist(), strict=True))


def _search_where(inputs: Inputs, shown: Sequence[int], groups: Mapping[str, str | None]) -> list[set[str]]:
    """For every component, the songs worth searching: still listed, rich in it, from different groups."""
    ids: list[str] = []
    parts = []
    for table in vector_tables(inputs.store, inputs.vectors, ["responsibility"]):
        listed = [i for i, track in enumerate(table["track_id"].to_pylist()) if track in groups]
        ids += table["track_id"].take(listed).to_pylist()
        parts.append(as_matrix(table["responsibility"])[listed][:, list(shown)])
    shares, known = np.concatenate(parts), [groups[track] for track in ids]
    return [
        {ids[i] for i in candidates(shares[:, row], known, ids, SEARCHED_SONGS, MIN_SHARE)}
        for row in range(len(shown))
    ]


def _listen(
    inputs: Inputs,
    model: LoadedModel,
    shown: Sequence[int],
    searched: Sequence[set[str]],
    spec: FeatureSpec,
    config: ReportConfig,
) -> Heard:
    """Read the searched songs' frames once; the best window of each component in each of its songs."""
    traits = _traits_of(spec)
    picked, signs = (
        [columns(spec).index(trait[1]) for trait in traits],
        np.array([trait[2] for trait in traits]),
    )
    width = max(1, round(config.segment_seconds * spec.frames_per_second))
    windows: list[list[Window]] = [[] for _ in shown]
    frames = tally_frames(np.zeros((0, len(traits))), np.zeros((0, len(shown))))
    songs = read_songs(inputs.store, inputs.features)
    for block in blocks(inputs.store, songs, set().union(*searched)):
        responsibility = frame_responsibilities(model, block.values, block.offsets)[:, list(shown)]
        frames += tally_frames(block.values[:, picked] * signs, responsibility)
        for i, track in enumerate(block.track_ids):
            part = responsibility[block.offsets[i] : block.offsets[i + 1]]
            for row in (row for row, wanted in enumerate(searched) if track in wanted):
                windows[row].append(best_window(track, part[:, row], width))
    return Heard(tuple(map(tuple, windows)), frames)


def _traits_of(spec: FeatureSpec) -> list[tuple[str, str, float, str, str]]:
    """Those whose column the frames have."""
    return [trait for trait in TRAITS if trait[1] in columns(spec)]


def _traits(deviation: np.ndarray, spec: FeatureSpec) -> Iterator[Trait]:
    for value, (name, _, _, less, more) in zip(deviation.tolist(), _traits_of(spec), strict=True):
        yield Trait(name, in_words(value, less, more), value)


def _segment(window: Window, labels: Labels, clip: Clip, spec: FeatureSpec) -> Segment:
    start, stop = clip.start_seconds, clip.start_seconds + _seconds(window, spec)
    words = labels.words(window.track_id)
    return Segment(window.track_id, words, start, stop, window.share, clip.mp3, clip.problem)


def _seconds(window: Window, spec: FeatureSpec) -> float:
    return (window.stop - window.start) / spec.frames_per_second


def _cut_clips(inputs: Inputs, windows: Sequence[Window], spec: FeatureSpec) -> dict[Window, Clip]:
    """The sound of every window, or the reason why there is none; each file is read once."""
    rows = zip(inputs.tracks["track_id"].to_pylist(), inputs.tracks["uri"].to_pylist(), strict=True)
    wanted: dict[str, list[Window]] = {}
    for window in windows:
        wanted.setdefault(window.track_id, []).append(window)
    uris = {track: uri for track, uri in rows if track in wanted}
    with ThreadPoolExecutor(READERS) as pool:
        parts = pool.map(lambda track: _clips_of(uris[track], track, wanted[track], spec), wanted)
        return {window: clip for part in parts for window, clip in part.items()}


def _clips_of(uri: str, track: str, windows: Sequence[Window], spec: FeatureSpec) -> dict[Window, Clip]:
    def silent(problem: str) -> dict[Window, Clip]:
        return {window: Clip(window.start / spec.frames_per_second, None, problem) for window in windows}

    try:
        samples = decode(read_uri(uri), track, spec).samples
    except FileNotFoundError:
        return silent("the file has gone")
    except (BadTrack, StorageError) as error:
        return silent(str(error))
    rate, clips = spec.sample_rate, {}
    for window in windows:
        start = frame_sample(window.start, len(samples), spec) / rate
        clips[window] = Clip(start, encode_mp3(cut(samples, rate, start, _seconds(window, spec)), rate), "")
    return clips
