"""The whole engine with the job's defaults, on frames of a known mixture: does it find what made them?"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from hdpgmm import initialise, model, moves, score
from hdpgmm.local import LocalOptions
from hdpgmm.model import State
from hdpgmm.prior import whitened_prior
from hdpgmm.whitening import Whitening, moments, whitening

N_TRUE, N_COMP, DIM, TRAINING, HELD_OUT, CONCENTRATION = 30, 64, 12, 300, 40, 8.0
BATCH_SONGS, EPOCHS, MERGE_STEPS = 32, 3, 10
OPTIONS = LocalOptions(n_atoms=32)


@dataclass(frozen=True)
class Truth:
    """weights (30,) of the corpus, and log-densities of its Gaussians."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def log_densities(self, frames: np.ndarray) -> np.ndarray:
        parts = zip(self.means, self.covariances, strict=True)
        return np.stack([multivariate_normal(mean, cov).logpdf(frames) for mean, cov in parts], axis=1)


def _corpus(seed: int, weights: np.ndarray) -> tuple[Truth, list[np.ndarray]]:
    """Songs of 100 to 299 frames; the weights of a song are Dirichlet(8 * weights)."""
    rng = np.random.default_rng(seed)
    means = 3.0 * rng.normal(size=(N_TRUE, DIM))
    roots = rng.normal(size=(N_TRUE, DIM, DIM)) / np.sqrt(DIM)
    covariances = roots @ roots.transpose(0, 2, 1) + 0.3 * np.eye(DIM)
    factors, songs = np.linalg.cholesky(covariances), []
    for _ in range(TRAINING + HELD_OUT):
        labels = rng.choice(N_TRUE, rng.integers(100, 300), p=rng.dirichlet(CONCENTRATION * weights))
        noise = rng.normal(size=(len(labels), DIM))
        songs.append(means[labels] + np.einsum("nij,nj->ni", factors[labels], noise))
    return Truth(weights, means, covariances), songs


def _true_completion(truth: Truth, songs: list[np.ndarray]) -> float:
    """Nats a frame of the odd frames; the even ones give a song's weights by 50 steps of EM from the true prior."""
    total, scored = 0.0, 0
    for frames in songs:
        log_lik = truth.log_densities(frames)
        seen, unseen, weights = np.exp(log_lik[0::2]), log_lik[1::2], truth.weights
        for _ in range(50):
            resp = seen * weights
            resp /= resp.sum(1, keepdims=True)
            weights = (resp.sum(0) + CONCENTRATION * truth.weights) / (len(seen) + CONCENTRATION)
        total += np.log(np.exp(unseen) @ weights).sum()
        scored += len(unseen)
    return total / scored


def _ragged(songs: list[np.ndarray], transform: Whitening) -> tuple[torch.Tensor, torch.Tensor]:
    offsets = np.concatenate([[0], np.cumsum([len(song) for song in songs])])
    return torch.from_numpy(transform(np.concatenate(songs))), torch.from_numpy(offsets)


def _train(seed: int, songs: list[np.ndarray], transform: Whitening) -> State:
    """What jobs.train does, in one loop."""
    n_frames = sum(len(song) for song in songs)
    generator = torch.Generator().manual_seed(seed)
    values, _ = _ragged(songs, transform)
    sample = values[torch.randperm(n_frames, generator=generator)[: 200 * N_COMP]]
    prior = whitened_prior(DIM, gamma=1.0, alpha0=1.0)
    state = initialise.from_sample(prior, sample, N_COMP, n_frames, len(songs), generator)
    for epoch in range(EPOCHS):
        order = np.random.default_rng([seed, epoch]).permutation(len(songs))
        for first in range(0, len(songs), BATCH_SONGS):
            batch = [songs[j] for j in order[first : first + BATCH_SONGS]]
            statistics, _ = model.batch_statistics(model.prepare(state), *_ragged(batch, transform), OPTIONS)
            rho = model.step_size(state.step + 1, tau0=1.0, kappa=0.6)
            state = model.blend(state, statistics, len(songs) / len(batch), rho)
            if state.step % MERGE_STEPS == 0:
                state, _ = moves.merge_all(state)
    return state


BALANCED = np.full(N_TRUE, 1 / N_TRUE)
ZIPF = (1 / np.arange(1, N_TRUE + 1)) / (1 / np.arange(1, N_TRUE + 1)).sum()


@pytest.mark.parametrize(("seed", "weights"), [(0, BALANCED), (0, ZIPF)], ids=["balanced", "zipf"])
def test_a_known_mixture_is_recovered(seed: int, weights: np.ndarray):
    """Held-out frames within 0.3 nats of the true parameters', components within 20 % of the true number."""
    truth, songs = _corpus(seed, weights)
    training, held_out = songs[:TRAINING], songs[TRAINING:]
    transform = whitening(moments(np.concatenate(training)))
    state = _train(seed, training, transform)
    total, scored = score.completion(model.prepare(state), *_ragged(held_out, transform), OPTIONS)
    found = total / scored + transform.log_det
    assert abs(found - _true_completion(truth, held_out)) < 0.3
    assert 24 <= model.effective_components(state.stats.count) <= 36
