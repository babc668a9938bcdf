"""Song vectors: what a song is made of, one row per song.

All are shares of the components: the posterior under a flat prior ("The power of deep without going deep?", ISMIR
2022, and its code), the same with the evidence of a few features in place of a whole frame's, the responsibilities of
the HDP posterior, and the expected weights of the song's own mixture. A song's vectors depend on its frames alone, in
any order. How frames differ from each component is in `hdpgmm.kinds.fisher`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hdpgmm.components.statistics import BLOCK
from hdpgmm.local_step.groups import Group
from hdpgmm.local_step.posterior import LocalOptions, Posterior
from hdpgmm.model.expectations import Globals, log_likelihoods
from hdpgmm.model.inference import posterior_given
from hdpgmm.model.threads import by_group
from hdpgmm.ragged import Ragged
from hdpgmm.score import component_weights, log_likelihood

FLOOR = 1e-8  # of the paper's logarithm
FEATURES = 3  # of a frame that count as independent evidence: the temperature is dim / FEATURES


@dataclass(frozen=True)
class Vectors:
    """posterior, responsibility, expected, soft (song, comp) float32, rows sum to one; log_likelihood (song,) float64.

    posterior: mean over frames of softmax_k E[log p(x_n | phi_k)], the paper's: a flat prior over components, neither
    sticks nor local step. responsibility: mean over frames of r_nk. expected: E[weight of each component in the song].
    soft: mean over frames of softmax_k(E[log p(x_n | phi_k)] / T), T = dim / FEATURES (`tempered`). The features of a
    frame repeat each other; a posterior that takes them as independent is nearly one-hot and forgets the runners-up.
    log_likelihood: nats a frame, of the song's frames under its expected weights, those of components never seen
    included. A song without frames has E[beta] four times, what is expected of any song, and log_likelihood nan.
    """

    posterior: Tensor
    responsibility: Tensor
    expected: Tensor
    soft: Tensor
    log_likelihood: Tensor

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return self.posterior, self.responsibility, self.expected, self.soft, self.log_likelihood


def represent(model: Globals, songs: Ragged[Tensor], options: LocalOptions) -> Vectors:
    """The vectors of a batch of whitened songs (frame, dim), in its order."""
    n_songs, device = len(songs), songs.values.device
    unseen = (model.beta / model.beta.sum()).float().expand(n_songs, -1)
    nats = torch.full((n_songs,), math.nan, dtype=torch.float64, device=device)
    found = Vectors(unseen.clone(), unseen.clone(), unseen.clone(), unseen.clone(), nats)

    def one(group: Group) -> tuple[Tensor, tuple[Tensor, ...]]:
        log_lik = log_likelihoods(model, group.values)
        song = posterior_given(model, group, log_lik, options)
        return group.songs.to(device), _of_group(model, group, log_lik, song)

    for places, parts in by_group(one, songs):
        for whole, part in zip(found.tensors(), parts, strict=True):
            whole[places] = part.to(whole.dtype)
    return found


def tempered(log_lik: Tensor, temperature: float) -> Tensor:
    """softmax_k(E[log p(x_n | phi_k)] / temperature): log_lik (..., comp), shares of the components that sum to one.

    1 is Bayes' rule for features that are independent; at dim / FEATURES a frame's evidence is that of FEATURES.
    """
    return torch.softmax(log_lik / temperature, dim=-1)


def floored_log(posterior: Tensor) -> Tensor:
    """log(max(p, 1e-8)), as the paper's code feeds to its probes."""
    return posterior.clamp(min=FLOOR).log()


def _of_group(model: Globals, group: Group, log_lik: Tensor, song: Posterior) -> tuple[Tensor, ...]:
    """The fields of Vectors for the songs of a group, float64; in blocks of frames that stay in the cache."""
    weights = component_weights(model, song)
    flat, soft, nats = torch.zeros_like(weights), torch.zeros_like(weights), weights.new_zeros(len(weights))
    dim = group.values.shape[2]
    block = BLOCK[log_lik.device.type]
    at_once = max(1, block // log_lik.shape[1])
    for first in range(0, len(weights), at_once):
        songs = slice(first, first + at_once)
        parts = (part[songs].split(block, 1) for part in (group.values, group.mask, log_lik))
        for values, mask, part in zip(*parts, strict=True):
            flat[songs] += (tempered(part, 1.0) * mask[:, :, None]).sum(1, dtype=torch.float64)
            soft[songs] += (tempered(part, dim / FEATURES) * mask[:, :, None]).sum(1, dtype=torch.float64)
            nats[songs] += (log_likelihood(model, values, part, weights[songs]) * mask).sum(1)
    n_frames = group.mask.sum(1, dtype=torch.float64)
    expected = weights / weights.sum(1, keepdim=True)
    posterior, responsibility, soft = (part / n_frames[:, None] for part in (flat, song.shares(), soft))
    return posterior, responsibility, expected, soft, nats / n_frames
