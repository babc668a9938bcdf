"""How well a song's frames are predicted, in nats, with the posterior predictive of the components."""

import torch
from torch import Tensor

from hdpgmm.local_step.posterior import LocalOptions, Posterior
from hdpgmm.model.expectations import Globals, log_likelihoods, unseen_log_density
from hdpgmm.model.inference import infer
from hdpgmm.ragged import Ragged, ragged


def component_weights(model: Globals, posterior: Posterior) -> Tensor:
    """E[weight of each component in a song | its frames' components, beta], (song, comp) float64.

    (n_k + alpha0 beta_k) / (n + alpha0): exact for the HDP whatever the atoms (Teh et al. 2006, section 5.3). What is
    missing to one is the weight of components never seen.
    """
    shares = posterior.shares()
    return (shares + model.alpha0 * model.beta) / (shares.sum(1, keepdim=True) + model.alpha0)


def log_likelihood(model: Globals, values: Tensor, log_lik: Tensor, weights: Tensor) -> Tensor:
    """log (sum_k weight_k p(x_n | data, k) + (1 - sum_k weight_k) p(x_n)), (song, frame) float64.

    p(x_n) is the prior's predictive, that of a component never seen. values (song, frame, dim); log_lik (song, frame,
    comp) = E[log p(x_n | phi_k)]; weights (song, comp).
    """
    density = model.predictive.log_density(values.flatten(0, 1), log_lik.flatten(0, 1)).view(log_lik.shape)
    tiny = torch.finfo(torch.float64).tiny
    known = torch.logsumexp(density + weights.clamp(min=tiny).log()[:, None, :], dim=2)
    unseen = (1.0 - weights.sum(1)).clamp(min=tiny).log()
    return torch.logaddexp(known, unseen_log_density(model, values) + unseen[:, None])


def completion(model: Globals, songs: Ragged[Tensor], options: LocalOptions) -> tuple[float, int]:
    """Held-out document completion: (log-likelihood in nats, frames scored).

    A song's weights come from its even frames; its odd frames are scored. Songs under two frames are passed over.
    """
    values, lengths = songs.values, songs.lengths
    place = torch.arange(len(values)) - torch.repeat_interleave(songs.starts, lengths)
    odd = (place % 2 == 1).to(values.device)
    long_enough = torch.repeat_interleave(lengths >= 2, lengths).to(values.device)
    seen = ragged((lengths + 1) // 2 * (lengths >= 2), values[~odd & long_enough])
    unseen, total = ragged(lengths // 2, values[odd]), 0.0
    for group, posterior in infer(model, seen, options):
        weights = component_weights(model, posterior)
        for song, weight in zip(group.songs.tolist(), weights, strict=True):
            frames = unseen[song][None]
            total += float(log_likelihood(model, frames, log_likelihoods(model, frames), weight[None]).sum())
    return total, len(unseen.values)


def completion_per_frame(
    model: Globals, songs: Ragged[Tensor], options: LocalOptions, log_det: float
) -> float | None:
    """`completion` of whitened songs, nats a scored frame in the features' own units; None without such a frame.

    log_det: of the whitening.
    """
    total, frames = completion(model, songs, options)
    return total / frames + log_det if frames else None
