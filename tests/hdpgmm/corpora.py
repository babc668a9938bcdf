"""Small corpora and states for the tests, and the engine's posterior put into the words of the oracle."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hdpgmm import model, normal_wishart
from hdpgmm.local import LocalOptions, SongPosterior
from hdpgmm.model import State
from hdpgmm.prior import Prior
from hdpgmm.statistics import Statistics
from tests.oracles import elbo

OPTIONS = LocalOptions(n_atoms=4, tolerance=1e-8, max_refreshes=100)
F64 = torch.float64


@dataclass(frozen=True)
class Corpus:
    """values (frame, dim) float64 of all songs one after the other, offsets (song + 1,), labels (frame,) of comps."""

    values: Tensor
    offsets: Tensor
    labels: np.ndarray

    def songs(self) -> list[Tensor]:
        bounds = self.offsets.tolist()
        return [self.values[a:b] for a, b in itertools.pairwise(bounds)]

    def take(self, order: list[int]) -> "Corpus":
        """The songs at `order`, in that order."""
        songs = self.songs()
        lengths = [len(songs[j]) for j in order]
        offsets = torch.tensor(np.concatenate([[0], np.cumsum(lengths)]))
        labels = np.split(self.labels, self.offsets[1:-1].numpy())
        return Corpus(
            torch.cat([songs[j] for j in order]), offsets, np.concatenate([labels[j] for j in order])
        )


def mixture(seed: int, n_songs: int, n_comp: int, dim: int, frames: tuple[int, int], spread: float) -> Corpus:
    """Songs of a known mixture: unit-covariance components at Normal(0, spread^2) means, Dirichlet(1) weights."""
    rng = np.random.default_rng(seed)
    means = rng.normal(scale=spread, size=(n_comp, dim))
    lengths = rng.integers(*frames, size=n_songs, endpoint=True)
    labels = np.concatenate([rng.choice(n_comp, n, p=rng.dirichlet(np.ones(n_comp))) for n in lengths])
    values = means[labels] + rng.normal(size=(len(labels), dim))
    return Corpus(torch.tensor(values), torch.tensor(np.concatenate([[0], np.cumsum(lengths)])), labels)


def skewed_prior(dim: int, gamma: float = 1.5, alpha0: float = 0.7) -> Prior:
    """A prior in which no number is a round one that hides a mistake."""
    scale = torch.eye(dim, dtype=torch.float64) + 0.2
    mean = torch.linspace(-0.3, 0.4, dim, dtype=torch.float64)
    return Prior(gamma, alpha0, mean, 0.6, dim + 1.7, 0.8 * scale)


def hard_statistics(values: Tensor, labels: np.ndarray, n_comp: int, atoms: list[float]) -> Statistics:
    """Statistics of a partition of frames, by plain loops."""
    dim = values.shape[1]
    count = torch.zeros(n_comp, dtype=torch.float64)
    first = torch.zeros(n_comp, dim, dtype=torch.float64)
    second = torch.zeros(n_comp, dim, dim, dtype=torch.float64)
    for x, k in zip(values.double(), labels.tolist(), strict=True):
        count[k] += 1
        first[k] += x
        second[k] += torch.outer(x, x)
    return Statistics(count, first, second, torch.tensor(atoms, dtype=torch.float64))


def partition_state(corpus: Corpus, n_comp: int, prior: Prior) -> State:
    """The state that the true labels give, with distinct atom counts."""
    atoms = np.bincount(corpus.labels, minlength=n_comp) / 7 + np.linspace(0.5, 0.1, n_comp)
    return State(prior, hard_statistics(corpus.values, corpus.labels, n_comp, atoms.tolist()))


def oracle_hyper(prior: Prior) -> elbo.Hyper:
    return elbo.Hyper(prior.gamma, prior.alpha0, prior.mean, prior.strength, prior.dof, prior.scale_inv)


def oracle_corpus(state: State) -> elbo.CorpusQ:
    """q of the corpus-level variables. The sticks are the textbook's update, in the order of falling atom counts."""
    nw = normal_wishart.posterior(state.prior, state.stats)
    order = sorted(range(state.n_components), key=lambda k: -float(state.stats.atoms[k]))
    atoms = [float(state.stats.atoms[k]) for k in order]
    u, v = oracle_sticks(atoms, state.prior.gamma)
    return elbo.CorpusQ(u, v, order, nw.mean, nw.strength, nw.dof, nw.chol @ nw.chol.mT)


def oracle_song(frames: Tensor, song: SongPosterior, alpha0: float) -> elbo.SongQ:
    a, b = oracle_sticks(song.counts.tolist(), alpha0)
    return elbo.SongQ(frames, song.zeta, song.varphi, a, b)


def oracle_sticks(counts: list[float], concentration: float) -> tuple[Tensor, Tensor]:
    """Beta(1 + c_i, concentration + sum_{j>i} c_j) of every stick but the last."""
    a = [1.0 + c for c in counts[:-1]]
    b = [concentration + sum(counts[i + 1 :]) for i in range(len(counts) - 1)]
    return torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)


def small_case() -> tuple[Corpus, State]:
    """Seven songs of 1 to 9 frames from five overlapping components, and a state near them."""
    corpus = mixture(seed=3, n_songs=7, n_comp=5, dim=2, frames=(1, 9), spread=1.5)
    return corpus, partition_state(corpus, 5, skewed_prior(2))


def songs_of(state: State, corpus: Corpus) -> list[elbo.SongQ]:
    """The local step in float64, in the words of the oracle."""
    posteriors = model.infer(model.prepare(state, F64), corpus.values, corpus.offsets, OPTIONS)
    return [oracle_song(corpus.values[frames], song, state.prior.alpha0) for frames, song in posteriors]


def batch_of(state: State, corpus: Corpus, splash: float = 0.0) -> tuple[Statistics, model.BatchInfo]:
    """Statistics of the corpus as one batch, in float64."""
    return model.batch_statistics(model.prepare(state, F64), corpus.values, corpus.offsets, OPTIONS, splash)
