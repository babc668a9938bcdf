"""The trainer: owns the model's state and the device, takes batches from the feed, leaves checkpoints behind.

One pass through `train()` is the same arithmetic whether or not it was interrupted: the state, the step and the partial
sums of the epoch are in every checkpoint, and the songs of each step follow from the plan.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from hdpgmm import initialise
from hdpgmm.local import LocalOptions
from hdpgmm.model import (
    BatchInfo,
    State,
    batch_statistics,
    blend,
    corpus_kl,
    effective_components,
    prepare,
    step_size,
)
from hdpgmm.moves import merge_all
from hdpgmm.prior import whitened_prior
from hdpgmm.record import from_arrays, to_arrays
from hdpgmm.score import completion
from hdpgmm.whitening import Moments, whitening
from infra.checkpoints import Checkpoints
from infra.config import TrainConfig
from infra.errors import ConfigError
from infra.order import batch_size
from infra.plan import Batch, Plan
from infra.shards import decode
from infra.storage import Store
from jobs.feed import Feed

SAMPLE_FRAMES = 200  # per component, for the k-means seeding
SPLASH_DECAY = 1000  # steps, of the paper's eta_t = eta0 * 1000 / (t + 1000)

Event = dict[str, Any]


@dataclass(frozen=True)
class Assignment:
    """What to train, on what, and where to leave it. `provenance` must match that of a checkpoint to resume."""

    root: str
    prefix: str
    songs: str
    provenance: dict[str, Any]
    config: TrainConfig


class Trainer:
    """Trains one model. `train()` yields events: survey, start, step, merge, epoch."""

    def __init__(self, assignment: Assignment, workers: Sequence[Any], device: str) -> None:
        config = assignment.config
        torch.set_num_threads(config.threads)
        self.assignment, self.config, self.device = assignment, config, torch.device(device)
        store = Store(assignment.root)
        self.checkpoints = Checkpoints(store, assignment.prefix)
        songs = decode(store.read(assignment.songs))
        self.plan = Plan(songs, config.heldout_fraction, config.heldout_songs, config.seed)
        self.feed = Feed(workers, config.ahead_bytes)
        self.options = LocalOptions(n_atoms=config.n_atoms)
        self.batch_songs = config.batch_songs or batch_size(self.plan.n_songs)
        self.history: list[Event] = []
        self.partial = BatchInfo(0, 0, 0.0, 0)
        self.kl = 0.0

    def train(self) -> Iterator[Event]:
        """Run or continue to the last epoch."""
        if not self._resume():
            yield from self._initialise()
        steps = self.config.epochs * self.plan.steps_per_epoch(self.batch_songs)
        yield {"kind": "start", "step": self.state.step, "steps": steps, "batch_songs": self.batch_songs,
               "training_songs": self.plan.n_songs, "heldout_songs": len(self.plan.heldout)}  # fmt: skip
        heldout = self._heldout()
        self._clock = time.perf_counter()
        remaining = self.plan.batches(self.config.epochs, self.batch_songs, self.state.step)
        for batch, values, offsets in self.feed.batches(remaining, self.whitening):
            yield self._step(batch, values, offsets)
            if self.state.step % self.config.merge_steps == 0:
                yield from self._merge()
            if batch.last:
                yield self._end_epoch(batch, heldout)
            if self.state.step % self.config.checkpoint_steps == 0 or self.state.step == steps:
                self._save()

    def _resume(self) -> bool:
        found = self.checkpoints.load()
        if found is None:
            return False
        _, arrays, meta = found
        refuse_mismatch(meta["provenance"], self.assignment.provenance)
        self.state, self.whitening = from_arrays(arrays, self.device)
        self.history, self.partial = meta["history"], BatchInfo(**meta["partial"])
        return True

    def _initialise(self) -> Iterator[Event]:
        config, groups = self.config, self.plan.row_groups()
        wanted = SAMPLE_FRAMES * config.n_components
        total: Moments | None = None
        sample: list[np.ndarray] = []
        surveys = self.feed.survey(groups, min(1.0, wanted / max(self.plan.n_frames, 1)), config.seed)
        for number, (part, frames) in enumerate(surveys, start=1):
            total = part if total is None else total + part
            sample.append(frames)
            yield {"kind": "survey", "done": number, "total": len(groups)}
        assert total is not None  # a plan without songs was refused by the job
        self.whitening = whitening(total)
        frames = torch.from_numpy(self.whitening(np.concatenate(sample)))
        prior = whitened_prior(frames.shape[1], config.gamma, config.alpha0)
        generator = torch.Generator().manual_seed(config.seed)
        state = initialise.from_sample(
            prior, frames, config.n_components, self.plan.n_frames, self.plan.n_songs, generator
        )
        self.state = State(state.prior, state.stats.to(self.device), state.step)
        self._save()

    def _heldout(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        if not len(self.plan.heldout):
            return None
        (_, values, offsets), *_ = self.feed.batches([self.plan.heldout_batch()], self.whitening)
        return self._tensors(values, offsets)

    def _step(self, batch: Batch, values: np.ndarray, offsets: np.ndarray) -> Event:
        splash = self.config.splash * SPLASH_DECAY / (self.state.step + SPLASH_DECAY)
        model = prepare(self.state)
        if batch.last:  # of the state that the songs' bounds belong to, so before it moves
            self.kl = corpus_kl(self.state)
        frames, bounds = self._tensors(values, offsets)
        stats, info = batch_statistics(model, frames, bounds, self.options, splash)
        rho = step_size(self.state.step + 1, self.config.tau0, self.config.kappa)
        self.state = blend(self.state, stats, self.plan.n_songs / info.songs, rho)
        self.partial += info
        return {
            "kind": "step",
            "step": self.state.step,
            "epoch": batch.epoch,
            "frames": info.frames,
            "rho": rho,
        }

    def _merge(self) -> Iterator[Event]:
        self.state, merges = merge_all(self.state)
        for merge in merges:
            yield {"kind": "merge", "step": self.state.step, **asdict(merge)}

    def _end_epoch(self, batch: Batch, heldout: tuple[torch.Tensor, torch.Tensor] | None) -> Event:
        seconds = time.perf_counter() - self._clock
        row = {
            "epoch": batch.epoch + 1,
            "step": self.state.step,
            "bound": (self.partial.bound - self.kl) / self.partial.frames + self.whitening.log_det,
            "heldout": self._score(heldout),
            "components": effective_components(self.state.stats.count),
            "rho": step_size(self.state.step, self.config.tau0, self.config.kappa),
            "frames_per_second": self.partial.frames / seconds,
            "wait_share": min(1.0, self.feed.waited_seconds / seconds),
            "seconds": seconds,
        }
        self.partial, self.feed.waited_seconds, self._clock = (
            BatchInfo(0, 0, 0.0, 0),
            0.0,
            time.perf_counter(),
        )
        self.history.append(row)
        return {"kind": "epoch", **row}

    def _score(self, heldout: tuple[torch.Tensor, torch.Tensor] | None) -> float | None:
        if heldout is None:
            return None
        total, frames = completion(prepare(self.state), *heldout, self.options)
        return total / frames + self.whitening.log_det if frames else None

    def _tensors(self, values: np.ndarray, offsets: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        # Arrays from Ray's object store are read-only; torch wants to be able to write what it shares.
        return torch.from_numpy(values.copy()).to(self.device), torch.from_numpy(offsets.copy())

    def _save(self) -> None:
        meta = {
            "provenance": self.assignment.provenance,
            "history": self.history,
            "partial": asdict(self.partial),
        }
        arrays = to_arrays(self.state, self.whitening)
        self.checkpoints.save(self.state.step, arrays, meta, self.config.keep_checkpoints)


def refuse_mismatch(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """ConfigError that names what differs between a checkpoint and the run that would continue it."""
    names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    if names:
        texts = [f"{name} was {found.get(name)!r}, is {wanted.get(name)!r}" for name in names]
        raise ConfigError(f"the checkpoint belongs to another run: {'; '.join(texts)}")
