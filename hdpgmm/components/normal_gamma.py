"""Normal-gamma posteriors of all components at once: diagonal covariances, in float64.

Every dimension is a one-dimensional normal-Wishart (Bishop 2006, section 2.3.6; Murphy 2007, section 3), so a component
costs O(dim) where `normal_wishart` costs O(dim^2). The functions are those of `normal_wishart`, by the same names.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hdpgmm.components.prior import ROUNDING, Prior, Spread
from hdpgmm.components.statistics import Statistics


@dataclass(frozen=True)
class NormalGamma:
    """q(mu_k, Lambda_k) = prod_d Normal(mu_d | mean_d, (strength Lambda_d)^-1) Gamma(Lambda_d | dof/2, scale_inv_d/2).

    The gamma's second parameter is a rate. mean (comp, dim), strength (comp,), dof (comp,), scale_inv (comp, dim).
    """

    mean: Tensor
    strength: Tensor
    dof: Tensor
    scale_inv: Tensor

    @property
    def dim(self) -> int:
        return self.mean.shape[-1]


def posterior(prior: Prior, stats: Statistics) -> NormalGamma:
    """Conjugate update (Murphy 2007, section 3.3) from statistics already scaled to the corpus.

    `stats.second` is (comp, dim), the sums of r x^2. With moments taken about the prior's mean, statistics of no data
    give the prior to the last bit. A scatter that is but the float32 rounding of the second moment, negative ones too,
    counts as that much. Each frame counts as 1 / prior.dependence of one, and has unit variance where all are constant.
    """
    device = stats.count.device
    mean0 = prior.mean.to(device)
    count, first, second = (part / prior.dependence for part in (stats.count, stats.first, stats.second))
    count = count[:, None]
    strength = prior.strength + count
    second = second - 2.0 * mean0 * first + count * mean0.square()
    first = first - count * mean0
    scatter = torch.maximum(second - first.square() / strength, ROUNDING * second.clamp(min=0.0))
    scatter = scatter + prior.scatter_of_constants(count[:, 0])
    return NormalGamma(
        mean0 + first / strength,
        strength[:, 0],
        prior.dof + count[:, 0],
        prior.scale_inv.to(device) + scatter,
    )


def expected_log_det(ng: NormalGamma) -> Tensor:
    """E[log |Lambda_k|] = sum_d E[log Lambda_d], (comp,) (Bishop B.30)."""
    return ng.dim * (torch.digamma(0.5 * ng.dof) + math.log(2.0)) - ng.scale_inv.log().sum(-1)


def expected_covariance(ng: NormalGamma) -> Tensor:
    """E[1 / Lambda_d] = scale_inv_d / (dof - 2), (comp, dim); infinite where dof <= 2."""
    return ng.scale_inv / (ng.dof - 2.0).clamp(min=0.0)[:, None]


def peak_log_density(ng: NormalGamma) -> Tensor:
    """E[log p(x | mu_k, Lambda_k)] at x = mean, its maximum, (comp,)."""
    return 0.5 * (expected_log_det(ng) - ng.dim * math.log(2.0 * math.pi) - ng.dim / ng.strength)


def log_density_coefficients(ng: NormalGamma) -> Tensor:
    """Theta, (2 dim + 1, comp), with E[log p(x | mu_k, Lambda_k)] = (x^2, x, 1) Theta[:, k] (Bishop 10.64, 10.67)."""
    precision = ng.dof[:, None] / ng.scale_inv
    linear = precision * ng.mean
    constant = peak_log_density(ng) - 0.5 * (linear * ng.mean).sum(-1)
    return torch.cat([-0.5 * precision, linear, constant[:, None]], dim=1).T.contiguous()


def log_normaliser(ng: NormalGamma) -> Tensor:
    """log Z of each normal-gamma, (comp,), such that its density is exp(natural terms - log Z)."""
    per_dimension = (
        0.5 * (math.log(2.0 * math.pi) - ng.strength.log())
        + 0.5 * ng.dof * math.log(2.0)
        + torch.lgamma(0.5 * ng.dof)
    )
    return ng.dim * per_dimension - 0.5 * ng.dof * ng.scale_inv.log().sum(-1)


def expected_moments(ng: NormalGamma) -> Tensor:
    """t(x) of the Gaussian with mean m_k and precisions dof / scale_inv, averaged over it, (comp, 2 dim + 1)."""
    second = ng.scale_inv / ng.dof[:, None] + ng.mean.square()
    return torch.cat([second, ng.mean, torch.ones_like(ng.mean[:, :1])], dim=1)


def prior_record(prior: Prior, device: torch.device | str = "cpu") -> NormalGamma:
    """The prior as a NormalGamma of one component."""
    one = torch.ones(1, dtype=torch.float64, device=device)
    return NormalGamma(
        prior.mean.to(device)[None], prior.strength * one, prior.dof * one, prior.scale_inv.to(device)[None]
    )


def kl_to_prior(ng: NormalGamma, prior: Prior) -> Tensor:
    """KL(q(mu_k, Lambda_k) || prior), (comp,): that of the precisions and the expected one of the means given them."""
    start = prior_record(prior, ng.mean.device)
    shape, shape0 = 0.5 * ng.dof, 0.5 * start.dof
    ratio = start.scale_inv / ng.scale_inv
    precisions = (
        ng.dim * ((shape - shape0) * torch.digamma(shape) - torch.lgamma(shape) + torch.lgamma(shape0))
        - shape0 * ratio.log().sum(-1)
        + shape * (ratio - 1.0).sum(-1)
    )
    weight = start.strength / ng.strength
    shift = ng.dof * ((ng.mean - start.mean).square() / ng.scale_inv).sum(-1)
    means = 0.5 * (ng.dim * (weight - 1.0 - weight.log()) + start.strength * shift)
    return precisions + means


def spread(ng: NormalGamma, prior: Prior) -> Spread:
    """What these components say of their prior."""
    precision = ng.dof[:, None] / ng.scale_inv
    shift = ng.mean - prior.mean.to(ng.mean.device)
    distance = ng.dim / ng.strength + (precision * shift.square()).sum(-1)
    sums = torch.stack([expected_log_det(ng).sum(), precision.sum(), distance.sum()])
    return Spread(len(ng.dof), *sums.tolist())


@dataclass(frozen=True)
class Predictive:
    """Posterior predictive, a product over dimensions of Student-t densities (Murphy 2007, section 3.5).

    log p(x | data, k) = constant_k - power_k sum_d log(1 + slope_kd (x_d - mean_kd)^2).
    constant, power (comp,), slope, mean (comp, dim), all float64.
    """

    constant: Tensor
    power: Tensor
    slope: Tensor
    mean: Tensor

    def log_density(self, values: Tensor, log_lik: Tensor) -> Tensor:
        """(..., dim) frames -> (..., comp) log p(x_n | data, k), float64 nats.

        `log_lik` (..., comp), E[log p(x_n | phi_k)], is not read: it sums over dimensions, and they are needed one by
        one. It is there for the full-covariance Predictive, which needs nothing else. The loop over dimensions keeps
        the largest tensor at (..., comp).
        """
        total = self.mean.new_zeros(*values.shape[:-1], self.mean.shape[0])
        for d in range(self.mean.shape[1]):
            deviation = values[..., d, None] - self.mean[:, d]
            total += deviation.square_().mul_(self.slope[:, d]).log1p_()
        return self.constant - self.power * total


def predictive(ng: NormalGamma) -> Predictive:
    """Coefficients of the posterior predictive of each component."""
    power = 0.5 * (ng.dof + 1.0)
    slope = (ng.strength / (1.0 + ng.strength))[:, None] / ng.scale_inv
    per_dimension = torch.lgamma(power) - torch.lgamma(0.5 * ng.dof) - 0.5 * math.log(math.pi)
    constant = ng.dim * per_dimension + 0.5 * slope.log().sum(-1)
    return Predictive(constant, power, slope, ng.mean)
