"""What a person sees of a training: progress line, warnings, events, a figure, Prometheus metrics."""

import logging
import time
from typing import Any

from infra.progress import Progress
from infra.root import layout
from infra.root.runs import RunFolder
from infra.workers.metrics import Metrics
from jobs.train.events import (
    CheckpointDamaged,
    CheckpointFailed,
    EpochDone,
    Event,
    RolledBack,
    Started,
    Stepped,
    VersionsChanged,
    to_fields,
)

log = logging.getLogger(__name__)

FIGURE_SECONDS = 60.0  # between two drawings, at least
WARNINGS = {
    RolledBack: "step {step}: the state was not finite; back to step {to}",
    CheckpointFailed: "step {step}: no checkpoint ({error})",
    CheckpointDamaged: "{checkpoint}: the checkpoint is damaged, the one before it is taken",
    VersionsChanged: "the checkpoint was left by other versions, so the model's last bits may differ: {changed}",
}
METRICS = {
    "step": "steps done",
    "checkpoint_step": "step of the newest checkpoint",
    "songs_total": "songs learnt from since the command began, every epoch's",
    "frames_total": "frames of these songs",
    "wait_share": "share of the epoch's time that the trainer waited for data",
    "batch_bound": "bound of the last mini-batch without the corpus parameters' part, nats per frame",
    "bound": "bound of the last epoch, nats per frame",
    "heldout_score": "held-out score of the last epoch, nats per frame",
    "components": "components that carry 99 % of the frames",
    "rollbacks_total": "times that the state was not finite and an older one was taken",
    "restarts_total": "times that the ranks began, the first included",
}


class TrainingProgress:
    """Shows the events of one model's training, from however many starts. `history`: a record of every epoch so far."""

    def __init__(self, folder: RunFolder, run: str) -> None:
        self.folder, self.history, self.step = folder, list[EpochDone](), -1
        self._metrics = Metrics("train", run, METRICS)
        self._progress: Progress | None = None
        self._drawn = -FIGURE_SECONDS

    def update(self, event: Event) -> None:
        """Show an event, and write it into the run's record."""
        self.step = getattr(event, "step", self.step)
        if isinstance(event, Started):
            self._start(event)
        if isinstance(event, Stepped):
            self._step(event)
        else:
            self.folder.event(event.kind, **_written(event))
        if isinstance(event, EpochDone):
            self._epoch(event)
        if isinstance(event, RolledBack):
            self._metrics.add(rollbacks_total=1)
        if type(event) in WARNINGS:
            log.warning("%s", WARNINGS[type(event)].format(**to_fields(event)))

    def close(self) -> None:
        """The progress line is complete, the figure is that of the last epoch."""
        if self._progress:
            self._progress.__exit__(None, None, None)
            self._progress = None
            self._draw()

    def _start(self, event: Started) -> None:
        self.close()
        self.history = [*event.history]
        if event.step:
            log.info("train: continues from step %d of %d", event.step, event.steps)
        self._songs = self._frames = 0
        self._metrics.add(restarts_total=1, rollbacks_total=0)
        self._progress = Progress(event.steps, "steps", "train", event.step).__enter__()
        if self.history:
            self._advance(self.history[-1])

    def _step(self, event: Stepped) -> None:
        assert self._progress
        self._songs, self._frames = self._songs + event.songs, self._frames + event.frames
        seconds = self._progress.elapsed
        songs, frames = self._songs / seconds, self._frames / seconds
        self._progress.advance(
            event.step - self._progress.done, epoch=event.epoch, **{"songs/s": songs, "frames/s": round(frames)},
            waited=f"{100 * event.wait_share:.0f} %", components=event.components,
        )  # fmt: skip
        self.folder.sample(event.kind, **to_fields(event), songs_per_second=songs, frames_per_second=frames)
        self._metrics.add(songs_total=event.songs, frames_total=event.frames)
        names = ("step", "wait_share", "components", "batch_bound")
        self._metrics.set(checkpoint_step=event.checkpoint, **{name: getattr(event, name) for name in names})

    def _epoch(self, row: EpochDone) -> None:
        self.history.append(row)
        log.info("%s", epoch_line(row))
        self._advance(row)
        if time.monotonic() - self._drawn >= FIGURE_SECONDS:
            self._draw()

    def _advance(self, row: EpochDone) -> None:
        assert self._progress
        scores = {"bound": row.bound, "held-out": row.heldout}
        self._progress.advance(0, **{name: score for name, score in scores.items() if score is not None})
        self._metrics.set(bound=row.bound, heldout_score=row.heldout)

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self.history:
            from evaluation.figures.training import training_figure

            self.folder.file(layout.TRAINING_PNG, training_figure([to_fields(row) for row in self.history]))


def _written(event: Event) -> dict[str, Any]:
    """The fields of an event in events.jsonl: a start's history is in the events before it."""
    fields = to_fields(event)
    if isinstance(event, Started):
        del fields["history"]
    return fields


def epoch_line(row: EpochDone) -> str:
    """One epoch as a person reads it."""
    heldout = "none" if row.heldout is None else f"{row.heldout:.3f}"
    return (
        f"epoch {row.epoch}: bound {row.bound:.3f}, held-out {heldout} nats/frame, "
        f"{row.components} components carry 99 %, {row.frames_per_second:.0f} frames/s, "
        f"waited {100 * row.wait_share:.0f} %"
    )
