"""What persists of a model between steps, and which distributions its components are of."""

from dataclasses import dataclass, replace
from types import ModuleType

import torch
from torch import Tensor

from hdpgmm.components import normal_gamma, normal_wishart
from hdpgmm.components.prior import Prior
from hdpgmm.components.statistics import Statistics

EMPTY = 1e-3  # frames of the corpus: a component with fewer changes no bound by as much as its rounding


@dataclass(frozen=True)
class State:
    """All that must persist: the prior, the averaged corpus-scaled statistics, and the two concentrations."""

    prior: Prior
    stats: Statistics
    gamma: float
    alpha0: float
    step: int = 0

    @property
    def n_components(self) -> int:
        return self.stats.count.shape[0]

    def to(self, device: torch.device | str) -> "State":
        """The prior stays on the CPU, where it always is."""
        return replace(self, stats=self.stats.to(device))


def family(prior: Prior) -> ModuleType:
    """The components' conjugate family: normal-Wishart, or normal-gamma with diagonal covariances."""
    return normal_gamma if prior.diagonal else normal_wishart


def effective_components(weights: Tensor, mass: float = 0.99) -> int:
    """How many of the largest components carry `mass` of the weight."""
    shares = torch.sort(weights / weights.sum(), descending=True).values.cumsum(0)
    return int((shares < mass - 1e-12).sum()) + 1
