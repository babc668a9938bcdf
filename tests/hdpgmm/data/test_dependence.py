"""How many frames count for one: known for autoregressive frames, one for independent ones, whatever their songs."""

from itertools import pairwise

import numpy as np
import pytest

from hdpgmm.data.autocorrelation import LAGS, Lagged, dependence, lagged
from hdpgmm.data.whitening import moments, whitening
from hdpgmm.estimator import HDPGMM
from hdpgmm.ragged import Ragged, packed
from hdpgmm.training_step import Settings


def autoregressive(n_songs: int, n_frames: int, phi: float, dim: int = 4, seed: int = 0) -> list[np.ndarray]:
    """Songs of x_n = phi x_(n-1) + noise, turned and scaled."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(dim, dim))
    songs = []
    for _ in range(n_songs):
        noise, song = rng.normal(size=(n_frames, dim)), np.empty((n_frames, dim))
        song[0] = noise[0] / np.sqrt(1.0 - phi**2)
        for n in range(1, n_frames):
            song[n] = phi * song[n - 1] + noise[n]
        songs.append(song @ mixing)
    return songs


def found(songs: Ragged[np.ndarray]) -> float:
    return dependence(lagged(songs), whitening(moments(songs.values)).transform)


@pytest.mark.parametrize(("phi", "near"), [(0.0, 0.01), (0.5, 0.05), (0.8, 0.1)])
@pytest.mark.parametrize("n_frames", [200, 2000])
def test_of_autoregressive_frames_it_is_known(phi: float, near: float, n_frames: int) -> None:
    """r_k = phi^k, so tau = (1 + phi^2) / (1 - phi^2), short of what lies beyond LAGS."""
    songs = autoregressive(20_000 // n_frames, n_frames, phi)
    known = 1.0 + 2.0 * sum(phi ** (2 * k) for k in range(1, LAGS + 1))
    assert found(packed(songs)) == pytest.approx(known, rel=near)


@pytest.mark.parametrize("n_frames", [2, 5, 30])
def test_independent_frames_of_short_songs_count_as_they_are(n_frames: int) -> None:
    """Taking off a song's mean makes its few frames repel each other."""
    assert found(packed(autoregressive(600, n_frames, 0.0))) == pytest.approx(1.0, abs=0.02)


def test_a_covariance_is_known_as_that_of_as_many_independent_frames() -> None:
    """Over 800 songs of one process, the estimates of its covariances scatter as their number over tau says."""
    songs = packed(autoregressive(800, 200, 0.7))
    white = songs.values @ whitening(moments(songs.values)).transform
    variance = np.var([part.T @ part / 200 for part in np.split(white, 800)], axis=0)
    independent = (1.0 + np.eye(4)) / 200  # var(x_i x_j) of a standard normal pair
    assert (variance / independent).mean() == pytest.approx(found(songs), rel=0.1)


def test_parts_add_up() -> None:
    songs = autoregressive(12, 50, 0.6)
    parts = [lagged(packed(songs[a:b])) for a, b in pairwise((0, 3, 4, 12))]
    total, whole = parts[0] + parts[1] + parts[2], lagged(packed(songs))
    assert total.pairs.tolist() == whole.pairs.tolist()
    np.testing.assert_allclose(total.products, whole.products, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("values", [np.ones((50, 3)), np.zeros((1, 3)), np.zeros((0, 3))])
def test_without_spread_or_frames_it_is_one(values: np.ndarray) -> None:
    assert dependence(lagged(packed([values])), np.eye(3)) == 1.0
    assert dependence(Lagged(np.zeros((LAGS + 1, 3, 3)), np.zeros(LAGS + 1, int)), np.eye(3)) == 1.0


def test_a_model_is_learned_with_it_unless_told_otherwise() -> None:
    songs = autoregressive(60, 200, 0.8)
    known = (1.0 + 0.8**2) / (1.0 - 0.8**2)
    assert HDPGMM(4, max_epochs=1).fit(songs).prior_["dependence"] == pytest.approx(known, rel=0.1)
    told = Settings(n_components=4, learn_prior=False)
    assert HDPGMM(max_epochs=1, settings=told).fit(songs).prior_["dependence"] == 1.0


def test_what_follows_from_slow_songs_is_known_less_well() -> None:
    """The Wisharts' degrees of freedom add up to the frames over tau, and the prior's."""
    songs = autoregressive(60, 200, 0.8)
    model = HDPGMM(4, max_epochs=2, early_stopping=False).fit(songs)  # without songs held out
    trained = 200 * 60 * model.weights_
    counted = model.degrees_of_freedom_ - model.prior_["dof"]
    np.testing.assert_allclose(counted, trained / model.prior_["dependence"], rtol=0.01)
