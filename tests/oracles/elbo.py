"""The evidence lower bound of the stick-breaking HDP Gaussian mixture, written as it is read, loop by loop.

Differentiable float64 torch, nothing of ours imported. The Kullback-Leibler divergences of Beta variables are torch's;
that of a Wishart is Penny (2001), "Kullback-Leibler divergences of Normal, Gamma, Dirichlet and Wishart densities".
`tests/hdpgmm/test_oracle.py` checks it against Monte Carlo over the joint density.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Beta, kl_divergence


@dataclass(frozen=True)
class Hyper:
    """gamma, alpha0, and the normal-Wishart prior: mean (dim,), strength, dof, scale_inv (dim, dim) = W^-1."""

    gamma: float
    alpha0: float
    mean: Tensor
    strength: float
    dof: float
    scale_inv: Tensor


@dataclass(frozen=True)
class SongQ:
    """frames (frame, dim), zeta (frame, atom), varphi (atom, comp), a and b (atom - 1,): the last stick is 1."""

    frames: Tensor
    zeta: Tensor
    varphi: Tensor
    a: Tensor
    b: Tensor


@dataclass(frozen=True)
class CorpusQ:
    """u, v (comp - 1,) of the sticks; order[i] is the component of the i-th stick; normal-Wishart of each component."""

    u: Tensor
    v: Tensor
    order: list[int]
    mean: Tensor
    strength: Tensor
    dof: Tensor
    scale_inv: Tensor


def bound(songs: list[SongQ], corpus: CorpusQ, hyper: Hyper) -> Tensor:
    """E_q[log p(frames, everything hidden) - log q(everything hidden)], nats."""
    log_beta = corpus_log_weights(corpus)
    total = -kl_sticks(corpus.u, corpus.v, hyper.gamma)
    for k in range(len(corpus.dof)):
        total = total - kl_component(corpus, k, hyper)
    for song in songs:
        total = total + song_bound(song, expected_log_gaussians(song.frames, corpus), log_beta, hyper.alpha0)
    return total


def song_bound(song: SongQ, log_lik: Tensor, log_beta: Tensor, alpha0: float) -> Tensor:
    """The terms of one song, given E[log p(x_n | phi_k)] (frame, comp) and E[log beta_k] (comp,)."""
    log_pi = expected_log_sticks(song.a, song.b)
    total = -kl_sticks(song.a, song.b, alpha0)
    for t in range(song.varphi.shape[0]):
        total = total + _mean_log_ratio(song.varphi[t], log_beta)
    for n in range(song.zeta.shape[0]):
        total = total + _mean_log_ratio(song.zeta[n], log_pi)
        for t in range(song.zeta.shape[1]):
            total = total + song.zeta[n, t] * (song.varphi[t] * log_lik[n]).sum()
    return total


def _mean_log_ratio(q: Tensor, log_p: Tensor) -> Tensor:
    """sum_i q_i (log p_i - log q_i), with 0 log 0 = 0."""
    used = q > 0
    return (q[used] * (log_p[used] - q[used].log())).sum()


def expected_log_sticks(a: Tensor, b: Tensor) -> Tensor:
    """E[log w_i], w_i = v_i prod_{j<i} (1 - v_j), v_i ~ Beta(a_i, b_i), v of the last = 1."""
    rest = torch.zeros((), dtype=a.dtype)
    out = []
    for i in range(len(a)):
        out.append(rest + torch.digamma(a[i]) - torch.digamma(a[i] + b[i]))
        rest = rest + torch.digamma(b[i]) - torch.digamma(a[i] + b[i])
    return torch.stack([*out, rest])


def corpus_log_weights(corpus: CorpusQ) -> Tensor:
    """E[log beta_k] in the order of components, not of sticks."""
    by_stick = expected_log_sticks(corpus.u, corpus.v)
    place = {component: i for i, component in enumerate(corpus.order)}
    return torch.stack([by_stick[place[k]] for k in range(len(corpus.order))])


def kl_sticks(a: Tensor, b: Tensor, concentration: float) -> Tensor:
    """Sum of KL(Beta(a_i, b_i) || Beta(1, concentration))."""
    one = torch.ones((), dtype=a.dtype)
    return kl_divergence(Beta(a, b), Beta(one, concentration * one)).sum()


def expected_log_gaussians(frames: Tensor, corpus: CorpusQ) -> Tensor:
    """E[log N(x_n | mu_k, Lambda_k^-1)], (frame, comp)."""
    dim = frames.shape[1]
    rows = []
    for k in range(len(corpus.dof)):
        shift = frames - corpus.mean[k]
        mahalanobis = (shift * torch.linalg.solve(corpus.scale_inv[k], shift.T).T).sum(1) * corpus.dof[k]
        spread = dim / corpus.strength[k]
        log_det = expected_log_det(corpus.dof[k], corpus.scale_inv[k])
        rows.append(0.5 * (log_det - dim * math.log(2 * math.pi) - spread - mahalanobis))
    return torch.stack(rows, dim=1)


def expected_log_det(dof: Tensor, scale_inv: Tensor) -> Tensor:
    """E[log |Lambda|], Lambda ~ Wishart(dof, scale_inv^-1)."""
    dim = scale_inv.shape[0]
    digammas = sum(torch.digamma((dof + 1 - i) / 2) for i in range(1, dim + 1))
    return digammas + dim * math.log(2) - torch.logdet(scale_inv)


def kl_component(corpus: CorpusQ, k: int, hyper: Hyper) -> Tensor:
    """KL of one normal-Wishart to the prior: of the Gaussian, averaged over precisions, and of the Wishart."""
    dim = corpus.mean.shape[1]
    ratio = hyper.strength / corpus.strength[k]
    shift = corpus.mean[k] - hyper.mean
    away = hyper.strength * corpus.dof[k] * (shift @ torch.linalg.solve(corpus.scale_inv[k], shift))
    gaussian = 0.5 * (dim * (ratio - 1 - torch.log(ratio)) + away)
    return gaussian + kl_wishart(corpus.dof[k], corpus.scale_inv[k], hyper.dof, hyper.scale_inv)


def kl_wishart(dof: Tensor, scale_inv: Tensor, dof0: float, scale_inv0: Tensor) -> Tensor:
    """KL(Wishart(dof, scale_inv^-1) || Wishart(dof0, scale_inv0^-1)) (Penny 2001, equation 22)."""
    dim = scale_inv.shape[0]
    log_det_ratio = torch.logdet(scale_inv0) - torch.logdet(scale_inv)
    gammas = _log_multi_gamma(torch.as_tensor(dof0, dtype=scale_inv.dtype), dim) - _log_multi_gamma(dof, dim)
    digammas = sum(torch.digamma((dof + 1 - i) / 2) for i in range(1, dim + 1))
    trace = torch.trace(torch.linalg.solve(scale_inv, scale_inv0))
    return -0.5 * dof0 * log_det_ratio + 0.5 * dof * (trace - dim) + gammas + 0.5 * (dof - dof0) * digammas


def _log_multi_gamma(dof: Tensor, dim: int) -> Tensor:
    """log of the multivariate gamma function at dof / 2, without its power of pi, which cancels."""
    return sum((torch.lgamma((dof + 1 - i) / 2) for i in range(1, dim + 1)), torch.zeros((), dtype=dof.dtype))
