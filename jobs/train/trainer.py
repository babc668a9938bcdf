"""The trainer: owns the device, feeds the training loop with a snapshot's songs, leaves checkpoints behind.

One pass through `train()` is the same arithmetic whether or not it was interrupted: the state, the step and the partial
sums of the epoch are in every checkpoint, and the songs of each step follow from the plan. Several ranks run the same
steps, each on its parts of every mini-batch; what happens between steps the first one does, and tells the others.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import torch

from hdpgmm import distributed, fit, schedule, training_step
from hdpgmm.components.prior import Concentration
from hdpgmm.data.whitening import Whitening
from hdpgmm.fit import Progress
from hdpgmm.model.state import State, effective_components
from infra.config import TrainConfig
from infra.errors import ConfigError, JobError
from infra.root.groups import digest_of_groups, numbers_of_groups, read_groups
from infra.root.schemas import TRACK_ID
from infra.root.songs import read_columns
from infra.storage.store import Store
from infra.workers.memory import give_back
from jobs.train.checkpointing import Keeper
from jobs.train.events import EpochDone, Event, Moved, RolledBack, Started, Stepped, Stopped
from jobs.train.feed.feed import Feed
from jobs.train.feed.plan import COLUMNS, Plan
from jobs.train.provenance import Assignment
from jobs.train.songs import FedSongs, ProbeSongs
from jobs.train.survey import SnapshotSurvey


class Trainer:
    """Trains one model, as one of several ranks. `train()` yields events: surveys, steps, moves, epochs."""

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
        self.ranks: fit.Ranks = fit.Alone()
        if n_ranks > 1:
            self.ranks = distributed.Group(
                rank, distributed.fast if config.reduction == "fast" else distributed.deterministic
            )
        self.store = Store(assignment.root)
        self.keeper = Keeper(assignment, self.ranks, rank == 0, self.device)
        songs = read_columns(self.store, assignment.songs, COLUMNS)
        self.plan = Plan(songs, config.heldout_fraction, config.heldout_songs, config.seed, config.subset)
        self.feed = Feed(workers, self.plan.paths, config.ahead_bytes // n_ranks)
        batch_songs = config.batch_songs or schedule.batch_songs(self.plan.n_songs)
        self.rules = fit.Rules(
            settings(config), config.epochs, batch_songs, config.seed, config.early_stopping
        )

    def train(self) -> Iterator[Event]:
        """Run or continue to the last epoch, to where the held-out score has converged, or until asked to stop.

        A state that is not finite is rolled back to the last checkpoint; raises JobError if it comes again.
        """
        progress = yield from self.keeper.restore()
        if progress is None:
            progress = yield from self._begin()
        yield self._started(progress)
        songs = FedSongs(
            self.plan, self.feed, self.keeper.whitening, self.device, self._probe_songs, self.rank, self.n_ranks,
        )  # fmt: skip
        clock = Clock(self.feed)
        try:
            for event in fit.fit(progress, songs, self.rules, self.keeper, self.ranks, self.stopping):
                yield from self._told(event, clock)
                if isinstance(event, fit.Step):
                    give_back()
        except fit.NotFinite as error:
            raise JobError(f"{error}; please report this with the features of that step") from None

    def _begin(self) -> Generator[Event, None, Progress]:
        """Whitening and a first state, by the first rank: one pass over the training songs."""
        made: tuple[State, Whitening] | None = None
        if self.rank == 0:
            state, whitening = yield from self._first_state()
            made = state.to("cpu"), whitening
        state, self.keeper.whitening = self.ranks.share(lambda: made)  # pyright: ignore[reportGeneralTypeIssues]
        progress = Progress(state.to(self.device))
        yield from self.keeper.save(progress, best=False, last=True)
        return progress

    def _probe_songs(self) -> ProbeSongs:
        """Songs to judge moves on, and whose they are."""
        most, known = self.rules.settings.probe_songs, self.assignment.provenance.get("groups")
        batch = self.plan.probe_batch(most)
        if known is None:
            return batch, None
        ids = read_columns(self.store, self.assignment.songs, (TRACK_ID,))[TRACK_ID]
        groups = read_groups(self.store, self.assignment.tracks, ids)
        if digest_of_groups(groups) != known:
            raise ConfigError(
                f"{self.store.uri(self.assignment.tracks)}: the groups of its songs have changed since this training "
                "began; run the same command again for a model of today's"
            )
        chosen = ids.take(pa.array(self.plan.probe_rows(most)))
        return batch, numbers_of_groups(groups, chosen.to_pylist())

    def _first_state(self) -> Generator[Event, None, tuple[State, Whitening]]:
        survey = yield from SnapshotSurvey(self.store, self.assignment.songs, self.plan).run(
            self.feed, self.rules.settings.sample_frames
        )
        return training_step.first_state(
            self.rules.settings, survey, self.plan.n_songs, self.config.seed, self.device
        )

    def _started(self, progress: Progress) -> Started:
        batch_songs = self.rules.batch_songs
        return Started(
            step=progress.step,
            steps=self.config.epochs * self.plan.steps_per_epoch(batch_songs),
            batch_songs=batch_songs,
            training_songs=self.plan.n_songs,
            heldout_songs=len(self.plan.heldout),
            training_frames=self.plan.n_frames,
            ranks=self.n_ranks,
            history=tuple(self.keeper.history),
        )

    def _told(self, event: fit.Event | Event, clock: "Clock") -> Iterator[Event]:
        """An event of the loop as those who follow the training see it; what the keeper says passes."""
        match event:
            case fit.Step():
                clock.lap(event.info.frames)
                yield self._stepped(event, clock.wait_share)
            case fit.Moves():
                clock.lap(0)
                for move in event.moves:
                    yield Moved(event.progress.step, move.kind, move.components, move.gain)
            case fit.EpochEnd():
                row = EpochDone(**asdict(event.progress.history[-1]), **clock.figures())
                clock.start()
                self.keeper.history.append(row)
                yield row
            case fit.Rollback():
                clock.start()
                yield RolledBack(event.step, event.to)
            case fit.Stop():
                yield Stopped(event.step)
            case _:
                yield event

    def _stepped(self, event: fit.Step, wait_share: float) -> Stepped:
        info, state = event.info, event.progress.state
        return Stepped(
            step=state.step,
            epoch=event.epoch,
            songs=info.songs,
            frames=info.frames,
            wait_share=wait_share,
            checkpoint=self.keeper.checkpoints.written,
            batch_bound=info.bound / info.frames + self.keeper.whitening.log_det,
            components=effective_components(state.stats.count),
        )


class Clock:
    """Times an epoch from its start, or the trainer's, to its last step or moves; scoring is left out."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.start()

    def start(self) -> None:
        self._began, self.feed.waited_seconds = time.perf_counter(), 0.0
        self.frames, self.seconds, self.waited_seconds = 0, 0.0, 0.0

    def lap(self, frames: int) -> None:
        """So many frames were learnt from."""
        self.frames += frames
        self.seconds = max(time.perf_counter() - self._began, 1e-9)
        self.waited_seconds = self.feed.waited_seconds

    @property
    def wait_share(self) -> float:
        return min(1.0, self.waited_seconds / self.seconds)

    def figures(self) -> dict[str, Any]:
        """Those of `EpochDone`."""
        return {
            "frames_per_second": self.frames / self.seconds,
            "wait_share": self.wait_share,
            "max_bytes_ahead": self.feed.max_bytes_ahead,
            "seconds": self.seconds,
        }


def settings(config: TrainConfig) -> training_step.Settings:
    """What the engine is told of the job's configuration."""
    fields = {
        name: getattr(config, name)
        for name in ("n_components", "n_atoms", "kappa", "tau0", "splash", "learn_prior", "moves")
    }
    learned = config.learn_concentrations
    return training_step.Settings(
        **fields,
        diagonal=config.covariance == "diag",
        direct=config.song_level == "direct",
        gamma=Concentration(config.gamma, learned),
        alpha0=Concentration(config.alpha0, learned),
    )
