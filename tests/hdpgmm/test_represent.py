"""Song vectors: what they are, and what they do not depend on."""

import numpy as np
import pytest
import torch

from hdpgmm import model, represent
from hdpgmm.local import LocalOptions
from hdpgmm.represent import SongVector
from tests.hdpgmm.corpora import Corpus, mixture, oracle_corpus, partition_state, skewed_prior
from tests.oracles import elbo

OPTIONS = LocalOptions(n_atoms=4)


@pytest.fixture(scope="module")
def case() -> tuple[Corpus, model.State]:
    corpus = mixture(seed=3, n_songs=9, n_comp=6, dim=3, frames=(1, 60), spread=1.5)
    return corpus, partition_state(corpus, 6, skewed_prior(3))


def _vectors(state: model.State, corpus: Corpus, dtype: torch.dtype = torch.float32) -> list[SongVector]:
    ready = model.prepare(state, dtype)
    return list(represent.represent(ready, corpus.values.to(dtype), corpus.offsets, OPTIONS))


def _gap(one: SongVector, two: SongVector) -> float:
    parts = [one.posterior - two.posterior, one.responsibility - two.responsibility]
    return max(*(float(part.abs().max()) for part in parts), abs(one.log_likelihood - two.log_likelihood))


def test_vectors_are_distributions_over_components(case):
    corpus, state = case
    found = _vectors(state, corpus)
    assert len(found) == 9
    for vector in found:
        for shares in (vector.posterior, vector.responsibility):
            assert shares.dtype == torch.float32
            assert float(shares.min()) >= 0
            assert float(shares.sum()) == pytest.approx(1.0, abs=1e-6)


def test_posterior_is_the_papers_mean_over_frames(case):
    """Every component alike a priori, no sticks: softmax of E[log p(x | phi)], frame by frame, then the mean."""
    corpus, state = case
    for frames, vector in zip(corpus.songs(), _vectors(state, corpus, torch.float64), strict=True):
        log_lik = elbo.expected_log_gaussians(frames, oracle_corpus(state)).numpy()
        per_frame = [np.exp(row - row.max()) / np.exp(row - row.max()).sum() for row in log_lik]
        np.testing.assert_allclose(vector.posterior, np.mean(per_frame, axis=0), atol=1e-6)


def test_responsibility_is_the_mean_over_frames_of_the_hdps(case):
    corpus, state = case
    songs = model.infer(model.prepare(state, torch.float64), corpus.values, corpus.offsets, OPTIONS)
    for (_, song), vector in zip(songs, _vectors(state, corpus, torch.float64), strict=True):
        torch.testing.assert_close(
            vector.responsibility.double(), song.responsibilities().mean(0), atol=1e-6, rtol=0
        )


def test_vectors_do_not_depend_on_the_batch_or_the_order(case):
    corpus, state = case
    together = _vectors(state, corpus)
    order = [5, 0, 8, 2, 7, 1, 6, 3, 4]
    for j, vector in zip(order, _vectors(state, corpus.take(order)), strict=True):
        assert _gap(vector, together[j]) < 1e-5
    for j in range(9):
        (alone,) = _vectors(state, corpus.take([j]))
        assert _gap(alone, together[j]) < 1e-5


def test_float32_vectors_are_float64s(case):
    corpus, state = case
    for single, double in zip(_vectors(state, corpus), _vectors(state, corpus, torch.float64), strict=True):
        assert _gap(single, double) < 1e-3


def test_log_likelihood_prefers_the_song_to_noise(case):
    corpus, state = case
    noise = Corpus(50 * torch.randn(len(corpus.values), 3, generator=torch.Generator().manual_seed(0)),
                   corpus.offsets, corpus.labels)  # fmt: skip
    for real, other in zip(_vectors(state, corpus), _vectors(state, noise), strict=True):
        assert real.log_likelihood > other.log_likelihood + 1


def test_floored_log_is_the_logarithm_above_its_floor():
    shares = torch.tensor([0.0, 1e-12, 1e-8, 0.25, 1.0])
    expected = [np.log(1e-8)] * 3 + [np.log(0.25), 0.0]
    assert represent.floored_log(shares).tolist() == pytest.approx(expected, abs=1e-5)
