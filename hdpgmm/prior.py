"""Hyper-parameters of the model: two concentrations and a normal-Wishart over components."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Prior:
    """beta' ~ Beta(1, gamma), pi' ~ Beta(1, alpha0), Lambda ~ Wishart(dof, W), mu ~ Normal(mean, (strength Lambda)^-1).

    `scale_inv` is W^-1, so the expected covariance of a component is scale_inv / (dof - dim - 1).
    """

    gamma: float
    alpha0: float
    mean: Tensor  # (dim,) float64
    strength: float
    dof: float
    scale_inv: Tensor  # (dim, dim) float64

    @property
    def dim(self) -> int:
        return self.mean.shape[0]


def whitened_prior(dim: int, gamma: float, alpha0: float) -> Prior:
    """Weak prior for data whitened to zero mean and unit covariance.

    dof = dim + 2 is the smallest at which the expected covariance exists; that covariance is a tenth of the data's in
    each direction, since a component explains a part of the corpus; the mean weighs as a hundredth of a frame.
    """
    if dim < 1:
        raise ValueError(f"dim must be at least 1, found {dim}")
    if not (gamma > 0 and alpha0 > 0):
        raise ValueError(f"concentrations must be positive, found gamma={gamma}, alpha0={alpha0}")
    eye = torch.eye(dim, dtype=torch.float64)
    return Prior(gamma, alpha0, torch.zeros(dim, dtype=torch.float64), 0.01, dim + 2.0, 0.1 * eye)
