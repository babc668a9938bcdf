"""Song vectors: one coordinate per component."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hdpgmm.local import LocalOptions, infer_song
from hdpgmm.model import Globals, log_likelihoods
from hdpgmm.score import log_likelihood

FLOOR = 1e-8  # of the paper's logarithm


@dataclass(frozen=True)
class SongVector:
    """posterior, responsibility (comp,) float32, each sums to one; log_likelihood in nats per frame.

    posterior: mean over frames of softmax_k E[log p(x_n | phi_k)], the paper's representation: a flat prior over
    components, no sticks, no local step. responsibility: mean over frames of r_nk of the HDP posterior.
    """

    posterior: Tensor
    responsibility: Tensor
    log_likelihood: float


def represent(model: Globals, values: Tensor, offsets: Tensor, options: LocalOptions) -> Iterator[SongVector]:
    """The vector of each song; every song has at least one frame."""
    bounds = offsets.tolist()
    for first, last in itertools.pairwise(bounds):
        log_lik = log_likelihoods(model, values[first:last])
        song = infer_song(log_lik, model.log_beta, model.alpha0, options)
        n_frames = last - first
        shares = (song.zeta.sum(0, dtype=torch.float64) @ song.varphi.double()) / n_frames
        posterior = torch.softmax(log_lik, dim=1).mean(0, dtype=torch.float64)
        score = log_likelihood(model, log_lik, song) / n_frames
        yield SongVector(posterior.float(), shares.float(), score)


def floored_log(posterior: Tensor) -> Tensor:
    """log(max(p, 1e-8)), as the paper's code feeds to its probes."""
    return posterior.clamp(min=FLOOR).log()
