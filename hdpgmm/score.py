"""How well a song's frames are predicted, in nats, with the posterior predictive of the components."""

import itertools

import torch
from torch import Tensor

from hdpgmm import sticks
from hdpgmm.local import LocalOptions, SongPosterior, infer_song
from hdpgmm.model import Globals, log_likelihoods


def component_weights(song: SongPosterior, alpha0: float) -> Tensor:
    """E[weight of each component in the song] = sum_t E[pi_t] varphi_tk, (comp,) float64, sums to one."""
    return sticks.expected_weights(song.counts, alpha0) @ song.varphi.double()


def log_likelihood(model: Globals, log_lik: Tensor, song: SongPosterior) -> float:
    """sum_n log sum_k E[weight_k] p(x_n | data, k) of frames with E[log p(x_n | phi_k)] = log_lik (frame, comp)."""
    weights = component_weights(song, model.alpha0).clamp(min=torch.finfo(torch.float64).tiny)
    return float(torch.logsumexp(model.predictive.log_density(log_lik) + weights.log(), dim=1).sum())


def completion(model: Globals, values: Tensor, offsets: Tensor, options: LocalOptions) -> tuple[float, int]:
    """Held-out document completion: (log-likelihood in nats, frames scored).

    A song's weights come from its even frames; its odd frames are scored. Songs under two frames are passed over.
    """
    total, scored = 0.0, 0
    bounds = offsets.tolist()
    for first, last in itertools.pairwise(bounds):
        if last - first < 2:
            continue
        log_lik = log_likelihoods(model, values[first:last])
        seen = infer_song(log_lik[0::2].contiguous(), model.log_beta, model.alpha0, options)
        total += log_likelihood(model, log_lik[1::2], seen)
        scored += (last - first) // 2
    return total, scored
