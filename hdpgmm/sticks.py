"""Stick-breaking weights under Beta posteriors."""

import torch
from torch import Tensor


def beta_posterior(counts: Tensor, concentration: float) -> tuple[Tensor, Tensor]:
    """Beta(1 + counts_k, concentration + sum of later counts), along the last axis."""
    after = counts.flip(-1).cumsum(-1).flip(-1) - counts
    return 1.0 + counts, concentration + after.clamp(min=0.0)


def expected_log_weights(counts: Tensor, concentration: float) -> Tensor:
    """E[log w_k] of w_k = v_k prod_{l<k} (1 - v_l), v_k under its Beta posterior, v of the last stick = 1."""
    first, second = beta_posterior(counts, concentration)
    total = torch.digamma(first + second)
    log_stick = torch.digamma(first) - total
    log_stick[..., -1] = 0.0
    log_rest = torch.digamma(second) - total
    return log_stick + log_rest.cumsum(-1) - log_rest


def expected_weights(counts: Tensor, concentration: float) -> Tensor:
    """E[w_k], which sums to one along the last axis."""
    first, second = beta_posterior(counts, concentration)
    stick = first / (first + second)
    stick[..., -1] = 1.0
    rest = torch.cat([torch.ones_like(stick[..., :1]), (1.0 - stick[..., :-1]).cumprod(-1)], dim=-1)
    return stick * rest


def kl_to_prior(counts: Tensor, concentration: float) -> Tensor:
    """Sum over sticks (but the last, which is fixed) of KL(Beta(1 + c, conc + later) || Beta(1, conc))."""
    first, second = (part[..., :-1] for part in beta_posterior(counts, concentration))
    total = torch.digamma(first + second)
    log_beta = torch.lgamma(first) + torch.lgamma(second) - torch.lgamma(first + second)
    prior_log_beta = -torch.log(torch.as_tensor(concentration, dtype=counts.dtype))
    kl = (
        prior_log_beta
        - log_beta
        + (first - 1.0) * (torch.digamma(first) - total)
        + (second - concentration) * (torch.digamma(second) - total)
    )
    return kl.sum(-1)


def size_order(counts: Tensor) -> Tensor:
    """Indices by falling count. Sticks in this order have the highest bound (Kurihara, Welling, Teh 2007)."""
    return torch.argsort(counts, dim=-1, descending=True, stable=True)
