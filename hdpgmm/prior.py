"""Hyper-parameters of the model: two concentrations and a normal-Wishart (or normal-gamma) over components."""

from dataclasses import dataclass

import torch
from torch import Tensor


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
    atoms are integrated out: pi ~ Dirichlet(alpha0 beta).
    """

    mean: Tensor  # (dim,) float64
    strength: float
    dof: float
    scale_inv: Tensor  # (dim, dim) or (dim,) float64
    gamma: Concentration = Concentration()
    alpha0: Concentration = Concentration()
    direct: bool = False

    @property
    def dim(self) -> int:
        return self.mean.shape[0]

    @property
    def diagonal(self) -> bool:
        return self.scale_inv.ndim == 1


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
    if diagonal:
        return Prior(mean, 0.01, 3.0, tenth, gamma, alpha0, direct)
    return Prior(mean, 0.01, dim + 2.0, torch.diag(tenth), gamma, alpha0, direct)
