"""Moments and whitening on data that break naive ones."""

import functools
import operator
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from hdpgmm.components.prior import Concentration, whitened_prior
from hdpgmm.data import whitening as w


def _frames(n: int = 500, dim: int = 4) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, dim)) @ rng.normal(size=(dim, dim)) + rng.normal(scale=5, size=dim)


def test_merged_moments_equal_numpys_in_any_grouping():
    frames = _frames()
    parts = [w.moments(part) for part in np.split(frames, [1, 1, 7, 300])]  # one of them empty
    for order in (parts, parts[::-1]):
        total = functools.reduce(operator.add, order)
        assert total.count == 500
        np.testing.assert_allclose(total.mean, frames.mean(0), rtol=1e-12)
        np.testing.assert_allclose(total.scatter, 500 * np.cov(frames.T, bias=True), rtol=1e-11, atol=1e-9)


def test_moments_far_from_the_origin_keep_their_digits():
    """Raw second moments about 1e8 would lose every digit of a unit variance."""
    frames = _frames() + 1e8
    total = w.moments(frames[:200]) + w.moments(frames[200:])
    np.testing.assert_allclose(total.scatter, 500 * np.cov(frames.T, bias=True), rtol=1e-6)


def test_empty_moments_are_neutral():
    empty = w.moments(np.empty((0, 4)))
    both = empty + empty
    assert both.count == 0
    total = empty + w.moments(_frames())
    np.testing.assert_allclose(total.mean, _frames().mean(0), rtol=1e-13)


@pytest.mark.parametrize("scales", [[1, 1, 1, 1], [1e6] * 4, [1e-9, 1, 1e9, 1e4]])
def test_whitened_frames_have_identity_covariance(scales: list[float]):
    frames = _frames() * scales
    whitened = w.whitening(w.moments(frames))(frames)
    assert whitened.dtype == np.float32
    np.testing.assert_allclose(whitened.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), np.eye(4), atol=1e-3)


def test_it_is_the_papers_transform():
    """x -> (x - mean) @ chol(inv(cov)), up to the ridge of 1e-6."""
    frames = _frames()
    expected = (frames - frames.mean(0)) @ np.linalg.cholesky(np.linalg.inv(np.cov(frames.T, bias=True)))
    np.testing.assert_allclose(w.whitening(w.moments(frames))(frames), expected, atol=1e-3)


def test_constant_and_duplicated_features_stay_finite():
    frames = _frames()
    frames = np.column_stack([frames, np.full(500, 0.1), frames[:, 0], -3 * frames[:, 1] + 2]).astype(
        np.float32
    )
    whitened = w.whitening(w.moments(frames))(frames)
    assert np.isfinite(whitened).all()
    assert np.abs(whitened[:, 4]).max() < 1e-6
    assert np.abs(whitened).max() < 50
    variances = np.linalg.eigvalsh(np.cov(whitened.T, bias=True))
    np.testing.assert_allclose(variances, [0, 0, 0, 1, 1, 1, 1], atol=1e-3)


@pytest.mark.parametrize("value", [0.1, 1e6 / 3, -7e8 / 9])
def test_a_constant_feature_is_centred_however_its_mean_is_rounded(value: float):
    """Merged means of a constant differ from it in the last digit; that difference is not a scale."""
    frames = np.column_stack([_frames(), np.full(500, value)])
    total = functools.reduce(operator.add, [w.moments(part) for part in np.array_split(frames, 37)])
    whitened = w.whitening(total)(frames)
    assert np.abs(whitened[:, 4]).max() < 1e-6
    np.testing.assert_allclose(np.cov(whitened[:, :4].T, bias=True), np.eye(4), atol=1e-3)


@pytest.mark.parametrize("value", [1e15, 1e60, -1e99])
@pytest.mark.parametrize("kind", [w.whitening, w.standardising])
def test_what_rounding_leaves_of_a_large_constant_is_small(
    kind: Callable[[w.Moments], w.Whitening], value: float
):
    """A few of its last digits: 1e44 for the second value, which float32 does not have."""
    frames = np.column_stack([_frames(), np.full(500, value) * (1.0 + 1e-15 * (np.arange(500) % 7))])
    whitened = kind(w.moments(frames))(frames)
    assert np.abs(whitened[:, 4]).max() < 0.1
    np.testing.assert_allclose(whitened[:, :4].std(0), 1.0, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-100, 1e-13, 2.0**-200, 2.0**200, 1e100])
@pytest.mark.parametrize("kind", [w.whitening, w.standardising])
def test_frames_in_any_unit_are_the_same(kind: Callable[[w.Moments], w.Whitening], scale: float):
    """Powers of two to the last bit."""
    frames = _frames()
    expected = kind(w.moments(frames))(frames)
    found = kind(w.moments(scale * frames))(scale * frames)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0 if np.log2(scale) % 1 == 0 else 1e-5)


@pytest.mark.parametrize("kind", [w.whitening, w.standardising])
def test_what_is_left_of_a_zero_beside_wide_features_is_constant(
    kind: Callable[[w.Moments], w.Whitening],
):
    """Even where it goes with another feature: it is left as it is and takes no part in the rotation."""
    frames = _frames()
    frames = np.column_stack([1e15 * frames, 1e-13 * frames[:, 0]])
    transform = kind(w.moments(frames))
    assert transform.transform[4].tolist() == [0.0, 0.0, 0.0, 0.0, pytest.approx(1.0, abs=1e-6)]
    assert transform.transform[:, 4].tolist()[:4] == [0.0] * 4
    np.testing.assert_allclose(transform(frames)[:, :4].std(0), 1.0, atol=1e-3)


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_frames_than_features_stay_finite(n: int):
    frames = _frames(n)
    assert np.isfinite(w.whitening(w.moments(frames))(frames)).all()


def test_log_det_is_the_change_of_volume():
    """Of a parallelepiped of differences, measured through the transform itself."""
    frames = _frames() * [1, 10, 0.1, 3]
    transform = w.whitening(w.moments(frames))
    corners = np.vstack([np.zeros(4), np.eye(4)])
    moved = (corners - transform.mean) @ transform.transform
    sides = moved[1:] - moved[0]
    assert transform.log_det == pytest.approx(np.log(abs(np.linalg.det(sides))), abs=1e-9)


@pytest.mark.parametrize("scales", [[1, 1, 1, 1], [1e-9, 1, 1e9, 1e4]])
def test_standardising_gives_unit_variances_and_leaves_correlations(scales: list[float]):
    frames = _frames() * scales
    standard = w.standardising(w.moments(frames))(frames)
    np.testing.assert_allclose(standard.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(standard.T, bias=True), np.corrcoef(frames.T), atol=1e-5)


def test_standardising_moves_each_feature_by_itself():
    frames = _frames()
    transform = w.standardising(w.moments(frames))
    found = transform(np.column_stack([frames[:, 0], 0 * frames[:, 1:]]))[:, 0]
    np.testing.assert_allclose(found, (frames[:, 0] - frames[:, 0].mean()) / frames[:, 0].std(), atol=1e-5)
    assert transform.log_det == pytest.approx(-np.log(frames.std(0)).sum(), abs=1e-9)


def test_standardising_centres_a_constant_feature():
    frames = np.column_stack([_frames(), np.full(500, 1e6 / 3)])
    standard = w.standardising(w.moments(frames))(frames)
    assert np.abs(standard[:, 4]).max() < 1e-6
    np.testing.assert_allclose(standard[:, :4].std(0), 1, atol=1e-5)


@pytest.mark.parametrize("kind", [w.whitening, w.standardising])
def test_no_frames_are_refused(kind: Callable[[w.Moments], w.Whitening]):
    with pytest.raises(ValueError, match="at least one frame"):
        kind(w.moments(np.empty((0, 3))))


@pytest.mark.parametrize("diagonal", [False, True])
def test_whitened_prior_expects_a_tenth_of_the_datas_covariance(diagonal: bool):
    """E[1 / Lambda] of a Gamma and E[Lambda^-1] of a Wishart, by scipy's inverse distributions."""
    gamma, alpha0 = Concentration(2.0), Concentration(0.5, learned=False)
    prior = whitened_prior(5, gamma, alpha0, diagonal)
    scale_inv = prior.scale_inv.numpy()
    if diagonal:
        found = [stats.invgamma(prior.dof / 2, scale=one / 2).mean() for one in scale_inv]
        np.testing.assert_allclose(found, 0.1)
    else:
        found = np.asarray(stats.invwishart(prior.dof, scale_inv).mean())
        np.testing.assert_allclose(found, 0.1 * np.eye(5))
    assert (prior.gamma, prior.alpha0, prior.dim, prior.diagonal) == (gamma, alpha0, 5, diagonal)


def test_prior_without_dimensions_is_refused():
    with pytest.raises(ValueError, match="dim must be at least 1, found 0"):
        whitened_prior(0)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_concentration_out_of_its_range_is_refused(value: float):
    with pytest.raises(ValueError, match="concentration must be positive and finite"):
        Concentration(value)
