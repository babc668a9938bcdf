"""The global step: a state moves towards what a mini-batch says of the corpus (Hoffman et al. 2013)."""

from dataclasses import replace

import torch

from hdpgmm.components import sticks
from hdpgmm.components.prior import relearned
from hdpgmm.components.statistics import Statistics
from hdpgmm.model.state import EMPTY, State, family


def blend(state: State, batch: Statistics, scale: float, rho: float) -> State:
    """Natural-gradient step (Hoffman et al. 2013, section 2.4): the statistics move by rho towards scale * batch.

    scale = songs of the corpus / songs of the batch. rho = 1 with the whole corpus is the batch update. Averaging
    statistics, not means and covariances, leaves a component absent from the batch where it is. Learned concentrations
    and a learned prior then move to their optimum given the averaged sticks and components.
    """
    if not 0.0 < rho <= 1.0:
        raise ValueError(f"rho must be in (0, 1], found {rho}")
    stats = state.stats.scaled(1.0 - rho) + batch.scaled(rho * scale)
    return with_hyperparameters(replace(state, stats=stats, step=state.step + 1))


def with_hyperparameters(state: State) -> State:
    """The state with its concentrations and its prior at their optimum, where they are learned."""
    return with_prior(with_concentrations(state))


def with_prior(state: State) -> State:
    """The prior at its optimum given the components that have frames, where it is learned."""
    if not state.prior.learned:
        return state
    components = family(state.prior)
    used = state.stats.take(torch.nonzero(state.stats.count >= EMPTY)[:, 0])
    spread = components.spread(components.posterior(state.prior, used), state.prior)
    return replace(state, prior=relearned(state.prior, spread))


def with_concentrations(state: State) -> State:
    """gamma and alpha0 at their optimum given the sticks' posteriors, where they are learned."""
    prior, gamma, alpha0 = state.prior, state.gamma, state.alpha0
    if prior.gamma.learned:
        atoms = state.stats.atoms.sort(descending=True).values
        used, log_rest = sticks.usage(atoms, gamma)
        gamma = sticks.learned(float(used), float(log_rest), prior.gamma.initial)
    if prior.alpha0.learned:
        used, log_rest = state.stats.sticks.tolist()
        alpha0 = sticks.learned(used, log_rest, prior.alpha0.initial)
    return replace(state, gamma=gamma, alpha0=alpha0)


def step_size(step: int, tau0: float, kappa: float, share: float = 1.0) -> float:
    """rho_t = (tau0 + t)^-kappa, t from 1 (Hoffman et al. 2013, equation 26), at most 1.

    A mini-batch that is only a `share` of the songs a step should rest on counts as that share of a step.
    """
    return share * min(1.0, (tau0 + share * step) ** -kappa)
