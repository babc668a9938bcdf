"""Expectations under q of the corpus-level variables: what a step and a score need of a state."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hdpgmm.components import normal_gamma, normal_wishart, sticks
from hdpgmm.components.statistics import BLOCK, blocks, expand
from hdpgmm.model.state import State, family


@dataclass(frozen=True)
class Globals:
    """What the local step and the scores need of a state.

    theta (expanded_size, comp); log_beta (comp,) = E[log beta_k]; beta (comp,) float64 = E[beta_k], of which the
    components not seen so far have what is missing to one; predictive: log_density(values, log_lik); prior_theta
    (expanded_size, 1) and prior_predictive: the same of a component never seen.
    """

    theta: Tensor
    log_beta: Tensor
    beta: Tensor
    alpha0: float
    predictive: normal_wishart.Predictive | normal_gamma.Predictive
    prior_theta: Tensor
    prior_predictive: normal_wishart.Predictive | normal_gamma.Predictive
    diagonal: bool
    direct: bool


def corpus_weights(atoms: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """E[log beta_k] and E[beta_k], (comp,) each, with the sticks broken in order of falling atom count."""
    order = sticks.size_order(atoms)
    log_beta, beta = torch.empty_like(atoms), torch.empty_like(atoms)
    log_beta[order] = sticks.expected_log_weights(atoms[order], gamma)
    beta[order] = sticks.expected_weights(atoms[order], gamma)
    return log_beta, beta


def prepare(state: State, dtype: torch.dtype = torch.float32) -> Globals:
    """Expectations under q of the corpus-level variables."""
    components = family(state.prior)
    posterior = components.posterior(state.prior, state.stats)
    theta = components.log_density_coefficients(posterior).to(dtype)
    log_beta, beta = corpus_weights(state.stats.atoms, state.gamma)
    unseen = components.prior_record(state.prior, theta.device)
    return Globals(
        theta,
        log_beta.to(dtype),
        beta,
        state.alpha0,
        components.predictive(posterior),
        components.log_density_coefficients(unseen).to(dtype),
        components.predictive(unseen),
        state.prior.diagonal,
        state.prior.direct,
    )


def log_likelihoods(
    model: Globals, values: Tensor, scratch: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """E[log p(x_n | phi_k)]: (frame..., dim) -> (frame..., comp), through blocks of the expanded frames.

    In memory the frames of a component are side by side. scratch: as `scratch_for` gives, to be written over; it has
    room for a block. out: room for the result, comp times the frames at least.
    """
    flat = values.reshape(-1, values.shape[-1])
    n_comp = model.theta.shape[1]
    out = values.new_empty(n_comp * len(flat)) if out is None else out[: n_comp * len(flat)]
    out = out.view(n_comp, len(flat))
    scratch = scratch_for(model, flat) if scratch is None else scratch
    for block in blocks(len(flat), scratch.shape[1]):
        torch.mm(model.theta.T, expand(flat[block], model.diagonal, scratch), out=out[:, block])
    return out.T.unflatten(0, values.shape[:-1])


def unseen_log_density(model: Globals, values: Tensor) -> Tensor:
    """log p(x_n | prior), (..., dim) -> (...) float64 nats: of a frame of a component never seen."""
    log_lik = log_likelihoods(replace(model, theta=model.prior_theta), values)
    return model.prior_predictive.log_density(values, log_lik)[..., 0]


def scratch_for(model: Globals, values: Tensor) -> Tensor:
    """Room for a block of expanded frames, (expanded_size, frame). Memory once written is much faster to write."""
    block_frames = BLOCK[values.device.type]
    return values.new_empty(model.theta.shape[0], max(1, min(block_frames, values.shape[:-1].numel())))
