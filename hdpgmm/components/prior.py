"""Hyper-parameters of the model: two concentrations and a normal-Wishart (or normal-gamma) over components."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

STRENGTH, SCALE, EXCESS = 0.01, 0.1, 3.0  # of the weak prior: dof is EXCESS above the least, and one
LEAST_SCALE = 1e-12  # that is learned, so that precisions stay within float32
ROUNDING = (
    1e-6  # of a component's second moment: a smaller scatter is what float32 makes of frames that are alike
)


@dataclass(frozen=True)
class Concentration:
    """gamma or alpha0: its starting value, and whether it is learned.

    A learned one has a Gamma hyper-prior of shape 2 and rate 1 / initial, whose mode is the starting value.
    """

    initial: float = 1.0
    learned: bool = True

    def __post_init__(self) -> None:
        if not 0.0 < self.initial < float("inf"):
            raise ValueError(f"a concentration must be positive and finite, found {self.initial}")


@dataclass(frozen=True)
class Prior:
    """beta' ~ Beta(1, gamma), pi' ~ Beta(1, alpha0), Lambda ~ Wishart(dof, W), mu ~ Normal(mean, (strength Lambda)^-1).

    `scale_inv` is W^-1, so the expected covariance of a component is scale_inv / (dof - dim - 1). With diagonal
    covariances it is (dim,): each dimension is a model of its own with shared dof and strength. With `direct`, a song's
    atoms are integrated out: pi ~ Dirichlet(alpha0 beta). With `learned`, strength, dof and the scale of scale_inv are
    those of what the components have in common (`relearned`). `dependence`: how many frames say of a component what one
    independent frame would (hdpgmm.data.autocorrelation). `constant`: dimensions in which no frame differs from
    another. There each component has unit variance, as all frames together have in the others: without any, likelihoods
    would grow without bound, and distort what is learned of the other dimensions.
    """

    mean: Tensor  # (dim,) float64
    strength: float
    dof: float
    scale_inv: Tensor  # (dim, dim) or (dim,) float64
    gamma: Concentration = Concentration()
    alpha0: Concentration = Concentration()
    direct: bool = False
    learned: bool = False
    dependence: float = 1.0
    constant: Tensor | None = None  # (dim,) bool; None where all dimensions vary

    @property
    def dim(self) -> int:
        return self.mean.shape[0]

    @property
    def diagonal(self) -> bool:
        return self.scale_inv.ndim == 1

    def scatter_of_constants(self, count: Tensor) -> Tensor:
        """What is added to the scatter of components of `count` frames (comp,) in each dimension, (comp, dim)."""
        if self.constant is None:
            return count.new_zeros(len(count), self.dim)
        return count[:, None] * self.constant.to(count)


def whitened_prior(
    dim: int,
    gamma: Concentration = Concentration(),
    alpha0: Concentration = Concentration(),
    diagonal: bool = False,
    direct: bool = False,
) -> Prior:
    """Weak prior for data whitened to zero mean and unit covariance.

    dof is the smallest whole number at which the expected covariance exists; that covariance is a tenth of the data's
    in each direction, since a component explains a part of the corpus; the mean weighs as a hundredth of a frame.
    """
    if dim < 1:
        raise ValueError(f"dim must be at least 1, found {dim}")
    mean, tenth = torch.zeros(dim, dtype=torch.float64), torch.full((dim,), 0.1, dtype=torch.float64)
    side = 1 if diagonal else dim
    scale_inv = tenth if diagonal else torch.diag(tenth)
    return Prior(mean, STRENGTH, side - 1.0 + EXCESS, scale_inv, gamma, alpha0, direct)


@dataclass(frozen=True)
class Spread:
    """What components say of their prior, sums of expectations over `components` of them.

    log_det: log |Lambda_k|; trace: tr Lambda_k; distance: (mu_k - mean)^T Lambda_k (mu_k - mean).
    """

    components: int
    log_det: float
    trace: float
    distance: float


def relearned(prior: Prior, spread: Spread) -> Prior:
    """The prior under which components of this spread are likeliest: strength, dof, and a round scale_inv = scale I.

    The M-step of empirical Bayes: the maximum of sum_k E[log p(mu_k, Lambda_k)], which the bound has `dependence` times
    over, and of three hyper-priors, each a Gamma of shape 2 whose mode is the weak prior's value (`log_hyperpriors`).
    With the best scale for each dof, the derivative by dof falls; its zero is found by halving.
    """
    if not spread.components:
        return prior
    dim, side, times = prior.dim, 1 if prior.diagonal else prior.dim, prior.dependence
    n_dims, log_det, trace = times * spread.components * dim, times * spread.log_det, times * spread.trace
    strength = (0.5 * n_dims + 1.0) / (0.5 * times * spread.distance + 1.0 / STRENGTH)
    below = 0.5 * torch.arange(side, dtype=torch.float64)

    def scale(dof: float) -> float:
        return max(LEAST_SCALE, (0.5 * n_dims * dof + 1.0) / (0.5 * trace + 1.0 / SCALE))

    def slope(excess: float) -> float:
        dof = side - 1.0 + excess
        digammas = float(torch.digamma(0.5 * dof - below).sum()) * (n_dims / side)
        own = n_dims * math.log(0.5 * scale(dof)) - digammas + log_det
        return 0.5 * own + 1.0 / excess - 1.0 / EXCESS

    low, high = math.log(1e-3), math.log(1e9)
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if slope(math.exp(middle)) > 0.0 else (low, middle)
    dof = side - 1.0 + math.exp(0.5 * (low + high))
    ones = torch.ones(dim, dtype=torch.float64)
    scale_inv = scale(dof) * (ones if prior.diagonal else torch.diag(ones))
    return replace(prior, strength=strength, dof=dof, scale_inv=scale_inv)


def log_hyperpriors(prior: Prior) -> float:
    """log density of a learned prior's strength, scale and excess dof: Gammas of shape 2, modes those of the weak one.

    The excess is over dim - 1, below which a Wishart has no density (over 0 with diagonal covariances).
    """
    if not prior.learned:
        return 0.0
    side, scale = (1, prior.scale_inv[0]) if prior.diagonal else (prior.dim, prior.scale_inv[0, 0])
    values = ((prior.strength, STRENGTH), (float(scale), SCALE), (prior.dof - side + 1.0, EXCESS))
    return sum(math.log(value) - 2.0 * math.log(mode) - value / mode for value, mode in values)
