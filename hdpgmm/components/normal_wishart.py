"""Normal-Wishart posteriors of all components at once (Bishop 2006, section 10.2 and appendix B), in float64."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hdpgmm.components.prior import ROUNDING, Prior, Spread
from hdpgmm.components.statistics import Statistics, pairs


@dataclass(frozen=True)
class NormalWishart:
    """q(mu_k, Lambda_k) = Normal(mu | mean, (strength Lambda)^-1) Wishart(Lambda | dof, W), with W^-1 = chol chol^T.

    mean (comp, dim), strength (comp,), dof (comp,), chol (comp, dim, dim) lower triangular.
    """

    mean: Tensor
    strength: Tensor
    dof: Tensor
    chol: Tensor

    @property
    def dim(self) -> int:
        return self.mean.shape[-1]


def posterior(prior: Prior, stats: Statistics) -> NormalWishart:
    """Conjugate update (Bishop 10.60-10.63) from statistics already scaled to the corpus.

    Each frame counts as 1 / prior.dependence of one, and has unit variance where all are constant. A variance that is
    but the float32 rounding of the second moment counts as that much.
    """
    device = stats.count.device
    mean0 = prior.mean.to(device)
    count, first, second = (part / prior.dependence for part in (stats.count, stats.first, stats.second))
    strength = prior.strength + count
    mean = (prior.strength * mean0 + first) / strength[:, None]
    scatter = second + prior.strength * torch.outer(mean0, mean0)
    scatter = scatter - strength[:, None, None] * mean[:, :, None] * mean[:, None, :]
    own, raw = (part.diagonal(dim1=1, dim2=2) for part in (scatter, second))
    lifted = torch.where(raw > 0.0, (ROUNDING * raw - own).clamp(min=0.0), 0.0)
    lifted = lifted + prior.scatter_of_constants(count)
    scale_inv = prior.scale_inv.to(device) + 0.5 * (scatter + scatter.mT) + torch.diag_embed(lifted)
    return NormalWishart(mean, strength, prior.dof + count, _cholesky(scale_inv, prior))


def _cholesky(scale_inv: Tensor, prior: Prior) -> Tensor:
    """Cholesky factors; where float32 sums made a scatter indefinite, its eigenvalues are lifted to the prior's.

    And to 1e-12 of the largest: below that, float64 could not factor the lifted matrix either.
    """
    chol, info = torch.linalg.cholesky_ex(scale_inv)
    broken = torch.nonzero(info).flatten()
    if len(broken):
        values, vectors = torch.linalg.eigh(scale_inv[broken])
        floor = float(torch.linalg.eigvalsh(prior.scale_inv).min())
        values = torch.maximum(values, (1e-12 * values[:, -1:]).clamp(min=floor))
        chol[broken] = torch.linalg.cholesky(vectors * values[:, None, :] @ vectors.mT)
    return chol


def expected_log_det(nw: NormalWishart) -> Tensor:
    """E[log |Lambda_k|], (comp,) (Bishop B.81)."""
    i = torch.arange(nw.dim, dtype=torch.float64, device=nw.dof.device)
    digammas = torch.digamma(0.5 * (nw.dof[:, None] - i)).sum(-1)
    return digammas + nw.dim * math.log(2.0) - log_det(nw.chol)


def log_det(chol: Tensor) -> Tensor:
    """log |A| of A = chol chol^T, batched."""
    return 2.0 * torch.diagonal(chol, dim1=-2, dim2=-1).log().sum(-1)


def peak_log_density(nw: NormalWishart) -> Tensor:
    """E[log p(x | mu_k, Lambda_k)] at x = mean, its maximum, (comp,)."""
    return 0.5 * (expected_log_det(nw) - nw.dim * math.log(2.0 * math.pi) - nw.dim / nw.strength)


def log_density_coefficients(nw: NormalWishart) -> Tensor:
    """Theta, (expanded_size, comp), with E[log p(x | mu_k, Lambda_k)] = t(x) Theta[:, k] (Bishop 10.64, 10.67)."""
    dim = nw.dim
    precision = nw.dof[:, None, None] * torch.cholesky_inverse(nw.chol)
    linear = (precision @ nw.mean[:, :, None])[:, :, 0]
    constant = peak_log_density(nw) - 0.5 * (linear * nw.mean).sum(-1)
    rows, cols = pairs(dim, nw.mean.device)
    pair_weight = torch.where(rows == cols, 0.5, 1.0).to(precision)
    quadratic = -precision[:, rows, cols] * pair_weight
    return torch.cat([quadratic, linear, constant[:, None]], dim=1).T.contiguous()


def log_normaliser(nw: NormalWishart) -> Tensor:
    """log Z of each normal-Wishart, (comp,), such that its density is exp(natural terms - log Z)."""
    dim = nw.dim
    return (
        0.5 * dim * (math.log(2.0 * math.pi) - nw.strength.log())
        + 0.5 * nw.dof * (dim * math.log(2.0) - log_det(nw.chol))
        + torch.special.multigammaln(0.5 * nw.dof, dim)
    )


def expected_covariance(nw: NormalWishart) -> Tensor:
    """E[Lambda_k^-1] = W^-1 / (dof - dim - 1), (comp, dim, dim); it needs dof > dim + 1."""
    return nw.chol @ nw.chol.mT / (nw.dof - nw.dim - 1.0)[:, None, None]


def expected_moments(nw: NormalWishart) -> Tensor:
    """t(x) of the Gaussian with mean m_k and precision dof W, averaged over it, (comp, expanded_size)."""
    second = nw.chol @ nw.chol.mT / nw.dof[:, None, None] + nw.mean[:, :, None] * nw.mean[:, None, :]
    rows, cols = pairs(nw.dim, nw.mean.device)
    return torch.cat([second[:, rows, cols], nw.mean, torch.ones_like(nw.mean[:, :1])], dim=1)


def prior_record(prior: Prior, device: torch.device | str = "cpu") -> NormalWishart:
    """The prior as a NormalWishart of one component."""
    one = torch.ones(1, dtype=torch.float64, device=device)
    chol = torch.linalg.cholesky(prior.scale_inv.to(device))[None]
    return NormalWishart(prior.mean.to(device)[None], prior.strength * one, prior.dof * one, chol)


def kl_to_prior(nw: NormalWishart, prior: Prior) -> Tensor:
    """KL(q(mu_k, Lambda_k) || prior), (comp,).

    Both are one exponential family, so KL = <natural difference, expected statistics> + log Z(prior) - log Z(q).
    """
    dim = nw.dim
    device = nw.mean.device
    precision = nw.dof[:, None, None] * torch.cholesky_inverse(nw.chol)
    mean0, scale0 = prior.mean.to(device), prior.scale_inv.to(device)
    shift = nw.mean - mean0
    quad = (shift[:, None, :] @ precision @ shift[:, :, None])[:, 0, 0]
    expected_prior_term = (
        0.5 * (prior.dof - dim) * expected_log_det(nw)
        - 0.5 * prior.strength * (dim / nw.strength + quad)
        - 0.5 * (precision * scale0).sum((-2, -1))
    )
    expected_own_term = 0.5 * (nw.dof - dim) * expected_log_det(nw) - 0.5 * dim - 0.5 * nw.dof * dim
    return (
        expected_own_term
        - log_normaliser(nw)
        - expected_prior_term
        + log_normaliser(prior_record(prior, device))
    )


def spread(nw: NormalWishart, prior: Prior) -> Spread:
    """What these components say of their prior."""
    precision = nw.dof[:, None, None] * torch.cholesky_inverse(nw.chol)
    shift = nw.mean - prior.mean.to(nw.mean.device)
    distance = nw.dim / nw.strength + (shift[:, None, :] @ precision @ shift[:, :, None])[:, 0, 0]
    trace = torch.diagonal(precision, dim1=-2, dim2=-1).sum()
    sums = torch.stack([expected_log_det(nw).sum(), trace, distance.sum()])
    return Spread(len(nw.dof), *sums.tolist())


@dataclass(frozen=True)
class Predictive:
    """Student-t posterior predictive as a function of E[log p(x | phi_k)], which already holds the quadratic form.

    log p(x | data, k) = constant_k - power_k log(1 + slope_k q), q = 2 (peak_k - E[log p(x | phi_k)]) >= 0
    (Bishop 10.81). All (comp,) float64.
    """

    constant: Tensor
    power: Tensor
    slope: Tensor
    peak: Tensor

    def log_density(self, values: Tensor, log_lik: Tensor) -> Tensor:
        """(..., comp) E[log p(x_n | phi_k)] -> (..., comp) log p(x_n | data, k), float64 nats.

        The frames themselves, `values` (..., dim), are needed by diagonal covariances alone.
        """
        quadratic = 2.0 * (self.peak - log_lik.double()).clamp(min=0.0)
        return self.constant - self.power * torch.log1p(self.slope * quadratic)


def predictive(nw: NormalWishart) -> Predictive:
    """Coefficients of the posterior predictive of each component."""
    dim = nw.dim
    dof = nw.dof + 1.0 - dim
    factor = nw.strength * dof / (1.0 + nw.strength)
    constant = (
        torch.lgamma(0.5 * (dof + dim))
        - torch.lgamma(0.5 * dof)
        - 0.5 * dim * (dof * math.pi).log()
        + 0.5 * (dim * factor.log() - log_det(nw.chol))
    )
    return Predictive(constant, 0.5 * (dof + dim), factor / (dof * nw.dof), peak_log_density(nw))
