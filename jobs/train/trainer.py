"""The trainer: owns the model's state and the device, takes batches from the feed, leaves checkpoints behind.

One pass through `train()` is the same arithmetic whether or not it was interrupted: the state, the step and the partial
sums of the epoch are in every checkpoint, and the songs of each step follow from the plan. Several ranks run the same
steps, each on its parts of every mini-batch; what happens between steps the first one does, and tells the others.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch

from hdpgmm import ranks, schedule, training
from hdpgmm.components.prior import Concentration
from hdpgmm.data.autocorrelation import dependence
from hdpgmm.data.whitening import standardising, whitening
from hdpgmm.model import BatchInfo, State, corpus_bound, effective_components, prepare
from hdpgmm.moves.merge_delete import Move, Probe
from hdpgmm.record import from_arrays, to_arrays
from hdpgmm.score import completion
from infra.config import TrainConfig
from infra.errors import JobError
from infra.root.checkpoints import Checkpoints
from infra.root.runs import versions
from infra.root.songs import read_columns
from infra.storage.retry import patiently
from infra.storage.store import Store
from infra.workers.memory import give_back
from jobs.train.assignment import Assignment, Event, changed_versions, refuse_mismatch
from jobs.train.feed.feed import Feed
from jobs.train.feed.plan import COLUMNS, Batch, Plan
from jobs.train.feed.worker import WINDOW_BYTES
from jobs.train.survey import Survey

Frames = tuple[torch.Tensor, torch.Tensor]  # values (frame, dim), offsets (song + 1,)
T = TypeVar("T")
ASIDE = 0.125  # of the bytes ahead, for songs that are read beside the steps
KEPT_SONGS = 16  # read at a time, of those that are held out or moves are judged on
BEARING = ("hdpgmm", "torch", "numpy")  # packages whose version bears on the bits


class NotFinite(Exception):
    """A step ended in a state that is not finite."""


class Trainer:
    """Trains one model, as one of several ranks. `train()` yields events: survey, start, step, move, epoch, ..."""

    def __init__(
        self,
        assignment: Assignment,
        workers: Sequence[Any],
        device: str,
        rank: int = 0,
        n_ranks: int = 1,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """`stopping` is asked after each step: whether to leave a checkpoint and end. Any rank ends all."""
        config = assignment.config
        torch.set_num_threads(config.threads)
        self.assignment, self.config, self.device = assignment, config, torch.device(device)
        self.rank, self.n_ranks, self.stopping = rank, n_ranks, stopping
        self.total: training.Total = training.in_order
        if n_ranks > 1:
            self.total = ranks.fast if config.reduction == "fast" else ranks.deterministic
        self.store = Store(assignment.root)
        self.checkpoints = Checkpoints(self.store, assignment.prefix, assignment.fence)
        songs = read_columns(self.store, assignment.songs, COLUMNS)
        self.plan = Plan(songs, config.heldout_fraction, config.heldout_songs, config.seed, config.subset)
        self.feed = Feed(workers, self.plan.paths, config.ahead_bytes // n_ranks)
        self.settings = settings(config)
        self.batch_songs = config.batch_songs or schedule.batch_songs(self.plan.n_songs)
        self.versions = {name: version for name, version in versions().items() if name in BEARING}
        self.history: list[Event] = []
        self.partial = BatchInfo()
        self.corpus_bound = 0.0

    def train(self) -> Iterator[Event]:
        """Run or continue to the last epoch, to where the held-out score stands still, or until asked to stop.

        A state that is not finite is given up for that of the last checkpoint; raises JobError if it comes again.
        """
        if not (yield from self._resume()):
            yield from self._initialise()
        steps = self.config.epochs * self.plan.steps_per_epoch(self.batch_songs)
        yield {"kind": "start", "step": self.state.step, "steps": steps, "batch_songs": self.batch_songs,
               "training_songs": self.plan.n_songs, "heldout_songs": len(self.plan.heldout),
               "training_frames": self.plan.n_frames, "ranks": self.n_ranks, "history": [*self.history]}  # fmt: skip
        given_up = -1
        while True:
            try:
                yield from self._steps(steps)
                return
            except NotFinite:
                step = self.state.step
                if step <= given_up:
                    text = (
                        f"step {step}: the state is not finite, again after the last checkpoint was restored"
                    )
                    raise JobError(f"{text}; please report this with the features of that step") from None
                given_up = step
                if not (yield from self._resume()):
                    raise JobError(
                        f"step {step}: the state is not finite and there is no checkpoint"
                    ) from None
                yield {"kind": "rollback", "step": step, "to": self.state.step}

    def _steps(self, steps: int) -> Iterator[Event]:
        self._clock, self.feed.waited_seconds = time.perf_counter(), 0.0
        done = steps if self._stands_still() else self.state.step
        window_frames = WINDOW_BYTES // (4 * len(self.whitening.mean))
        remaining = self.plan.batches(self.config.epochs, self.batch_songs, window_frames, done)
        shares = (batch.share(self.rank, self.n_ranks, training.PART_SONGS) for batch in remaining)
        for batch, values, offsets in self.feed.batches(shares, self.whitening, self.device, 1.0 - ASIDE):
            yield self._step(batch, values, offsets)
            del values, offsets  # the feed has asked for others in their place
            give_back()
            due = self.settings.moves and schedule.moves_due(
                self.state.step, self.batch_songs, self.plan.n_songs
            )
            if due and self.state.step < steps:
                yield from self._move()
            if batch.last:  # after the moves, so that the state of a checkpoint is the one that has the score
                yield self._end_epoch(batch)
            finished = self.state.step == steps or (batch.last and self._stands_still())
            stopped = self.stopping() if self.n_ranks == 1 else ranks.anywhere(self.stopping())
            is_best = batch.last and self._best_step() == self.state.step
            if finished or stopped or is_best or self.state.step % self.config.checkpoint_steps == 0:
                yield from self._save(last=finished or stopped)
            if stopped and not finished:
                yield {"kind": "stopped", "step": self.state.step}
            if finished or stopped:
                return

    def _shared(self, make: Callable[[], T]) -> T:
        """What the first rank makes, on every rank."""
        made = make() if self.rank == 0 else None
        return made if self.n_ranks == 1 else ranks.share(made)  # pyright: ignore[reportReturnType]

    def _best_step(self) -> int | None:
        """The step of the epoch that is the model so far."""
        scores = [row["heldout"] for row in self.history]
        return self.history[schedule.best(scores)]["step"] if scores else None

    def _stands_still(self) -> bool:
        scores = [row["heldout"] for row in self.history]
        return self.config.early_stopping and None not in scores and schedule.plateau(scores)

    def _resume(self) -> Generator[Event, None, bool]:
        """Continue from the newest checkpoint that is whole; False if there is none."""
        self.checkpoints.wait()
        found = self._shared(self.checkpoints.load)
        yield from ({"kind": "damaged", "checkpoint": name} for name in self.checkpoints.damaged)
        if found is None:
            return False
        _, arrays, meta = found
        refuse_mismatch(meta["provenance"], self.assignment.provenance)
        changed = changed_versions(meta["provenance"]["versions"], self.versions)
        if changed:
            yield {"kind": "versions", "changed": changed}
        self.state, self.whitening = from_arrays(arrays, self.device)
        self.history, self.partial = meta["history"], BatchInfo(**meta["partial"])
        return True

    def _initialise(self) -> Iterator[Event]:
        """One pass over the training songs for moments and a sample, by the first rank."""
        if self.rank == 0:
            yield from self._survey()
        arrays = self._shared(lambda: to_arrays(self.state, self.whitening))
        if self.rank > 0:
            self.state, self.whitening = from_arrays(arrays, self.device)
        yield from self._save(last=True)

    def _survey(self) -> Iterator[Event]:
        survey = Survey(self.store, self.assignment.songs, self.plan)
        for done, total in survey.run(self.feed, training.SAMPLE_FRAMES * self.config.n_components):
            yield {"kind": "survey", "done": done, "total": total}
        self.whitening = (standardising if self.settings.diagonal else whitening)(survey.moments)
        frames = torch.from_numpy(self.whitening(survey.sample)).to(self.device)
        generator = torch.Generator().manual_seed(self.config.seed)
        assert survey.lagged is not None  # of row groups that songs were sampled from
        size = (self.plan.n_frames, self.plan.n_songs)
        found = dependence(survey.lagged, self.whitening.transform)
        self.state = training.start(self.settings, frames, *size, generator, found)

    @cached_property
    def _heldout(self) -> Frames | None:
        """The held-out songs, of the first rank. Read when first asked for, so that training begins without them."""
        return self._kept(self.plan.heldout_batch()) if len(self.plan.heldout) else None

    @cached_property
    def _probe(self) -> Probe:
        """The songs that moves are judged on; likewise."""
        return Probe(*self._kept(self.plan.probe_batch(self.settings.probe_songs)), self.plan.n_songs)

    def _kept(self, batch: Batch) -> Frames:
        """Songs that stay, in memory of our own; all data workers share in reading them."""
        fed = self.feed.batches(batch.pieces(KEPT_SONGS), self.whitening, self.device, ASIDE)
        parts = [(values.clone(), offsets.diff()) for _, values, offsets in fed]
        values, lengths = map(torch.cat, zip(*parts, strict=True))
        return values, torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])

    def _step(self, batch: Batch, values: torch.Tensor, offsets: torch.Tensor) -> Event:
        if batch.last:  # of the state that the songs' bounds belong to, so before it moves
            self.corpus_bound = corpus_bound(self.state)
        self.state, info = training.learn(
            self.state, values, offsets, self.plan.n_songs, self.settings, self.total
        )
        if not _is_finite(self.state, info):
            raise NotFinite
        self.partial += info
        waited = self.feed.waited_seconds / max(time.perf_counter() - self._clock, 1e-9)
        return {"kind": "step", "step": self.state.step, "epoch": batch.epoch + 1, "songs": info.songs,
                "frames": info.frames, "wait_share": min(1.0, waited), "checkpoint": self.checkpoints.written,
                "batch_bound": info.bound / info.frames + self.whitening.log_det,
                "components": effective_components(self.state.stats.count)}  # fmt: skip

    def _move(self) -> Iterator[Event]:
        def improved() -> tuple[dict[str, np.ndarray], list[Move]]:
            generator = torch.Generator().manual_seed(1_000_003 * self.config.seed + self.state.step)
            state, moves = training.improve(self.state, self._probe, self.settings, generator)
            return to_arrays(state, self.whitening), moves

        arrays, moves = self._shared(improved)
        self.state, _ = from_arrays(arrays, self.device)
        for move in moves:
            yield {
                "kind": "move",
                "step": self.state.step,
                "move": move.kind,
                "components": move.components,
                "gain": move.gain,
            }

    def _end_epoch(self, batch: Batch) -> Event:
        seconds, waited = time.perf_counter() - self._clock, self.feed.waited_seconds
        row = {
            "epoch": batch.epoch + 1,
            "step": self.state.step,
            "bound": (self.partial.bound + self.corpus_bound) / self.partial.frames + self.whitening.log_det,
            "heldout": self._shared(self._score),
            "components": effective_components(self.state.stats.count),
            "n_components": self.state.n_components,
            "gamma": self.state.gamma,
            "alpha0": self.state.alpha0,
            "dependence": self.state.prior.dependence,
            "prior_dof": self.state.prior.dof,
            "prior_strength": self.state.prior.strength,
            "rho": training.step_size_of(self.state.step, self.batch_songs, self.plan.n_songs, self.settings),
            "frames_per_second": self.partial.frames / seconds,
            "wait_share": min(1.0, waited / seconds),
            "max_bytes_ahead": self.feed.max_bytes_ahead,
            "seconds": seconds,
        }
        self.partial, self.feed.waited_seconds, self._clock = (
            BatchInfo(),
            0.0,
            time.perf_counter(),
        )
        self.history.append(row)
        return {"kind": "epoch", **row}

    def _score(self) -> float | None:
        if self._heldout is None:
            return None
        total, frames = completion(prepare(self.state), *self._heldout, self.settings.options)
        return total / frames + self.whitening.log_det if frames else None

    def _save(self, last: bool) -> Iterator[Event]:
        """Beside the training; the last one is waited for, and has to succeed."""
        if self.rank > 0:
            return
        meta = {
            "provenance": {**self.assignment.provenance, "versions": self.versions},
            "history": [*self.history],
            "partial": asdict(self.partial),
        }
        checkpoint = (self.state.step, to_arrays(self.state, self.whitening), meta)
        keep, best = self.config.keep_checkpoints, self._best_step()
        problem = self.checkpoints.wait() if last else self.checkpoints.save_beside(*checkpoint, keep, best)
        if problem:
            yield {"kind": "checkpoint_failed", "step": self.state.step, "error": str(problem)}
        if last:
            patiently(lambda: self.checkpoints.save(*checkpoint, keep, best))


def _is_finite(state: State, info: BatchInfo) -> bool:
    numbers = (info.bound, state.alpha0, state.gamma)
    parts = torch.stack([part.sum() for part in state.stats.tensors()])
    return all(map(math.isfinite, numbers)) and bool(torch.isfinite(parts).all())


def settings(config: TrainConfig) -> training.Settings:
    """What the engine is told of the job's configuration."""
    fields = {
        name: getattr(config, name)
        for name in ("n_components", "n_atoms", "kappa", "tau0", "splash", "learn_prior", "moves")
    }
    learned = config.learn_concentrations
    return training.Settings(
        **fields,
        diagonal=config.covariance == "diag",
        direct=config.song_level == "direct",
        gamma=Concentration(config.gamma, learned),
        alpha0=Concentration(config.alpha0, learned),
    )
