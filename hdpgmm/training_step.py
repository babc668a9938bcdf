"""Learning a model: one step, and the moves between steps. The in-memory HDPGMM and the jobs share it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hdpgmm import schedule
from hdpgmm.components.prior import Concentration, whitened_prior
from hdpgmm.components.statistics import Statistics
from hdpgmm.data import kmeans as initialise
from hdpgmm.data.autocorrelation import dependence
from hdpgmm.data.survey import Survey
from hdpgmm.data.whitening import Whitening, standardising, whitening
from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model.expectations import prepare
from hdpgmm.model.state import State
from hdpgmm.model.statistics import BatchInfo, batch_statistics
from hdpgmm.model.update import blend, step_size
from hdpgmm.moves import MOVES
from hdpgmm.moves.merge_delete import Move, Probe
from hdpgmm.ragged import Ragged

SAMPLE_FRAMES = 200  # per component, for the k-means seeding
SPLASH_DECAY = 1000  # steps, of the paper's eta_t = eta0 * 1000 / (t + 1000)
STEP_SONGS = 128  # that a full step rests on
PART_SONGS = 128  # of a mini-batch that one rank takes on; sums do not depend on the number of ranks


LEARNED, FIXED = Concentration(), Concentration(learned=False)


@dataclass(frozen=True)
class Settings:
    """How a model is learned. The defaults are right for whitened frames of any corpus.

    n_components: at the start, None by the corpus (`schedule.first_components`); moves change it. n_atoms: at most in
    use in one song. rho_t = (tau0 + t)^-kappa. splash:
    eta0 of the paper's regulariser. learn_prior: what components have in common is learned, and frames that repeat each
    other count for less; else the weak prior stays, and frames count as independent. probe_songs: how many songs moves
    are judged on.
    """

    n_components: int | None = None
    n_atoms: int = 32
    diagonal: bool = False
    direct: bool = True
    gamma: Concentration = LEARNED
    alpha0: Concentration = LEARNED
    kappa: float = 0.6
    tau0: float = 1.0
    splash: float = 0.0
    learn_prior: bool = True
    moves: bool = True
    probe_songs: int = 256

    @property
    def sample_frames(self) -> int:
        """How many frames k-means takes for the first components, at most."""
        return SAMPLE_FRAMES * (self.n_components or schedule.MOST_COMPONENTS)

    @property
    def options(self) -> LocalOptions:
        return LocalOptions(n_atoms=self.n_atoms)


PAPER = Settings(
    n_components=256,
    direct=False,
    gamma=FIXED,
    alpha0=FIXED,
    tau0=64.0,
    splash=0.1,
    learn_prior=False,
    moves=False,
)  # with 1,024 songs a batch, 100 epochs


Part = tuple[Statistics, BatchInfo]
Total = Callable[[Iterable[Part], Part], Part]


def in_order(parts: Iterable[Part], nothing: Part) -> Part:
    """The sum of the parts, one after the other."""
    statistics, info = nothing
    for part in parts:
        statistics, info = statistics + part[0], info + part[1]
    return statistics, info


def start(
    settings: Settings,
    sample: Tensor,
    frames: int,
    songs: int,
    generator: torch.Generator,
    repeated: float = 1.0,
) -> State:
    """First state, from a sample of whitened frames (frame, dim) of a corpus of `frames` and `songs`.

    repeated: how many frames of a song count for one (hdpgmm.data.autocorrelation).
    """
    prior = whitened_prior(
        sample.shape[1], settings.gamma, settings.alpha0, settings.diagonal, settings.direct
    )
    constant = (sample == sample[0]).all(dim=0).cpu()
    if bool(constant.any()):
        prior = replace(prior, constant=constant)
    if settings.learn_prior:
        prior = replace(prior, learned=True, dependence=repeated)
    n_components = settings.n_components
    if n_components is None:
        n_components = schedule.first_components(frames, repeated, songs, sample.shape[1])
        chosen = torch.randperm(len(sample), generator=generator)[: SAMPLE_FRAMES * n_components]
        sample = sample[chosen.to(sample.device)]
    return initialise.from_sample(prior, sample, n_components, frames, songs, generator)


def first_state(
    settings: Settings, survey: Survey, songs: int, seed: int, device: torch.device | str = "cpu"
) -> tuple[State, Whitening]:
    """Whitening and first state of a corpus of so many songs, from a survey of all its frames, sampled."""
    assert survey.moments is not None  # asked for, or known
    assert survey.lagged is not None  # of the groups that were sampled from
    whiten = (standardising if settings.diagonal else whitening)(survey.moments)
    sample = torch.from_numpy(whiten(survey.sample)).to(device)
    generator = torch.Generator().manual_seed(seed)
    repeated = dependence(survey.lagged, whiten.transform)
    return start(settings, sample, survey.moments.count, songs, generator, repeated), whiten


def learn(
    state: State,
    songs: Ragged[Tensor],
    corpus_songs: int,
    settings: Settings,
    total: Total = in_order,
) -> tuple[State, BatchInfo]:
    """One step on a mini-batch of whitened songs (frame, dim).

    The songs' statistics are made in parts of PART_SONGS, which `total` adds up; that of `hdpgmm.distributed` adds
    those of other ranks, each of which has some of the mini-batch's parts.
    """
    splash = settings.splash * SPLASH_DECAY / (state.step + 1 + SPLASH_DECAY)
    model = prepare(state, songs.values.dtype)

    def part_of(some: Ragged[Tensor]) -> Part:
        statistics, info = batch_statistics(model, some, settings.options, splash)
        return statistics, replace(info, songs=len(some))

    parts = map(part_of, songs.split(PART_SONGS))
    statistics, info = total(parts, (state.stats.scaled(0.0), BatchInfo()))
    rho = step_size_of(state.step + 1, info.songs, corpus_songs, settings)
    return blend(state, statistics, corpus_songs / max(info.songs, 1), rho), info


def step_size_of(step: int, songs: int, corpus_songs: int, settings: Settings) -> float:
    """rho of a step on a mini-batch of `songs`.

    Mini-batches under STEP_SONGS (or under the corpus, where that is smaller) take smaller steps: with 8 songs a step
    and rho = (1 + t)^-kappa the averages would rest on 150 songs, and rare components drown in the noise.
    """
    return step_size(step, settings.tau0, settings.kappa, min(1.0, songs / min(STEP_SONGS, corpus_songs)))


def improve(
    state: State,
    probe: Probe,
    settings: Settings,
    generator: torch.Generator,
    resting: frozenset[str] = frozenset(),
) -> tuple[State, list[Move], frozenset[str]]:
    """All moves but those that rest, in their order (`moves.MOVES`); then components are in order of falling mass.

    Also the names of those that were tried and made nothing: they rest the next time.
    """
    made: list[Move] = []
    barren: set[str] = set()
    for name, step in MOVES.items():
        if name in resting:
            continue
        state, moves = step(state, probe, settings.options, generator)
        made += moves
        if not moves:
            barren.add(name)
    order = state.stats.count.argsort(descending=True, stable=True)
    return replace(state, stats=state.stats.take(order)), made, frozenset(barren)
