"""HDPGMM with its defaults, on frames of a known mixture: does it find what made them?"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from hdpgmm.estimator import HDPGMM
from hdpgmm.model import effective_components

N_TRUE, DIM, TRAINING, HELD_OUT, CONCENTRATION = 12, 8, 240, 40, 8.0
BALANCED = np.full(N_TRUE, 1 / N_TRUE)
ZIPF = (1 / np.arange(1, N_TRUE + 1)) / (1 / np.arange(1, N_TRUE + 1)).sum()


@dataclass(frozen=True)
class Truth:
    """weights (12,) of the corpus, and its Gaussians in the units of the features."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def log_densities(self, frames: np.ndarray) -> np.ndarray:
        parts = zip(self.means, self.covariances, strict=True)
        return np.stack([multivariate_normal(mean, cov).logpdf(frames) for mean, cov in parts], axis=1)


def _corpus(weights: np.ndarray) -> tuple[Truth, list[np.ndarray]]:
    """Songs of 60 to 140 frames, the weights of each Dirichlet(8 * weights); every feature has a scale of its own."""
    rng = np.random.default_rng(0)
    means = 2.0 * rng.normal(size=(N_TRUE, DIM))
    roots = rng.normal(size=(N_TRUE, DIM, DIM)) / np.sqrt(DIM)
    covariances = roots @ roots.transpose(0, 2, 1) + 0.3 * np.eye(DIM)
    factors, scale, songs = np.linalg.cholesky(covariances), np.exp(rng.normal(size=DIM)), []
    for _ in range(TRAINING + HELD_OUT):
        labels = rng.choice(N_TRUE, rng.integers(60, 140), p=rng.dirichlet(CONCENTRATION * weights))
        noise = rng.normal(size=(len(labels), DIM))
        songs.append(scale * (means[labels] + np.einsum("nij,nj->ni", factors[labels], noise)))
    return Truth(weights, scale * means, scale[:, None] * covariances * scale), songs


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


@pytest.mark.parametrize(
    ("weights", "n_components"),
    [(BALANCED, 256), (ZIPF, 256), (BALANCED, 4)],
    ids=["balanced", "zipf", "from four components"],
)
def test_a_known_mixture_is_recovered(weights: np.ndarray, n_components: int):
    """Held-out frames within 0.05 nats of what the true parameters give them, their number within 10 %.

    Seen: 0.016 nats at most, and twelve each time. From four components the others are born.
    """
    truth, songs = _corpus(weights)
    training, held_out = songs[:TRAINING], songs[TRAINING:]
    model = HDPGMM(n_components).fit(training)
    assert abs(_true_completion(truth, held_out) - model.score(held_out)) < 0.05
    assert abs(model.n_components_ - N_TRUE) <= 1
    assert abs(effective_components(torch.from_numpy(model.weights_)) - N_TRUE) <= 1
    net = sum(1 if move.kind == "birth" else -1 for move in model.moves_)
    assert net == model.n_components_ - n_components
