"""What the report needs of frames: the best windows of components, and songs over time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from evaluation.interpretation.segments import Window, best_window
from features.spec import FeatureSpec
from hdpgmm.ragged import Ragged, ragged
from infra.config import ReportConfig
from infra.root.songs import read_songs
from jobs.evaluate.inputs import Inputs
from jobs.evaluate.vectors import blocks
from jobs.represent.model import LoadedModel, frame_responsibilities

STEP_SECONDS = 0.25  # of a timeline


@dataclass(frozen=True)
class Request:
    """Which songs' frames are read: those searched for each of the `shown` components, and those with a timeline."""

    shown: tuple[int, ...]
    searched: tuple[set[str], ...]
    with_timeline: frozenset[str]

    @property
    def tracks(self) -> set[str]:
        return set(self.with_timeline).union(*self.searched)


@dataclass(frozen=True)
class FrameSummary:
    """Windows per component shown; steps, of each song with a timeline: its mean responsibilities (step, component
    shown) in steps of STEP_SECONDS, of its beginning."""

    windows: tuple[tuple[Window, ...], ...]
    steps: Mapping[str, np.ndarray]


def summarise_frames(
    inputs: Inputs, model: LoadedModel, request: Request, spec: FeatureSpec, config: ReportConfig
) -> FrameSummary:
    """Read the frames of the requested songs once, a row group at a time."""
    width = max(1, round(config.segment_seconds * spec.frames_per_second))
    windows: list[list[Window]] = [[] for _ in request.shown]
    steps: dict[str, np.ndarray] = {}
    with _one_thread():
        for block in blocks(inputs.store, read_songs(inputs.store, inputs.features), request.tracks):
            songs = ragged(block.lengths, block.values)
            found = frame_responsibilities(model, songs)
            shown = Ragged(found.values[:, list(request.shown)], found.offsets)
            for track, shares in zip(block.track_ids, shown, strict=True):
                rows = [row for row, wanted in enumerate(request.searched) if track in wanted]
                for row in rows:
                    windows[row].append(best_window(track, shares[:, row], width))
                if track in request.with_timeline:
                    steps[track] = in_steps(shares, spec.frames_per_second, config.song_seconds)
    return FrameSummary(tuple(map(tuple, windows)), steps)


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
