"""What both forms of the local step share: when to stop, what they find, and where they begin."""

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

LOWEST = -80.0  # log of the smallest relative density told from none: subnormal numbers are many times slower
SAME = 1e-3  # frames: shares nearer to each other are as good as equal

W = TypeVar("W", bound=Any)


@dataclass(frozen=True)
class LocalOptions:
    """When to stop: the song's own bound moves less than `tolerance` nats a frame, or `max_refreshes` were done.

    Between two refreshes of varphi, `sweeps` updates of zeta and pi run on the (frame, atom) matrix alone.
    """

    n_atoms: int = 32
    tolerance: float = 1e-4
    max_refreshes: int = 20
    sweeps: int = 4


@dataclass(frozen=True)
class Posterior:
    """q of songs side by side: zeta (song, frame, atom), varphi (song, atom, comp), counts (song, atom) float64.

    Atoms of a song are in order of falling count. Those not in use have zero counts, zeta and varphi: they keep their
    conditional prior and add nothing to the bound. counts are those of q(pi); draws (song, atom): draws from beta that
    an atom stands for; usage (song, 2): what alpha0 is learned from (Statistics.sticks); bound (song,) in nats, all
    float64; refreshes (song,) of varphi.
    """

    zeta: Tensor
    varphi: Tensor
    counts: Tensor
    draws: Tensor
    usage: Tensor
    bound: Tensor
    refreshes: Tensor

    def responsibilities(self) -> Tensor:
        """r_nk = sum_t zeta_nt varphi_tk, (song, frame, comp)."""
        return self.zeta @ self.varphi

    def component_draws(self) -> Tensor:
        """sum_t draws_t varphi_tk, (song, comp) float64."""
        return (self.draws[:, None, :] @ self.varphi.double())[:, 0]

    def shares(self) -> Tensor:
        """sum_n r_nk, (song, comp) float64."""
        return (self.zeta.sum(1, dtype=torch.float64)[:, None, :] @ self.varphi.double())[:, 0]


def of_songs(work: W, songs: Tensor) -> W:
    """Some of the songs of a record whose fields have them as their first axis."""
    return type(work)(*(getattr(work, name)[songs] for name in work.__dataclass_fields__))


def supported(log_lik: Tensor, mask: Tensor, log_beta: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Shares (song, named) float64, in frames, of each song's best-supported components, and which, largest first.

    A share is a sum over the song's frames under a flat song prior: softmax of log_lik + log_beta.
    """
    logits = log_lik.permute(0, 2, 1) + log_beta.to(log_lik.dtype)[:, None]
    density = logits.sub_(logits.amax(1, keepdim=True)).clamp_(min=LOWEST).exp_()
    weight = mask.to(log_lik.dtype)[:, None, :] / density.sum(1, keepdim=True)
    return largest(torch.bmm(density, weight.mT)[:, :, 0].double(), most)


def largest(shares: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The largest shares (song, most), in frames, and which; of those less than SAME apart the first component's.

    Shares of a frame each are ties, and what rounding makes of them differs from device to device.
    """
    comps = (shares / SAME).round().argsort(dim=1, descending=True, stable=True)[:, :most]
    return shares.gather(1, comps), comps


def take_named(log_lik: Tensor, comps: Tensor) -> Tensor:
    """log_lik (song, frame, named) of comps (song, named), from that of all components (song, frame, comp)."""
    songs = torch.arange(len(comps), device=comps.device)[:, None]
    return log_lik.permute(0, 2, 1)[songs, comps].mT
