"""Normal-Wishart posteriors against sequential updates, Monte Carlo, scipy's densities and scikit-learn's mixture."""

import warnings

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import multigammaln
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture

from hdpgmm.components import normal_wishart as nw
from hdpgmm.components.prior import Prior, whitened_prior
from hdpgmm.components.statistics import Statistics, expand, pairs, zeros
from tests.hdpgmm.corpora import hard_statistics, mixture, partition_state, skewed_prior


def _posterior(dim: int = 3, n_comp: int = 4) -> tuple[Prior, Statistics, nw.NormalWishart]:
    corpus = mixture(seed=2, n_songs=4, n_comp=n_comp, dim=dim, frames=(15, 25), spread=2.0)
    state = partition_state(corpus, n_comp, skewed_prior(dim))
    return state.prior, state.stats, nw.posterior(state.prior, state.stats)


def _scale_inv(record: nw.NormalWishart) -> np.ndarray:
    return (record.chol @ record.chol.mT).numpy()


def test_posterior_equals_one_frame_at_a_time():
    """Murphy (2007) for a single observation, applied again and again: no sums of squares to cancel."""
    corpus = mixture(seed=2, n_songs=2, n_comp=1, dim=3, frames=(10, 20), spread=2.0)
    prior = skewed_prior(3)
    mean, strength, dof, scale_inv = prior.mean.numpy(), prior.strength, prior.dof, prior.scale_inv.numpy()
    for x in corpus.values.numpy():
        shift = x - mean
        scale_inv = scale_inv + strength / (strength + 1) * np.outer(shift, shift)
        mean = mean + shift / (strength + 1)
        strength, dof = strength + 1, dof + 1
    found = nw.posterior(prior, hard_statistics(corpus.values, corpus.labels, 1, [1.0]))
    np.testing.assert_allclose(found.mean[0], mean, rtol=1e-12)
    np.testing.assert_allclose(_scale_inv(found)[0], scale_inv, rtol=1e-11)
    assert (float(found.strength[0]), float(found.dof[0])) == pytest.approx((strength, dof))


def test_posterior_without_frames_is_the_prior():
    prior = skewed_prior(3)
    found = nw.posterior(prior, zeros(2, 3))
    for k in range(2):
        np.testing.assert_allclose(found.mean[k], prior.mean)
        np.testing.assert_allclose(_scale_inv(found)[k], prior.scale_inv, rtol=1e-14)
    torch.testing.assert_close(
        nw.kl_to_prior(found, prior), torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0
    )


def _draws(record: nw.NormalWishart, k: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(mu, Lambda) drawn by scipy from component k."""
    rng = np.random.default_rng(k)
    precision = stats.wishart(float(record.dof[k]), np.linalg.inv(_scale_inv(record)[k])).rvs(
        n, random_state=rng
    )
    root = np.linalg.cholesky(np.linalg.inv(float(record.strength[k]) * precision))
    mu = record.mean[k].numpy() + np.einsum("sij,sj->si", root, rng.normal(size=(n, record.dim)))
    return mu, precision


def test_expectations_equal_monte_carlo():
    """E[log |Lambda|] and E[log N(x | mu, Lambda^-1)] within 4.5 standard errors of 20,000 draws."""
    _, _, record = _posterior()
    frames = record.mean[0] + torch.tensor(np.random.default_rng(0).normal(size=(5, 3)))
    found = expand(frames).T @ nw.log_density_coefficients(record)
    for k in (0, 2):
        mu, precision = _draws(record, k, 20_000)
        log_det = np.linalg.slogdet(precision)[1]
        assert abs(float(nw.expected_log_det(record)[k]) - log_det.mean()) < 4.5 * log_det.std() / np.sqrt(
            20_000
        )
        for n, x in enumerate(frames.numpy()):
            quadratic = np.einsum("si,sij,sj->s", x - mu, precision, x - mu)
            logs = 0.5 * (log_det - 3 * np.log(2 * np.pi) - quadratic)
            assert abs(float(found[n, k]) - logs.mean()) < 4.5 * logs.std() / np.sqrt(20_000)


def test_peak_is_the_density_at_the_mean():
    _, _, record = _posterior()
    at_means = expand(record.mean).T @ nw.log_density_coefficients(record)
    torch.testing.assert_close(torch.diagonal(at_means), nw.peak_log_density(record))


def test_log_normaliser_equals_scipys_densities():
    """log Z = natural terms - log density, with the density of scipy's Wishart and Gaussian at an arbitrary point."""
    _, _, record = _posterior()
    mu, precision = np.array([0.3, -0.2, 0.1]), np.diag([1.2, 0.4, 0.9]) + 0.1
    for k in range(4):
        dof, strength, scale_inv = float(record.dof[k]), float(record.strength[k]), _scale_inv(record)[k]
        mean = record.mean[k].numpy()
        density = stats.wishart(dof, np.linalg.inv(scale_inv)).logpdf(precision)
        density += stats.multivariate_normal(mean, np.linalg.inv(strength * precision)).logpdf(mu)
        quadratic = strength * (mu - mean) @ precision @ (mu - mean)
        natural = 0.5 * (
            (dof - 3) * np.linalg.slogdet(precision)[1] - quadratic - np.sum(scale_inv * precision)
        )
        assert float(nw.log_normaliser(record)[k]) == pytest.approx(natural - density, abs=1e-9)


def test_kl_equals_monte_carlo_of_scipys_densities():
    """From a posterior near the prior, where 4,000 draws pin the divergence to about a hundredth of a nat."""
    prior, statistics, _ = _posterior(dim=2)
    record = nw.posterior(prior, statistics.scaled(0.2))
    start = nw.prior_record(prior)
    for k in (0, 3):
        mu, precision = _draws(record, k, 4_000)
        ratio = np.zeros(4_000)
        for sign, owner, i in ((1, record, k), (-1, start, 0)):
            wishart = stats.wishart(float(owner.dof[i]), np.linalg.inv(_scale_inv(owner)[i]))
            quadratic = np.einsum(
                "si,sij,sj->s", mu - owner.mean[i].numpy(), precision, mu - owner.mean[i].numpy()
            )
            gaussian = 0.5 * (2 * np.log(float(owner.strength[i])) - float(owner.strength[i]) * quadratic)
            ratio += sign * (
                _wishart_logpdf(wishart, precision) + gaussian
            )  # the shared |Lambda| of mu cancels
        error = ratio.std() / np.sqrt(len(ratio))
        assert error < 0.03
        assert abs(float(nw.kl_to_prior(record, prior)[k]) - ratio.mean()) < 4.5 * error


def _wishart_logpdf(wishart, precision: np.ndarray) -> np.ndarray:
    dim = precision.shape[-1]
    log_z = 0.5 * wishart.df * (dim * np.log(2) + np.linalg.slogdet(wishart.scale)[1])
    log_z += multigammaln(0.5 * wishart.df, dim)
    trace = np.einsum("ij,sji->s", np.linalg.inv(wishart.scale), precision)
    return 0.5 * (wishart.df - dim - 1) * np.linalg.slogdet(precision)[1] - 0.5 * trace - log_z


@pytest.mark.parametrize("dim", [1, 3])
def test_predictive_is_scipys_student_t(dim: int):
    _, _, record = _posterior(dim=dim)
    frames = torch.tensor(np.random.default_rng(0).normal(scale=4.0, size=(6, dim)))
    log_lik = expand(frames).T @ nw.log_density_coefficients(record)
    found = nw.predictive(record).log_density(frames, log_lik)
    for k in range(4):
        dof, strength = float(record.dof[k]) + 1 - dim, float(record.strength[k])
        shape = _scale_inv(record)[k] * (1 + strength) / (strength * dof)
        expected = stats.multivariate_t(record.mean[k].numpy(), shape, dof).logpdf(frames.numpy())
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-9)


def test_predictive_does_not_exceed_its_peak():
    """float32 can put E[log p] a little above its maximum; the quadratic form is then zero, not negative."""
    _, _, record = _posterior()
    predictive = nw.predictive(record)
    peak = nw.peak_log_density(record)
    torch.testing.assert_close(
        predictive.log_density(record.mean, peak + 0.1), predictive.log_density(record.mean, peak)
    )


def test_an_indefinite_scatter_is_lifted_to_the_prior():
    """Where rounding made the scatter negative in one direction, that eigenvalue alone becomes the prior's."""
    prior = whitened_prior(3)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    broken = torch.tensor(turn @ np.diag([50.0, 7.0, -3.0]) @ turn.T)
    healthy = 40.0 * torch.eye(3, dtype=torch.float64)
    statistics = Statistics(
        torch.full((2,), 30.0, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.float64),
        torch.stack([broken, healthy]), torch.ones(2, dtype=torch.float64), torch.zeros(2),
    )  # fmt: skip
    found = _scale_inv(nw.posterior(prior, statistics))
    np.testing.assert_allclose(np.linalg.eigvalsh(found[0]), [0.1, 7.1, 50.1], rtol=1e-10)
    np.testing.assert_allclose(found[1], 40.1 * np.eye(3), rtol=1e-12)


@pytest.mark.parametrize(
    ("offset", "scale"), [(0, 1e-6), (5, 1), (5e6, 1e6), (5e9, 1e9), (1e3, 1), (1e6, 1), (1e9, 1)]
)
def test_no_scale_of_the_frames_breaks_the_posterior(offset: float, scale: float):
    """float32 sums of frames of any scale, far from the origin and nearly flat: everything stays finite."""
    rng = np.random.default_rng(4)
    frames = torch.tensor(
        offset + scale * rng.normal(size=(300, 4)) * [1, 1e-3, 1e-5, 0], dtype=torch.float32
    )
    expanded = expand(frames).T
    sums = (torch.ones(1, len(frames)) @ expanded).double()
    rows, cols = pairs(4)
    second = torch.zeros(1, 4, 4, dtype=torch.float64)
    second[:, rows, cols] = second[:, cols, rows] = sums[:, :10]
    statistics = Statistics(
        sums[:, -1], sums[:, 10:14], second, torch.ones(1, dtype=torch.float64), torch.zeros(2)
    )
    prior = whitened_prior(4)
    record = nw.posterior(prior, statistics)
    for values in (record.chol, nw.log_density_coefficients(record), nw.log_normaliser(record)):
        assert bool(torch.isfinite(values).all())
    assert bool(torch.isfinite(nw.kl_to_prior(record, prior)).all())


def _scikit_learn(frames: np.ndarray, prior: Prior, iterations: int) -> BayesianGaussianMixture:
    """A Dirichlet-process mixture of 6 components with our prior, stopped early."""
    model = BayesianGaussianMixture(
        n_components=6, weight_concentration_prior=0.9, mean_precision_prior=prior.strength,
        mean_prior=prior.mean.numpy(), degrees_of_freedom_prior=prior.dof, covariance_prior=prior.scale_inv.numpy(),
        reg_covar=0.0, tol=0.0, max_iter=iterations, random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(frames)


@pytest.fixture(scope="module")
def overlapping() -> np.ndarray:
    """240 frames of three overlapping clusters."""
    return mixture(seed=8, n_songs=8, n_comp=3, dim=2, frames=(30, 30), spread=3.0).values.numpy()


def _own(frames: np.ndarray, resp: np.ndarray, prior: Prior) -> nw.NormalWishart:
    return nw.posterior(
        prior,
        Statistics(
            torch.tensor(resp.sum(0)),
            torch.tensor(resp.T @ frames),
            torch.tensor(np.einsum("nk,ni,nj->kij", resp, frames, frames)),
            torch.zeros(resp.shape[1], dtype=torch.float64),
            torch.zeros(2),
        ),
    )


def test_posterior_is_scikit_learns(overlapping: np.ndarray):
    """Its parameters after n + 1 iterations are the update to its responsibilities after n."""
    prior = skewed_prior(2)
    record = _own(overlapping, _scikit_learn(overlapping, prior, 10).predict_proba(overlapping), prior)
    model = _scikit_learn(overlapping, prior, 11)
    np.testing.assert_allclose(record.mean, model.means_, rtol=1e-9)
    np.testing.assert_allclose(record.strength, model.mean_precision_, rtol=1e-9)
    np.testing.assert_allclose(record.dof, model.degrees_of_freedom_, rtol=1e-9)
    covariance = _scale_inv(record) / record.dof[:, None, None].numpy()
    np.testing.assert_allclose(covariance, model.covariances_, rtol=1e-8)


def test_densities_give_scikit_learns_responsibilities(overlapping: np.ndarray):
    """With its own parameters and stick weights, softmax(t(x) Theta + E[log weight]) is its predict_proba."""
    model = _scikit_learn(overlapping, skewed_prior(2), 10)
    scale_inv = torch.tensor(model.covariances_ * model.degrees_of_freedom_[:, None, None])
    record = nw.NormalWishart(
        torch.tensor(model.means_), torch.tensor(model.mean_precision_),
        torch.tensor(model.degrees_of_freedom_), torch.linalg.cholesky(scale_inv),
    )  # fmt: skip
    a, b = (torch.tensor(part) for part in model.weight_concentration_)
    log_rest = torch.digamma(b) - torch.digamma(a + b)
    log_weight = torch.digamma(a) - torch.digamma(a + b) + log_rest.cumsum(0) - log_rest
    scores = expand(torch.tensor(overlapping)).T @ nw.log_density_coefficients(record) + log_weight
    np.testing.assert_allclose(torch.softmax(scores, 1), model.predict_proba(overlapping), atol=1e-10)


def test_expected_covariance_is_the_mean_of_draws():
    """E[Lambda^-1] within 2 % of 20,000 draws."""
    _, _, record = _posterior()
    _, precision = _draws(record, 0, 20_000)
    drawn = np.linalg.inv(precision).mean(0)
    np.testing.assert_allclose(nw.expected_covariance(record)[0], drawn, atol=0.02 * np.abs(drawn).max())


def test_expected_moments_are_those_of_the_expected_gaussian():
    """t(x) averaged over draws of Normal(mean, (dof W)^-1)."""
    _, _, record = _posterior()
    covariance = _scale_inv(record)[1] / float(record.dof[1])
    draws = np.random.default_rng(1).multivariate_normal(record.mean[1].numpy(), covariance, size=200_000)
    drawn = expand(torch.tensor(draws)).mean(1)
    torch.testing.assert_close(nw.expected_moments(record)[1], drawn, atol=0.05, rtol=0.02)
