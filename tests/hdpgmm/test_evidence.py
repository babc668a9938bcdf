"""Training as a whole: the bound rises, and never above the exact evidence."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from hdpgmm import model
from hdpgmm.initialise import from_sample
from hdpgmm.model import State
from hdpgmm.prior import whitened_prior
from tests.hdpgmm.corpora import (
    Corpus,
    batch_of,
    mixture,
    oracle_corpus,
    oracle_hyper,
    partition_state,
    skewed_prior,
    songs_of,
)
from tests.oracles import elbo
from tests.oracles.evidence import TinyCorpus


def _iterate(state: State, corpus: Corpus, iterations: int) -> tuple[State, np.ndarray]:
    """Full-batch updates; the bound before each, nats."""
    bounds = []
    for _ in range(iterations):
        statistics, info = batch_of(state, corpus)
        bounds.append(info.bound - model.corpus_kl(state))
        state = model.blend(state, statistics, scale=1.0, rho=1.0)
    return state, np.array(bounds)


@pytest.mark.parametrize("seed", range(3))
def test_full_batch_bound_rises(seed: int):
    """Songs start afresh in every iteration (no state per song), so one may land in a lower local optimum than
    before: falls are bounded, not excluded. Measured over 30 corpora of this kind: 33 of 420 iterations fall, by 0.07
    nats a frame at most, and the least rise of a run is 0.6.
    """
    corpus = mixture(seed, n_songs=20, n_comp=6, dim=3, frames=(20, 40), spread=2.0)
    start = from_sample(
        whitened_prior(3, 1.0, 1.0),
        corpus.values,
        8,
        len(corpus.values),
        20,
        torch.Generator().manual_seed(seed),
    )
    _, bounds = _iterate(start, corpus, 15)
    steps = np.diff(bounds) / len(corpus.values)
    assert steps.min() > -0.1
    assert steps.sum() > 0.5


def test_exact_evidence_of_one_frame_is_an_integral():
    """The enumeration's Student-t against quadrature over mean and precision."""
    prior = skewed_prior(1)

    def density(precision: float) -> float:
        spread = np.sqrt((1 + 1 / prior.strength) / precision)
        wishart = stats.gamma(prior.dof / 2, scale=2 / float(prior.scale_inv[0, 0]))
        return stats.norm.pdf(1.3, float(prior.mean[0]), spread) * wishart.pdf(precision)

    expected = np.log(integrate.quad(density, 0, np.inf)[0])
    assert TinyCorpus(np.empty(0), oracle_hyper(prior)).marginal([1.3]) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_bound_is_below_the_exact_evidence_of_a_corpus(seed: int):
    prior = skewed_prior(1)
    frames = np.random.default_rng(seed).normal(scale=3.0, size=4)
    exact = TinyCorpus(frames, oracle_hyper(prior)).log_evidence()
    corpus = Corpus(torch.tensor(frames)[:, None], torch.tensor([0, 2, 4]), np.array([0, 0, 1, 1]))
    state, bounds = _iterate(partition_state(corpus, 2, prior), corpus, 40)
    assert np.all(bounds < exact)
    assert bounds[-1] > exact - 5.0
    assert float(elbo.bound(songs_of(state, corpus), oracle_corpus(state), oracle_hyper(prior))) < exact
