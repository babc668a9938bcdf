"""What the report needs of frames: the best windows of components, how components sound, and songs over time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from evaluation.interpretation.segments import Window, best_window
from evaluation.interpretation.tally import FrameTally, deviations, in_words, tally_frames
from evaluation.report.records import Trait
from features.spec import FeatureSpec, columns
from hdpgmm.ragged import Ragged
from infra.config import ReportConfig
from infra.root.songs import SongBlock, read_songs
from jobs.evaluate.inputs import Inputs
from jobs.evaluate.vectors import blocks
from jobs.represent.model import LoadedModel, frame_responsibilities

STEP_SECONDS = 0.25  # of a timeline

# Name, column of the frame features, its sign, words for less and more.
TRAITS = (
    ("Loudness", "mfcc_00", 1.0, "quieter", "louder"),
    ("Brightness", "mfcc_01", -1.0, "darker", "brighter"),
    ("Attacks", "log_onset", 1.0, "smoother", "sharper"),
)


@dataclass(frozen=True)
class Asked:
    """What to look for: `shown` components, for each the songs to search for it, and the songs to follow over time."""

    shown: tuple[int, ...]
    searched: tuple[set[str], ...]
    followed: frozenset[str]

    @property
    def tracks(self) -> set[str]:
        return set(self.followed).union(*self.searched)


@dataclass(frozen=True)
class Heard:
    """Windows per component shown, tallies of the trait features in the searched songs, and of each followed song
    its mean responsibilities (step, component shown) in steps of STEP_SECONDS, of its beginning."""

    windows: tuple[tuple[Window, ...], ...]
    frames: FrameTally
    steps: Mapping[str, np.ndarray]

    def traits(self, spec: FeatureSpec) -> list[tuple[Trait, ...]]:
        """How each component shown sounds."""
        return [tuple(_traits(row, spec)) for row in deviations(self.frames)]


def listen(
    inputs: Inputs, model: LoadedModel, asked: Asked, spec: FeatureSpec, config: ReportConfig
) -> Heard:
    """Read the frames of the asked songs once, a row group at a time."""
    traits = _traits_of(spec)
    picked, signs = [columns(spec).index(t[1]) for t in traits], np.array([t[2] for t in traits])
    width = max(1, round(config.segment_seconds * spec.frames_per_second))
    windows: list[list[Window]] = [[] for _ in asked.shown]
    frames = tally_frames(np.zeros((0, len(traits))), np.zeros((0, len(asked.shown))))
    steps: dict[str, np.ndarray] = {}
    with _one_thread():
        for block in blocks(inputs.store, read_songs(inputs.store, inputs.features), asked.tracks):
            responsibility = frame_responsibilities(model, block.values, block.offsets)[:, list(asked.shown)]
            for track, values, shares in _songs_of(block, responsibility):
                rows = [row for row, wanted in enumerate(asked.searched) if track in wanted]
                if rows:
                    frames += tally_frames(values[:, picked] * signs, shares)
                for row in rows:
                    windows[row].append(best_window(track, shares[:, row], width))
                if track in asked.followed:
                    steps[track] = in_steps(shares, spec.frames_per_second, config.song_seconds)
    return Heard(tuple(map(tuple, windows)), frames, steps)


def in_steps(shares: np.ndarray, frames_per_second: float, seconds: float) -> np.ndarray:
    """Means over steps of STEP_SECONDS of the first `seconds`: (frame, component) -> (step, component).

    Frame n lies at n / frames_per_second; a last step that is cut short is the mean of what it has.
    """
    step = (np.arange(len(shares)) / frames_per_second / STEP_SECONDS).astype(np.int64)
    kept = step < max(1, int(seconds / STEP_SECONDS))
    starts = np.unique(step[kept], return_index=True)[1]
    lengths = np.diff([*starts, kept.sum()])
    sums = np.add.reduceat(shares[kept].astype(np.float64), starts, axis=0)
    return sums / lengths[:, None]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Songs are small work: on a busy machine a second thread made this four times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _songs_of(block: SongBlock, responsibility: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    songs = (Ragged(frames, block.offsets) for frames in (block.values, responsibility))
    return zip(block.track_ids, *songs, strict=True)


def _traits_of(spec: FeatureSpec) -> list[tuple[str, str, float, str, str]]:
    """Those whose column the frames have."""
    return [trait for trait in TRAITS if trait[1] in columns(spec)]


def _traits(deviation: Sequence[float] | np.ndarray, spec: FeatureSpec) -> Iterator[Trait]:
    for value, (name, _, _, less, more) in zip(deviation, _traits_of(spec), strict=True):
        yield Trait(name, in_words(float(value), less, more), float(value))
