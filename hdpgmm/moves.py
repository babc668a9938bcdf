"""Merges of components, accepted only when the bound gains. What the natural gradient alone does too slowly.

Frames belong to a song's atoms, and atoms to components. Merging components k and l leaves every zeta as it is, so with
one-hot varphi the change of the bound is closed: the evidence of the pooled statistics against the two, and the sticks.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hdpgmm import normal_wishart, sticks
from hdpgmm.model import State
from hdpgmm.prior import Prior
from hdpgmm.statistics import Statistics


@dataclass(frozen=True)
class Merge:
    """Component `dropped` went into `kept`; the bound gained `gain` nats."""

    kept: int
    dropped: int
    gain: float


def merge_all(state: State, candidates: int = 4) -> tuple[State, list[Merge]]:
    """Merge pairs, best first, until none gains. A dropped component is left empty, with the prior as its posterior.

    For each component the `candidates` nearest others (symmetric Kullback-Leibler divergence of their expected
    Gaussians) are tried.
    """
    merges: list[Merge] = []
    evidence = _evidence_gains(state, _near_pairs(state, candidates))
    while evidence:
        gains = _with_sticks(state, evidence)
        (kept, dropped), gain = max(gains.items(), key=lambda item: item[1])
        if gain <= 0.0:
            break
        state = merged(state, kept, dropped)
        merges.append(Merge(kept, dropped, gain))
        partners = {a + b - kept for a, b in gains if kept in (a, b)} | {
            a + b - dropped for a, b in gains if dropped in (a, b)
        }
        evidence = {pair: value for pair, value in evidence.items() if not {kept, dropped} & set(pair)}
        evidence |= _evidence_gains(state, [(kept, other) for other in sorted(partners - {kept, dropped})])
    return state, merges


def merged(state: State, kept: int, dropped: int) -> State:
    """The statistics of `dropped` added to `kept`'s, and removed."""
    fields = []
    for part in state.stats.tensors():
        part = part.clone()
        part[kept] += part[dropped]
        part[dropped] = 0.0
        fields.append(part)
    return replace(state, stats=Statistics(*fields))


def pair_gains(state: State, pairs: list[tuple[int, int]]) -> dict[tuple[int, int], float]:
    """Change of the bound, nats, of merging each pair."""
    return _with_sticks(state, _evidence_gains(state, pairs))


def _evidence_gains(state: State, pairs: list[tuple[int, int]]) -> dict[tuple[int, int], float]:
    """The frames' part of the change: of the two components alone, so it stands while others merge."""
    if not pairs:
        return {}
    one, two = torch.tensor(pairs).T
    own = log_evidence(state.prior, state.stats)
    pooled = log_evidence(state.prior, state.stats.take(one) + state.stats.take(two))
    return dict(zip(pairs, (pooled - own[one] - own[two]).tolist(), strict=True))


def _with_sticks(state: State, evidence: dict[tuple[int, int], float]) -> dict[tuple[int, int], float]:
    """The sticks' part added: it depends on the atoms of every component, so each merge changes it for all pairs."""
    if not evidence:
        return {}
    one, two = torch.tensor(list(evidence)).T
    atoms = state.stats.atoms.repeat(len(evidence), 1)
    row = torch.arange(len(evidence))
    atoms[row, one] += atoms[row, two]
    atoms[row, two] = 0.0
    gains = stick_evidence(atoms, state.prior.gamma) - stick_evidence(state.stats.atoms, state.prior.gamma)
    return {pair: value + gain for (pair, value), gain in zip(evidence.items(), gains.tolist(), strict=True)}


def log_evidence(prior: Prior, stats: Statistics) -> Tensor:
    """log of the marginal likelihood of the frames of each component, up to the 2 pi of the data, (comp,) nats.

    At its optimum, q(mu, Lambda) contributes E[log p(x)] - KL = log Z(posterior) - log Z(prior).
    """
    own = normal_wishart.log_normaliser(normal_wishart.posterior(prior, stats))
    return own - normal_wishart.log_normaliser(normal_wishart.prior_record(prior, own.device))


def stick_evidence(atoms: Tensor, gamma: float) -> Tensor:
    """E[log p(c | beta)] - KL(q(beta') || p) at the optimal q, along the last axis.

    It is sum_k log B(1 + c_k, gamma + later c) - log B(1, gamma), over sticks in order of falling atom count.
    """
    falling = torch.sort(atoms, dim=-1, descending=True).values
    first, second = (part[..., :-1] for part in sticks.beta_posterior(falling, gamma))
    log_beta = torch.lgamma(first) + torch.lgamma(second) - torch.lgamma(first + second)
    return (log_beta + math.log(gamma)).sum(-1)


def _near_pairs(state: State, candidates: int) -> list[tuple[int, int]]:
    used = torch.nonzero(state.stats.count > 1.0).flatten()
    if len(used) < 2:
        return []
    nw = normal_wishart.posterior(state.prior, state.stats.take(used))
    inverse = torch.cholesky_inverse(nw.chol)
    covariance = (nw.chol @ nw.chol.mT) / nw.dof[:, None, None]
    precision = inverse * nw.dof[:, None, None]
    # tr(S_a P_b) and the Mahalanobis terms, each as one product over flattened matrices
    trace = covariance.flatten(1) @ precision.flatten(1).T
    linear = torch.einsum("bij,aj->abi", precision, nw.mean)
    quad = torch.einsum("abi,ai->ab", linear, nw.mean) - 2 * torch.einsum("abi,bi->ab", linear, nw.mean)
    quad = quad + torch.einsum("bi,bij,bj->b", nw.mean, precision, nw.mean)
    divergence = (trace + quad) + (trace + quad).T
    divergence.fill_diagonal_(float("inf"))
    near = divergence.topk(min(candidates, len(used) - 1), largest=False).indices
    pairs = {tuple(sorted((int(used[a]), int(used[b])))) for a in range(len(used)) for b in near[a].tolist()}
    return sorted(pairs)  # pyright: ignore[reportReturnType]
