"""Small corpora and states for the tests, and the engine's posterior put into the words of the oracle."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from hdpgmm import model
from hdpgmm.components.prior import Concentration, Prior
from hdpgmm.components.statistics import Statistics
from hdpgmm.local_step.groups import Group
from hdpgmm.local_step.posterior import LocalOptions, Posterior
from hdpgmm.model import State
from hdpgmm.ragged import Ragged, packed, ragged
from tests.oracles import elbo

OPTIONS = LocalOptions(n_atoms=4, tolerance=1e-8, max_refreshes=100)
F64 = torch.float64


@dataclass(frozen=True)
class Corpus:
    """songs (frame, dim) float64, labels (frame,) of comps."""

    songs: Ragged[Tensor]
    labels: np.ndarray

    @property
    def values(self) -> Tensor:
        return self.songs.values

    @property
    def n_songs(self) -> int:
        return len(self.songs)

    @property
    def song_labels(self) -> list[np.ndarray]:
        return list(Ragged(self.labels, self.songs.offsets.numpy()))

    def songs_as(self, dtype: torch.dtype) -> Ragged[Tensor]:
        return Ragged(self.values.to(dtype), self.songs.offsets)

    def take(self, order: Iterable[int]) -> "Corpus":
        """The songs at `order`, in that order."""
        chosen, labels = list(order), self.song_labels
        return Corpus(self.songs.take(torch.tensor(chosen)), np.concatenate([labels[j] for j in chosen]))


def corpus_of(songs: list[Tensor], labels: list[np.ndarray]) -> Corpus:
    """Songs (frame, dim) and their frames' labels as one corpus."""
    return Corpus(packed(songs), np.concatenate(labels))


def mixture(seed: int, n_songs: int, n_comp: int, dim: int, frames: tuple[int, int], spread: float) -> Corpus:
    """Songs of a known mixture: unit-covariance components at Normal(0, spread^2) means, Dirichlet(1) weights."""
    rng = np.random.default_rng(seed)
    means = rng.normal(scale=spread, size=(n_comp, dim))
    lengths = rng.integers(*frames, size=n_songs, endpoint=True)
    labels = np.concatenate([rng.choice(n_comp, n, p=rng.dirichlet(np.ones(n_comp))) for n in lengths])
    values = means[labels] + rng.normal(size=(len(labels), dim))
    return Corpus(ragged(lengths, torch.tensor(values)), labels)


def skewed_prior(
    dim: int,
    gamma: float = 1.5,
    alpha0: float = 0.7,
    diagonal: bool = False,
    learned: bool = True,
    direct: bool = False,
) -> Prior:
    """A prior in which no number is a round one that hides a mistake, and no two dimensions agree."""
    scale = torch.eye(dim, dtype=F64) + 0.2 + torch.diag(torch.linspace(0.0, 0.5, dim, dtype=F64))
    mean = torch.linspace(-0.3, 0.4, dim, dtype=F64)
    return Prior(
        mean,
        0.6,
        dim + 1.7,
        0.8 * (scale.diagonal().clone() if diagonal else scale),
        Concentration(gamma, learned),
        Concentration(alpha0, learned),
        direct,
    )


def hard_statistics(
    values: Tensor, labels: np.ndarray, n_comp: int, atoms: list[float], diagonal: bool = False
) -> Statistics:
    """Statistics of a partition of frames, by plain loops. The songs' sticks are two numbers of no meaning."""
    dim = values.shape[1]
    count = torch.zeros(n_comp, dtype=F64)
    first = torch.zeros(n_comp, dim, dtype=F64)
    second = torch.zeros(n_comp, *([dim] if diagonal else [dim, dim]), dtype=F64)
    for x, k in zip(values.double(), labels.tolist(), strict=True):
        count[k] += 1
        first[k] += x
        second[k] += x * x if diagonal else torch.outer(x, x)
    return Statistics(
        count, first, second, torch.tensor(atoms, dtype=F64), torch.tensor([9.0, 6.5], dtype=F64)
    )


def partition_state(corpus: Corpus, n_comp: int, prior: Prior) -> State:
    """The state that the true labels give, with distinct atom counts. Learned concentrations have left their start."""
    atoms = np.bincount(corpus.labels, minlength=n_comp) / 7 + np.linspace(0.5, 0.1, n_comp)
    stats = hard_statistics(corpus.values, corpus.labels, n_comp, atoms.tolist(), prior.diagonal)
    gamma, alpha0 = (c.initial * (0.8 if c.learned else 1.0) for c in (prior.gamma, prior.alpha0))
    return State(prior, stats, gamma, alpha0)


def small_case(
    diagonal: bool = False, learned: bool = True, direct: bool = False, learned_prior: bool = False
) -> tuple[Corpus, State]:
    """Seven songs of 1 to 9 frames from five overlapping components, and a state near them.

    With `learned_prior`, the prior is round and 1.6 frames count for one.
    """
    corpus = mixture(seed=3, n_songs=7, n_comp=5, dim=2, frames=(1, 9), spread=1.5)
    prior = skewed_prior(2, diagonal=diagonal, learned=learned, direct=direct)
    if learned_prior:
        ones = torch.ones(2, dtype=F64)
        scale_inv = 0.7 * (ones if diagonal else torch.diag(ones))
        prior = replace(prior, scale_inv=scale_inv, learned=True, dependence=1.6)
    return corpus, partition_state(corpus, 5, prior)


def oracle_hyper(state: State) -> elbo.Hyper:
    """The prior with the state's concentrations."""
    prior = state.prior
    gamma, alpha0 = (c.initial if c.learned else None for c in (prior.gamma, prior.alpha0))
    return elbo.Hyper(
        state.gamma,
        state.alpha0,
        prior.mean,
        prior.strength,
        prior.dof,
        prior.scale_inv,
        gamma,
        alpha0,
        (0.01, 0.1, 3.0) if prior.learned else None,
        prior.dependence,
    )


def oracle_corpus(state: State) -> elbo.CorpusQ:
    """q of the corpus-level variables. The sticks are the textbook's update, in the order of falling atom counts."""
    q = model.family(state.prior).posterior(state.prior, state.stats)
    order = sorted(range(state.n_components), key=lambda k: -float(state.stats.atoms[k]))
    u, v = oracle_sticks([float(state.stats.atoms[k]) for k in order], state.gamma)
    scale_inv = q.scale_inv if state.prior.diagonal else q.chol @ q.chol.mT
    return elbo.CorpusQ(u, v, order, q.mean, q.strength, q.dof, scale_inv)


def oracle_song(frames: Tensor, song: Posterior, index: int, alpha0: float) -> elbo.SongQ:
    """q of one song of a group, its atoms in use: frames (frame, dim), without padding."""
    used = song.counts[index] > 0
    a, b = oracle_sticks(song.counts[index, used].tolist(), alpha0)
    return elbo.SongQ(frames, song.zeta[index, : len(frames)][:, used], song.varphi[index, used], a, b)


def oracle_sticks(counts: list[float], concentration: float) -> tuple[Tensor, Tensor]:
    """Beta(1 + c_i, concentration + sum_{j>i} c_j) of every stick."""
    a = [1.0 + c for c in counts]
    b = [concentration + sum(counts[i + 1 :]) for i in range(len(counts))]
    return torch.tensor(a, dtype=F64), torch.tensor(b, dtype=F64)


def oracle_songs(parts: Iterable[tuple[Group, Posterior]], alpha0: float) -> list[elbo.SongQ]:
    """Songs inferred group by group, in their order in the batch."""
    found = {}
    for group, posterior in parts:
        for i, (song, mask) in enumerate(zip(group.songs.tolist(), group.mask, strict=True)):
            found[song] = oracle_song(group.values[i, mask > 0], posterior, i, alpha0)
    return [found[song] for song in sorted(found)]


def songs_of(state: State, corpus: Corpus) -> list[elbo.SongQ]:
    """The local step in float64, in the words of the oracle."""
    parts = model.infer(model.prepare(state, F64), corpus.songs, OPTIONS)
    return oracle_songs(parts, state.alpha0)


def batch_of(state: State, corpus: Corpus, splash: float = 0.0) -> tuple[Statistics, model.BatchInfo]:
    """Statistics of the corpus as one batch, in float64."""
    return model.batch_statistics(model.prepare(state, F64), corpus.songs, OPTIONS, splash)


def log_prior_student_t(state: State, frames: np.ndarray) -> np.ndarray:
    """log of the prior's predictive, that of a component never seen, by scipy."""
    prior = state.prior
    widen, mean, scale_inv = 1 + 1 / prior.strength, prior.mean.numpy(), prior.scale_inv.numpy()
    if prior.diagonal:
        return stats.t.logpdf(frames, prior.dof, mean, np.sqrt(scale_inv * widen / prior.dof)).sum(1)
    dof = prior.dof + 1 - prior.dim
    return stats.multivariate_t(mean, scale_inv * widen / dof, dof).logpdf(frames)  # pyright: ignore[reportArgumentType]
