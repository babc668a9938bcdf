"""The variational bound (ELBO) of a corpus, by its terms."""

import math

from torch import Tensor

from hdpgmm.components import sticks
from hdpgmm.components.prior import log_hyperpriors
from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model.expectations import log_likelihoods, prepare
from hdpgmm.model.inference import infer, song_level
from hdpgmm.model.state import State, family
from hdpgmm.ragged import Ragged


def corpus_terms(state: State) -> dict[str, float]:
    """The corpus level's part of the bound, nats: minus the divergences of sticks and components from their priors.

    And the log densities of what is learned of the priors.
    """
    atoms = state.stats.atoms.sort(descending=True).values
    learned = [
        (c, v) for c, v in ((state.prior.gamma, state.gamma), (state.prior.alpha0, state.alpha0)) if c.learned
    ]
    return {
        "corpus_sticks": -float(sticks.kl_to_prior(atoms, state.gamma)),
        "components": -float(component_costs(state).sum()),
        "concentrations": math.fsum(sticks.log_hyperprior(value, c.initial) for c, value in learned),
        "prior": log_hyperpriors(state.prior),
    }


def component_costs(state: State) -> Tensor:
    """What the bound pays for each component, (comp,) nats: its divergence from the prior.

    Where frames depend on each other, it is paid as many times as frames count for one: nats of the bound are those of
    frames as they are.
    """
    components = family(state.prior)
    posterior = components.posterior(state.prior, state.stats)
    return state.prior.dependence * components.kl_to_prior(posterior, state.prior)


def corpus_bound(state: State) -> float:
    """Sum of `corpus_terms`: add it to the songs' bounds for the bound of a corpus."""
    return math.fsum(corpus_terms(state).values())


def bound_terms(state: State, songs: Ragged[Tensor], options: LocalOptions) -> dict[str, float]:
    """The bound of a corpus by name, nats: `song_terms` summed over its songs, and `corpus_terms`."""
    model = prepare(state, songs.values.dtype)
    total, level = corpus_terms(state), song_level(state.prior.direct)
    for group, posterior in infer(model, songs, options):
        log_lik = log_likelihoods(model, group.values)
        terms = level.song_terms(log_lik, group.mask, model.log_beta, model.alpha0, posterior)
        for name, nats in terms.items():
            total[name] = total.get(name, 0.0) + float(nats.sum())
    return total
