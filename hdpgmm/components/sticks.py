"""Stick-breaking weights under Beta posteriors: w_k = v_k prod_{l<k} (1 - v_l), v_k ~ Beta(1, concentration).

No stick is the last one. What the sticks given leave over belongs to the unseen, whose posterior is the prior: a stick
with no count of its own and none after it adds exactly 0 to every sum here. counts (..., stick) float64, each expected
number of draws; every function works along the last axis, in the order given.
"""

import math

import torch
from torch import Tensor


def beta_posterior(counts: Tensor, concentration: float) -> tuple[Tensor, Tensor]:
    """Beta(1 + counts_k, concentration + sum of later counts), both (..., stick)."""
    return 1.0 + counts, concentration + _later(counts)


def expected_log_weights(counts: Tensor, concentration: float) -> Tensor:
    """E[log w_k], v_k under its Beta posterior, (..., stick)."""
    log_stick, log_rest = _log_moments(*beta_posterior(counts, concentration))
    return log_stick + log_rest.cumsum(-1) - log_rest


def expected_weights(counts: Tensor, concentration: float) -> Tensor:
    """E[w_k], (..., stick). The sum is below one: the rest is the expected weight of all that is unseen."""
    first, second = beta_posterior(counts, concentration)
    stick = first / (first + second)
    rest = (1.0 - stick).cumprod(-1)
    return stick * torch.cat([torch.ones_like(rest[..., :1]), rest[..., :-1]], dim=-1)


def kl_to_prior(counts: Tensor, concentration: float) -> Tensor:
    """Sum of KL(Beta(1 + c, concentration + later) || Beta(1, concentration)), (...)."""
    later = _later(counts)
    first, second = 1.0 + counts, concentration + later
    log_stick, log_rest = _log_moments(first, second)
    kl = counts * log_stick + later * log_rest - _log_beta(first, second) - math.log(concentration)
    return _sum_used(kl, counts)


def evidence(counts: Tensor, concentration: float) -> Tensor:
    """log p(draws), v integrated out: sum of log B(1 + c, concentration + later) - log B(1, concentration), (...).

    For expected counts it is E[log p(draws | w)] - KL at the optimal Beta posteriors. size_order makes it highest.
    """
    gain = _log_beta(*beta_posterior(counts, concentration)) + math.log(concentration)
    return _sum_used(gain, counts)


def size_order(counts: Tensor) -> Tensor:
    """Indices by falling count. Sticks in this order have the highest bound (Kurihara, Welling, Teh 2007)."""
    return torch.argsort(counts, dim=-1, descending=True, stable=True)


def usage(counts: Tensor, concentration: float) -> tuple[Tensor, Tensor]:
    """What `learned` needs: U, the number of sticks in use, and V = -sum of E[log(1 - v)] over them, both (...)."""
    _, log_rest = _log_moments(*beta_posterior(counts, concentration))
    return _in_use(counts).sum(-1, dtype=counts.dtype), _sum_used(-log_rest, counts)


def learned(used: float, log_rest: float, initial: float) -> float:
    """The concentration of highest bound given q of the sticks: (1 + U) / (1 / initial + V).

    The mode of its Gamma posterior (Blei & Jordan 2006, appendix) under the prior of `log_hyperprior`.
    """
    return (1.0 + used) / (1.0 / initial + log_rest)


def log_hyperprior(value: float, initial: float) -> float:
    """log density of a concentration under Gamma(shape 2, rate 1 / initial), whose mode is `initial`."""
    return math.log(value) - 2.0 * math.log(initial) - value / initial


def _later(counts: Tensor) -> Tensor:
    """Sum of the counts after each stick, without subtracting: 0 stays 0 after a count of any size."""
    from_here = counts.flip(-1).cumsum(-1).flip(-1)
    return torch.cat([from_here[..., 1:], torch.zeros_like(from_here[..., :1])], dim=-1)


def _in_use(counts: Tensor) -> Tensor:
    return (counts > 0) | (_later(counts) > 0)


def _sum_used(terms: Tensor, counts: Tensor) -> Tensor:
    """Sum over sticks in use. The others' terms are 0 but for rounding."""
    return torch.where(_in_use(counts), terms, 0.0).sum(-1)


def _log_moments(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """E[log v] and E[log(1 - v)], v ~ Beta(first, second)."""
    total = torch.digamma(first + second)
    return torch.digamma(first) - total, torch.digamma(second) - total


def _log_beta(first: Tensor, second: Tensor) -> Tensor:
    return torch.lgamma(first) + torch.lgamma(second) - torch.lgamma(first + second)
