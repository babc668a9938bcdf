"""The first components, against scikit-learn's k-means and on samples that leave it little choice."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from hdpgmm import model
from hdpgmm.components.prior import Concentration, whitened_prior
from hdpgmm.data import kmeans as initialise
from tests.hdpgmm.corpora import mixture

PRIOR = whitened_prior(2, Concentration(1.7), Concentration(0.6))


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _clusters(n_clusters: int = 12, size: int = 40) -> torch.Tensor:
    """Tight clusters on a circle, neighbours 26 standard deviations apart."""
    angle = 2 * np.pi * np.repeat(np.arange(n_clusters), size) / n_clusters
    noise = np.random.default_rng(0).normal(scale=0.02, size=(n_clusters * size, 2))
    return torch.tensor(np.column_stack([np.cos(angle), np.sin(angle)]) + noise, dtype=torch.float32)


@pytest.mark.parametrize("seed", range(10))
def test_seeds_hit_every_separated_cluster(seed: int):
    sample = _clusters()
    chosen = initialise.plus_plus(sample, 12, _generator(seed))
    owner = cdist(chosen, sample.reshape(12, 40, 2).mean(1)).argmin(1)
    assert sorted(owner) == list(range(12))


def test_nearest_is_scipys_argmin():
    corpus = mixture(seed=1, n_songs=3, n_comp=5, dim=4, frames=(50, 60), spread=3.0)
    centres = corpus.values[:9]
    index, squared = initialise.nearest(corpus.values, centres, block=17)
    distances = cdist(corpus.values, centres)
    assert np.array_equal(index, distances.argmin(1))
    np.testing.assert_allclose(squared, distances.min(1) ** 2, atol=1e-9)


def test_lloyd_is_scikit_learns_k_means():
    corpus = mixture(seed=1, n_songs=5, n_comp=5, dim=3, frames=(50, 60), spread=1.0)
    start = corpus.values[:6]
    found = initialise.lloyd(corpus.values, start, iterations=300)
    k_means = KMeans(6, init=start.numpy(), n_init=1, max_iter=300, tol=0.0)  # pyright: ignore[reportArgumentType]
    expected = k_means.fit(corpus.values.numpy())
    np.testing.assert_allclose(found, expected.cluster_centers_, atol=1e-9)


def test_lloyd_leaves_a_centre_without_frames_where_it_is():
    sample = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    far = torch.tensor([[0.5, 0.0], [99.0, 99.0]])
    assert initialise.lloyd(sample, far).tolist() == [[0.5, 0.0], [99.0, 99.0]]


@pytest.mark.parametrize("diagonal", [False, True])
def test_state_is_the_partition_scaled_to_the_corpus(diagonal: bool):
    sample = _clusters()[: 40 * 5 + 13]  # five whole clusters and a part of a sixth
    prior = whitened_prior(2, Concentration(1.7), Concentration(0.6), diagonal)
    state = initialise.from_sample(prior, sample, 6, frames=2130.0, songs=30, generator=_generator())
    stats = state.stats
    assert stats.count.tolist() == pytest.approx([400.0] * 5 + [130.0])
    assert stats.atoms.tolist() == pytest.approx([30 * 40 / 213] * 5 + [30 * 13 / 213])
    clusters = sample[:200].reshape(5, 40, 2).double().numpy()
    distances = cdist(stats.first[:5] / stats.count[:5, None], clusters.mean(1))
    assert distances.min(1).max() < 1e-5
    second = 10 * np.einsum("kni,knj->kij", clusters, clusters)
    expected = np.diagonal(second, axis1=1, axis2=2) if diagonal else second
    np.testing.assert_allclose(stats.second[:5], expected[distances.argmin(1)], rtol=1e-5, atol=1e-4)
    assert (state.step, state.gamma, state.alpha0) == (0, 1.7, 0.6)
    assert stats.sticks.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("n_frames", [1, 5])
def test_fewer_distinct_frames_than_components_are_as_many_components(n_frames: int):
    """The model is whole and no frame is lost."""
    sample = _clusters()[::40][:n_frames].repeat(3, 1)
    state = initialise.from_sample(PRIOR, sample, 8, frames=len(sample), songs=2, generator=_generator())
    assert state.stats.count.tolist() == pytest.approx([3.0] * n_frames)
    ready = model.prepare(state)
    assert bool(torch.isfinite(ready.theta).all() and torch.isfinite(ready.log_beta).all())


def test_components_come_in_order_of_falling_mass():
    corpus = mixture(seed=1, n_songs=5, n_comp=5, dim=2, frames=(50, 60), spread=1.0)
    state = initialise.from_sample(PRIOR, corpus.values.float(), 9, 1e4, 5, _generator())
    assert float(state.stats.count.diff().max()) <= 0
    assert float(state.stats.count.sum()) == pytest.approx(1e4)
    assert float(state.stats.atoms.sum()) == pytest.approx(5)


def test_same_generator_same_state_and_the_sample_is_untouched():
    sample = mixture(seed=1, n_songs=5, n_comp=5, dim=2, frames=(50, 60), spread=1.0).values.float()
    before = sample.clone()
    one, two, other = (
        initialise.from_sample(PRIOR, sample, 7, 1e4, 100, _generator(seed)).stats for seed in (0, 0, 1)
    )
    assert all(torch.equal(a, b) for a, b in zip(one.tensors(), two.tensors(), strict=True))
    assert not torch.equal(one.first, other.first)
    assert torch.equal(sample, before)


@pytest.mark.parametrize("shape", [(0, 2), (5,)])
def test_a_sample_without_frames_is_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"\(frame, dim\) with at least one frame"):
        initialise.from_sample(PRIOR, torch.zeros(shape), 3, 1.0, 1, _generator())
