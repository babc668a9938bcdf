"""Normal-gamma posteriors against sequential updates, quadrature, scipy's densities, scikit-learn and dimension one."""

import warnings

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture
from torch import Tensor

from hdpgmm.components import normal_gamma as ng
from hdpgmm.components import normal_wishart as nw
from hdpgmm.components.prior import Prior
from hdpgmm.components.statistics import Statistics, expand, zeros

DIM = 3


def _prior(dim: int = DIM) -> Prior:
    """A prior in which no number is a round one that hides a mistake, and no two dimensions agree."""
    return Prior(
        mean=torch.linspace(-0.3, 0.4, dim, dtype=torch.float64),
        strength=0.6,
        dof=2.7,
        scale_inv=torch.linspace(0.5, 1.3, dim, dtype=torch.float64),
    )


def _frames(n: int, dim: int = DIM, seed: int = 0) -> Tensor:
    """(n, dim) Gaussian frames with means and spreads that differ by dimension."""
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(np.linspace(-1, 2, dim), np.linspace(0.4, 2.5, dim), (n, dim)))


def _statistics(frames: Tensor, resp: Tensor) -> Statistics:
    """Sums over (frame, dim) frames with (frame, comp) responsibilities."""
    return Statistics(
        resp.sum(0), resp.T @ frames, resp.T @ frames**2, torch.zeros(resp.shape[1]), torch.zeros(2)
    )


def _one(frames: Tensor) -> Statistics:
    """Statistics of a single component that owns all frames."""
    return _statistics(frames, torch.ones(len(frames), 1, dtype=torch.float64))


def _posterior(dim: int = DIM, n_comp: int = 4, n_frames: int = 40) -> ng.NormalGamma:
    """Posteriors of soft components, from a fifth of a frame to more than twenty."""
    weights = np.random.default_rng(1).dirichlet([0.05, 0.5, 1.0, 3.0][:n_comp], n_frames)
    return ng.posterior(_prior(dim), _statistics(_frames(n_frames, dim), torch.tensor(weights)))


def _quadrature(record: ng.NormalGamma, k: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mu, Lambda, weight) with sum(weight f(mu, Lambda)) = E[f] under dimension d of component k.

    The trapezoid rule in log Lambda, where scipy's gamma density decays doubly exponentially to the right, and
    Gauss-Hermite nodes for the mean, exact for the quadratics asked of it.
    """
    log_precision, step = np.linspace(-60, 12, 20_001, retstep=True)
    precision = np.exp(log_precision)[:, None]
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    mu = float(record.mean[k, d]) + nodes / np.sqrt(float(record.strength[k]) * precision)
    density = stats.gamma.pdf(precision, float(record.dof[k]) / 2, scale=2 / float(record.scale_inv[k, d]))
    mass = density * precision * step * weights / weights.sum()
    return mu, np.broadcast_to(precision, mu.shape), mass


def _log_density(record: ng.NormalGamma, k: int, d: int, mu: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """scipy's log p(mu_d, Lambda_d) of component k."""
    log_gamma = stats.gamma.logpdf(
        precision, float(record.dof[k]) / 2, scale=2 / float(record.scale_inv[k, d])
    )
    spread = 1 / np.sqrt(float(record.strength[k]) * precision)
    return log_gamma + stats.norm.logpdf(mu, float(record.mean[k, d]), spread)


def test_posterior_equals_one_frame_at_a_time():
    """Murphy (2007) for a single observation, applied again and again: no sums of squares to cancel."""
    prior, frames = _prior(), _frames(25)
    mean, strength, dof, scale_inv = prior.mean.numpy(), prior.strength, prior.dof, prior.scale_inv.numpy()
    for x in frames.numpy():
        scale_inv = scale_inv + strength / (strength + 1) * (x - mean) ** 2
        mean = mean + (x - mean) / (strength + 1)
        strength, dof = strength + 1, dof + 1
    found = ng.posterior(prior, _one(frames))
    np.testing.assert_allclose(found.mean[0], mean, rtol=1e-12)
    np.testing.assert_allclose(found.scale_inv[0], scale_inv, rtol=1e-12)
    assert (float(found.strength[0]), float(found.dof[0])) == pytest.approx((strength, dof))


def test_posterior_without_frames_is_the_prior_to_the_last_bit():
    """Components without data must add exactly nothing to the bound."""
    prior = _prior()
    found = ng.posterior(prior, zeros(2, DIM, diagonal=True))
    start = ng.prior_record(prior)
    for k in range(2):
        for name in ("mean", "strength", "dof", "scale_inv"):
            assert torch.equal(getattr(found, name)[k], getattr(start, name)[0]), name
    assert ng.kl_to_prior(found, prior).tolist() == [0.0, 0.0]


def test_expectations_equal_quadrature():
    """E[log |Lambda|], E[log N(x | mu, Lambda^-1)] and E[Lambda^-1], dimension by dimension with scipy's densities."""
    record = _posterior()
    frames = _frames(5, seed=3)
    log_lik = expand(frames, diagonal=True).T @ ng.log_density_coefficients(record)
    for k in range(4):
        log_det, covariance, logs = 0.0, np.zeros(DIM), np.zeros(5)
        for d in range(DIM):
            mu, precision, mass = _quadrature(record, k, d)
            assert mass.sum() == pytest.approx(1, abs=1e-10)
            log_det += (mass * np.log(precision)).sum()
            covariance[d] = (mass / precision).sum()
            for n, x in enumerate(frames[:, d].tolist()):
                logs[n] += (mass * stats.norm.logpdf(x, mu, 1 / np.sqrt(precision))).sum()
        assert float(ng.expected_log_det(record)[k]) == pytest.approx(log_det, abs=1e-8)
        np.testing.assert_allclose(log_lik[:, k], logs, rtol=1e-8)
        np.testing.assert_allclose(ng.expected_covariance(record)[k], covariance, rtol=1e-6)


def test_expected_covariance_is_infinite_without_enough_freedom():
    """Lambda ~ Gamma(dof / 2, .) has E[1 / Lambda] = infinity up to dof = 2."""
    one = torch.ones(3, dtype=torch.float64)
    dof = torch.tensor([1.5, 2.0, 4.0], dtype=torch.float64)
    record = ng.NormalGamma(torch.zeros_like(one)[:, None], one, dof, one[:, None])
    assert ng.expected_covariance(record)[:, 0].tolist() == [np.inf, np.inf, 0.5]


def test_expected_moments_equal_those_of_scipys_gaussians():
    """With the expected precision dof / scale_inv; in the row order of `expand`."""
    record = _posterior()
    found = ng.expected_moments(record)
    for k in range(4):
        spread = np.sqrt(record.scale_inv[k].numpy() / float(record.dof[k]))
        gaussians = stats.norm(record.mean[k].numpy(), spread)
        np.testing.assert_allclose(found[k], [*gaussians.moment(2), *gaussians.mean(), 1.0], rtol=1e-12)


def test_peak_is_the_density_at_the_mean():
    record = _posterior()
    at_means = expand(record.mean, diagonal=True).T @ ng.log_density_coefficients(record)
    torch.testing.assert_close(torch.diagonal(at_means), ng.peak_log_density(record))


def test_log_normaliser_equals_scipys_densities():
    """log Z = natural terms - log density, at an arbitrary point."""
    record = _posterior()
    mu, precision = np.array([0.3, -0.2, 0.1]), np.array([1.2, 0.4, 2.9])
    for k in range(4):
        log_z = 0.0
        for d in range(DIM):
            quadratic = float(record.strength[k]) * precision[d] * (mu[d] - float(record.mean[k, d])) ** 2
            natural = (float(record.dof[k]) - 1) * np.log(precision[d]) - quadratic
            natural -= float(record.scale_inv[k, d]) * precision[d]
            log_z += 0.5 * natural - _log_density(record, k, d, mu[d], precision[d])
        assert float(ng.log_normaliser(record)[k]) == pytest.approx(log_z, abs=1e-10)


def test_kl_equals_quadrature():
    prior, record = _prior(), _posterior()
    start = ng.prior_record(prior)
    for k in range(4):
        divergence = 0.0
        for d in range(DIM):
            mu, precision, mass = _quadrature(record, k, d)
            here = mass > 0
            ratio = _log_density(record, k, d, mu, precision) - _log_density(start, 0, d, mu, precision)
            divergence += (mass[here] * ratio[here]).sum()
        assert float(ng.kl_to_prior(record, prior)[k]) == pytest.approx(divergence, rel=1e-8)


@pytest.mark.parametrize("dim", [1, 3])
def test_predictive_is_scipys_student_t(dim: int):
    record = _posterior(dim=dim)
    frames = 4.0 * _frames(6, dim, seed=5)
    found = ng.predictive(record).log_density(frames, torch.full((6, 4), torch.nan))
    assert found.dtype == torch.float64
    for k in range(4):
        dof, strength = float(record.dof[k]), float(record.strength[k])
        spread = np.sqrt(record.scale_inv[k].numpy() * (1 + strength) / (strength * dof))
        expected = stats.t.logpdf(frames.numpy(), dof, record.mean[k].numpy(), spread).sum(1)
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-10)


def test_predictive_of_padded_songs_is_that_of_their_frames():
    """(song, frame, dim) values, as the padded groups hold them, and float32: still float64 densities."""
    predictive = ng.predictive(_posterior())
    frames = _frames(12, seed=5).float()
    flat = predictive.log_density(frames.double(), torch.zeros(12, 4))
    torch.testing.assert_close(
        predictive.log_density(frames.reshape(3, 4, DIM), torch.zeros(3, 4, 4)).reshape(12, 4), flat
    )


def test_predictives_in_sequence_multiply_to_the_evidence():
    """prod_n p(x_n | x_1 .. x_n-1) = Z(posterior) / Z(prior) / (2 pi)^(n dim / 2)."""
    prior, frames = _prior(), _frames(30)
    unread = torch.zeros(1, 1)
    chain = sum(
        float(ng.predictive(ng.posterior(prior, _one(frames[:n]))).log_density(frames[n : n + 1], unread))
        for n in range(30)
    )
    log_ratio = ng.log_normaliser(ng.posterior(prior, _one(frames))) - ng.log_normaliser(
        ng.prior_record(prior)
    )
    assert chain == pytest.approx(float(log_ratio) - 0.5 * 30 * DIM * np.log(2 * np.pi), rel=1e-12)


def test_one_dimension_is_the_normal_wishart():
    """There the two families are one, though not a line of code is shared."""
    prior = _prior(1)
    full = Prior(mean=prior.mean, strength=prior.strength, dof=prior.dof, scale_inv=prior.scale_inv[:, None])
    weights = np.random.default_rng(1).dirichlet([0.3, 1.0, 3.0], 40)
    diagonal_stats = _statistics(_frames(40, 1), torch.tensor(weights))
    full_stats = Statistics(
        diagonal_stats.count, diagonal_stats.first, diagonal_stats.second[:, :, None],
        diagonal_stats.atoms, diagonal_stats.sticks,
    )  # fmt: skip
    own, other = ng.posterior(prior, diagonal_stats), nw.posterior(full, full_stats)
    torch.testing.assert_close(own.mean, other.mean)
    torch.testing.assert_close(own.scale_inv[:, :, None], other.chol @ other.chol.mT)
    torch.testing.assert_close(ng.kl_to_prior(own, prior), nw.kl_to_prior(other, full))
    for name in ("expected_log_det", "peak_log_density", "log_density_coefficients", "log_normaliser"):
        torch.testing.assert_close(getattr(ng, name)(own), getattr(nw, name)(other))
        torch.testing.assert_close(
            getattr(ng, name)(ng.prior_record(prior)), getattr(nw, name)(nw.prior_record(full))
        )
    torch.testing.assert_close(ng.expected_covariance(own)[:, :, None], nw.expected_covariance(other))
    torch.testing.assert_close(ng.expected_moments(own), nw.expected_moments(other))
    frames = _frames(7, 1, seed=3)
    log_lik = expand(frames).T @ nw.log_density_coefficients(other)
    torch.testing.assert_close(
        ng.predictive(own).log_density(frames, log_lik), nw.predictive(other).log_density(frames, log_lik)
    )


def test_a_negative_scatter_is_lifted_to_what_rounding_leaves():
    """Where rounding made the scatter negative in one dimension, it alone has a millionth of its second moment."""
    prior = _prior()
    frames = _frames(30)
    healthy = _one(frames)
    second = healthy.second.clone()
    second[0, 1] = healthy.first[0, 1] ** 2 / 30 - 5.0
    broken = Statistics(healthy.count, healthy.first, second, healthy.atoms, healthy.sticks)
    found = ng.posterior(prior, broken).scale_inv[0]
    moment = second[0, 1] - 2 * prior.mean[1] * healthy.first[0, 1] + 30 * prior.mean[1] ** 2
    assert moment > 0
    assert float(found[1]) == pytest.approx(float(prior.scale_inv[1] + 1e-6 * moment), rel=1e-12)
    torch.testing.assert_close(found[[0, 2]], ng.posterior(prior, healthy).scale_inv[0, [0, 2]])


def _assert_finite(record: ng.NormalGamma, prior: Prior, frames: Tensor) -> None:
    assert bool((record.scale_inv >= prior.scale_inv).all())
    log_density = ng.predictive(record).log_density(frames, torch.zeros(len(frames), 1))
    for values in (
        record.mean, record.scale_inv, ng.log_density_coefficients(record), ng.log_normaliser(record),
        ng.kl_to_prior(record, prior), ng.expected_covariance(record), log_density,
    ):  # fmt: skip
        assert bool(torch.isfinite(values).all())
    assert bool((ng.kl_to_prior(record, prior) >= -1e-9).all())


@pytest.mark.parametrize(
    ("offset", "scale"), [(0, 1e-6), (5, 1), (0, 1e6), (5e6, 1e6), (5e9, 1e9), (1e3, 1), (1e6, 1), (1e9, 1)]
)
def test_no_scale_of_the_frames_breaks_the_posterior(offset: float, scale: float):
    """float32 sums of frames of any scale, far from the origin, nearly flat or constant: everything stays finite."""
    noise = np.random.default_rng(4).normal(size=(300, 4)) * [1, 1e-3, 1e-5, 0]
    frames = torch.tensor(offset + scale * noise, dtype=torch.float32)
    sums = (expand(frames, diagonal=True) @ torch.ones(300, 1)).T.double()
    statistics = Statistics(sums[:, -1], sums[:, 4:8], sums[:, :4], torch.zeros(1), torch.zeros(2))
    prior = _prior(4)
    _assert_finite(ng.posterior(prior, statistics), prior, frames)


@pytest.mark.parametrize("count", [1e-300, 1e-30, 1e-8])
def test_a_trace_of_a_frame_barely_moves_the_prior(count: float):
    """Parameters move in proportion to the count, the divergence by its square; beyond that, float64 rounding."""
    prior, frames = _prior(), _frames(20)
    trace = _one(frames).scaled(count)
    record = ng.posterior(prior, trace)
    _assert_finite(record, prior, frames)
    start = ng.prior_record(prior)
    for name in ("mean", "strength", "dof", "scale_inv"):
        torch.testing.assert_close(
            getattr(record, name), getattr(start, name), rtol=1e3 * count + 1e-15, atol=0
        )
    assert float(ng.kl_to_prior(record, prior)) == pytest.approx(0, abs=(1e3 * count) ** 2 + 1e-14)


def test_posterior_is_scikit_learns():
    """Its parameters after n + 1 iterations are the update to its responsibilities after n."""
    prior = _prior(2)
    frames = torch.cat([_frames(80, 2), _frames(80, 2, seed=1) + 3.0, -_frames(80, 2, seed=2) * 2.0]).numpy()

    def fit(iterations: int) -> BayesianGaussianMixture:
        model = BayesianGaussianMixture(
            n_components=6, covariance_type="diag", mean_precision_prior=prior.strength, mean_prior=prior.mean.numpy(),
            degrees_of_freedom_prior=prior.dof, covariance_prior=prior.scale_inv.numpy(),
            reg_covar=0.0, tol=0.0, max_iter=iterations, random_state=0,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(frames)

    resp = torch.tensor(fit(10).predict_proba(frames))
    record = ng.posterior(prior, _statistics(torch.tensor(frames), resp))
    model = fit(11)
    np.testing.assert_allclose(record.mean, model.means_, rtol=1e-9)
    np.testing.assert_allclose(record.strength, model.mean_precision_, rtol=1e-9)
    np.testing.assert_allclose(record.dof, model.degrees_of_freedom_, rtol=1e-9)
    np.testing.assert_allclose(record.scale_inv / record.dof[:, None], model.covariances_, rtol=1e-8)
