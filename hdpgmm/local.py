"""The local step: one song's atoms and responsibilities given the components (README, "Model").

Start: the song's best-supported components, one per atom, largest first. A random start ends about six nats a frame
lower and uses half the components, even with the true components given (shared measurements of the reference).
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from hdpgmm import sticks


@dataclass(frozen=True)
class LocalOptions:
    """When to stop: the song's own bound moves less than `tolerance` nats a frame, or `max_refreshes` were done.

    Between two refreshes of varphi, `sweeps` updates of zeta and pi run on the (frame, atom) matrix alone.
    """

    n_atoms: int = 32
    tolerance: float = 1e-4
    max_refreshes: int = 20
    sweeps: int = 3


@dataclass(frozen=True)
class SongPosterior:
    """q of one song. zeta (frame, atom), varphi (atom, comp), counts (atom,) float64, bound in nats."""

    zeta: Tensor
    varphi: Tensor
    counts: Tensor
    bound: float
    refreshes: int

    def responsibilities(self) -> Tensor:
        """r_nk = sum_t zeta_nt varphi_tk, (frame, comp)."""
        return self.zeta @ self.varphi


def infer_song(log_lik: Tensor, log_beta: Tensor, alpha0: float, options: LocalOptions) -> SongPosterior:
    """Coordinate ascent on one song.

    log_lik (frame, comp): E[log p(x_n | phi_k)]; log_beta (comp,): E[log beta_k]. Each refresh updates, in this order,
    zeta and pi (`sweeps` times), varphi, then zeta, so the bound never falls.
    """
    varphi, counts = _start(log_lik, log_beta, min(options.n_atoms, log_lik.shape[1]))
    support = log_lik @ varphi.T
    bound, tolerance = -float("inf"), options.tolerance * log_lik.shape[0]
    for refreshes in itertools.count(1):
        zeta = support
        for _ in range(options.sweeps):
            zeta = _assign(support, counts, alpha0)
            counts = zeta.sum(0, dtype=torch.float64)
        varphi = torch.softmax((zeta.T @ log_lik).double() + log_beta.double(), dim=1).to(log_lik.dtype)
        support = log_lik @ varphi.T
        previous, bound = bound, song_bound(support, varphi, counts, log_beta, alpha0)
        if bound - previous < tolerance or refreshes >= options.max_refreshes:
            return SongPosterior(_assign(support, counts, alpha0), varphi, counts, bound, refreshes)
    raise AssertionError("the loop ends by returning")


def _assign(support: Tensor, counts: Tensor, alpha0: float) -> Tensor:
    """zeta_nt ~ exp(E[log p(x_n | atom t)] + E[log pi_t]), (frame, atom)."""
    log_pi = sticks.expected_log_weights(counts, alpha0)
    return torch.softmax(support + log_pi.to(support.dtype), dim=1)


def song_bound(support: Tensor, varphi: Tensor, counts: Tensor, log_beta: Tensor, alpha0: float) -> float:
    """The song's part of the bound with zeta at its optimum for (support, counts), nats.

    sum_n log sum_t exp(support + E[log pi]) is the data, assignment and entropy term at that optimum.
    """
    log_pi = sticks.expected_log_weights(counts, alpha0)
    data = torch.logsumexp(support.double() + log_pi, dim=1).sum()
    dense = varphi.double()
    atoms = (dense * log_beta.double()).sum() + torch.special.entr(dense).sum()
    return float(data + atoms - sticks.kl_to_prior(counts, alpha0))


def _start(log_lik: Tensor, log_beta: Tensor, n_atoms: int) -> tuple[Tensor, Tensor]:
    share = torch.softmax(log_lik + log_beta.to(log_lik.dtype), dim=1).sum(0, dtype=torch.float64)
    counts, best = torch.topk(share, n_atoms)
    varphi = log_lik.new_zeros(n_atoms, log_lik.shape[1])
    varphi[torch.arange(n_atoms, device=best.device), best] = 1.0
    return varphi, counts
