"""The training loop, once: songs and a first state in, the state after every step out.

What differs between songs in memory and `jobs.train` is passed in: where songs come from (`Songs`), where the progress
is kept (`Keeper`), who else takes the same steps (`Ranks`), and who may ask for an end.
"""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from hdpgmm import schedule, training_step
from hdpgmm.data.whitening import Whitening
from hdpgmm.model.bound import corpus_bound
from hdpgmm.model.expectations import prepare
from hdpgmm.model.state import State, effective_components
from hdpgmm.model.statistics import BatchInfo
from hdpgmm.moves.merge_delete import Move, Probe
from hdpgmm.ragged import Ragged
from hdpgmm.schedule import Epoch
from hdpgmm.score import completion_per_frame

T = TypeVar("T")
N = TypeVar("N")
Note = TypeVar("Note", covariant=True)


@dataclass(frozen=True)
class Rules:
    """settings: how steps and moves are made. early_stopping: whether training ends once the held-out score converged.

    bound_decides: where nothing is held out, the bound does. epochs: at most. seed: of the moves.
    """

    settings: training_step.Settings
    epochs: int
    batch_songs: int
    seed: int = 0
    early_stopping: bool = True
    bound_decides: bool = False

    def converged(self, history: tuple[Epoch, ...]) -> bool:
        return self.early_stopping and schedule.converged(history, self.bound_decides)


@dataclass(frozen=True)
class Progress:
    """All that a training continues from. partial: sums over the steps of the epoch under way.

    resting: moves that made nothing the last time that they were tried, which was the last time for moves.
    """

    state: State
    history: tuple[Epoch, ...] = ()
    partial: BatchInfo = field(default_factory=BatchInfo)
    resting: frozenset[str] = frozenset()

    @property
    def step(self) -> int:
        return self.state.step


@dataclass(frozen=True, eq=False)
class Batch:
    """Whitened songs of one step, or a rank's part of them. epoch: from 0; `last`: the epoch ends with it."""

    epoch: int
    last: bool
    songs: Ragged[Tensor]


class Songs(Protocol):
    """Where whitened songs come from; n_songs: those trained on."""

    @property
    def n_songs(self) -> int: ...
    @property
    def whitening(self) -> Whitening: ...
    def batches(self, epochs: int, batch_songs: int, done: int) -> Iterator[Batch]:
        """The mini-batches of all epochs after the first `done` steps. No reference to one is kept after the next."""
        ...

    def heldout(self) -> Ragged[Tensor] | None:
        """The songs held out, asked for by the first rank alone at each epoch's end."""
        ...

    def probe(self) -> Probe:
        """Some of the songs trained on, which moves are judged on; asked for by the first rank alone."""
        ...


class Keeper(Protocol[Note]):
    """Where the progress is kept. What both have to say besides is handed on to whoever listens to the training."""

    def save(self, progress: Progress, best: bool, last: bool) -> Iterator[Note]:
        """After every step. best: an epoch ended and is the model so far; last: no step follows."""
        ...

    def restore(self) -> Generator[Note, None, Progress | None]:
        """The newest progress that was kept, None if there is none."""
        ...


class Ranks(Protocol):
    """The processes that take the same steps, each on its parts of every mini-batch. total: adds up their parts."""

    @property
    def total(self) -> training_step.Total: ...
    def share(self, make: Callable[[], T]) -> T:
        """What the first rank makes, on every rank; tensors lie on the CPU."""
        ...

    def anywhere(self, flag: bool) -> bool:
        """Whether it is so on any rank; the same on all."""
        ...


@dataclass(frozen=True)
class Alone:
    """One process."""

    total: training_step.Total = training_step.in_order

    def share(self, make: Callable[[], T]) -> T:
        return make()

    def anywhere(self, flag: bool) -> bool:
        return flag


@dataclass(frozen=True)
class Step:
    """A step was taken. epoch: from 1."""

    progress: Progress
    epoch: int
    info: BatchInfo


@dataclass(frozen=True)
class Moves:
    """A time for moves passed; none may have been accepted."""

    progress: Progress
    moves: tuple[Move, ...]


@dataclass(frozen=True)
class EpochEnd:
    """progress.history[-1] is the epoch."""

    progress: Progress


@dataclass(frozen=True)
class Rollback:
    """Step `step` ended in a state that is not finite, and that of step `to` was taken again."""

    step: int
    to: int


@dataclass(frozen=True)
class Stop:
    """Training was asked to end after this step, before it had to."""

    step: int


Event = Step | Moves | EpochEnd | Rollback | Stop


class NotFinite(ArithmeticError):
    """A step ended in a state that is not finite."""

    def __init__(self, step: int, more: str = "") -> None:
        super().__init__(f"step {step}: the state is not finite{more}")
        self.step = step


def fit(
    begin: Progress,
    songs: Songs,
    rules: Rules,
    keeper: Keeper[N],
    ranks: Ranks = Alone(),
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Event | N]:
    """Train until the last epoch, until convergence, or until `stopping`, which is asked after each step.

    A state that is not finite is rolled back to what the keeper restores, once: raises NotFinite if it comes again.
    """
    progress, failed = begin, -1
    while True:
        try:
            yield from _steps(progress, songs, rules, keeper, ranks, stopping)
            return
        except NotFinite as error:
            if error.step <= failed:
                raise NotFinite(error.step, ", again after the last checkpoint was restored") from None
            failed = error.step
            restored = yield from keeper.restore()
            if restored is None:
                raise NotFinite(failed, " and there is no checkpoint") from None
            progress = restored
            yield Rollback(failed, progress.step)


def _steps(
    progress: Progress,
    songs: Songs,
    rules: Rules,
    keeper: Keeper[N],
    ranks: Ranks,
    stopping: Callable[[], bool],
) -> Iterator[Event | N]:
    steps = rules.epochs * -(-songs.n_songs // rules.batch_songs)
    done = steps if rules.converged(progress.history) else progress.step
    for batch in songs.batches(rules.epochs, rules.batch_songs, done):
        epoch, ends = batch.epoch + 1, batch.last
        before = (
            corpus_bound(progress.state) if ends else 0.0
        )  # of the state that the songs' bounds belong to
        progress, info = _step(progress, batch, songs.n_songs, rules, ranks)
        del batch  # whoever brings the next one counts on it
        yield Step(progress, epoch, info)
        moves = rules.settings.moves and schedule.moves_due(progress.step, rules.batch_songs, songs.n_songs)
        if moves and progress.step < steps:
            event = _moved(progress, songs, rules, ranks)
            progress = event.progress
            yield event
        if ends:  # after the moves, so that the state that is kept is the one that has the score
            progress = _ended(progress, epoch, before, songs, rules, ranks)
            yield EpochEnd(progress)
        finished = progress.step == steps or (ends and rules.converged(progress.history))
        stopped = ranks.anywhere(stopping())
        best = ends and schedule.chosen(progress.history) == len(progress.history) - 1
        yield from keeper.save(progress, best, last=finished or stopped)
        if stopped and not finished:
            yield Stop(progress.step)
        if finished or stopped:
            return


def _step(
    progress: Progress, batch: Batch, corpus_songs: int, rules: Rules, ranks: Ranks
) -> tuple[Progress, BatchInfo]:
    state, info = training_step.learn(progress.state, batch.songs, corpus_songs, rules.settings, ranks.total)
    if not _is_finite(state, info):
        raise NotFinite(state.step)
    return replace(progress, state=state, partial=progress.partial + info), info


def _moved(progress: Progress, songs: Songs, rules: Rules, ranks: Ranks) -> Moves:
    def improved() -> tuple[State, list[Move], frozenset[str]]:
        generator = torch.Generator().manual_seed(1_000_003 * rules.seed + progress.step)
        state, moves, resting = training_step.improve(
            progress.state, songs.probe(), rules.settings, generator, progress.resting
        )
        return state.to("cpu"), moves, resting

    state, moves, resting = ranks.share(improved)
    state = state.to(progress.state.stats.count.device)
    return Moves(replace(progress, state=state, resting=resting), tuple(moves))


def _ended(
    progress: Progress, epoch: int, before: float, songs: Songs, rules: Rules, ranks: Ranks
) -> Progress:
    """The progress at an epoch's end. before: the corpus' part of the bound, nats, before the epoch's last step."""
    state, prior, log_det = progress.state, progress.state.prior, songs.whitening.log_det
    row = Epoch(
        epoch=epoch,
        step=state.step,
        bound=(progress.partial.bound + before) / progress.partial.frames + log_det,
        heldout=ranks.share(lambda: _heldout_score(state, songs, rules)),
        components=effective_components(state.stats.count),
        n_components=state.n_components,
        gamma=state.gamma,
        alpha0=state.alpha0,
        dependence=prior.dependence,
        prior_dof=prior.dof,
        prior_strength=prior.strength,
        rho=training_step.step_size_of(state.step, rules.batch_songs, songs.n_songs, rules.settings),
    )
    return Progress(state, (*progress.history, row), resting=progress.resting)


def _heldout_score(state: State, songs: Songs, rules: Rules) -> float | None:
    heldout = songs.heldout()
    if heldout is None:
        return None
    return completion_per_frame(prepare(state), heldout, rules.settings.options, songs.whitening.log_det)


def _is_finite(state: State, info: BatchInfo) -> bool:
    numbers = (info.bound, state.alpha0, state.gamma)
    parts = torch.stack([part.sum() for part in state.stats.tensors()])
    return all(map(math.isfinite, numbers)) and bool(torch.isfinite(parts).all())
