"""The model's state and its two steps over ragged batches, as pure functions: state in, state and info out.

state: what persists. expectations: what a step needs of it. inference: the local step, q of each song. statistics:
what a mini-batch's songs sum to. update: the global step. bound: what both raise. threads: groups of songs on threads.
"""

from hdpgmm.model.bound import bound_terms, component_costs, corpus_bound, corpus_terms
from hdpgmm.model.expectations import (
    Globals,
    corpus_weights,
    log_likelihoods,
    prepare,
    scratch_for,
    unseen_log_density,
)
from hdpgmm.model.inference import infer, on_gpu, posterior_given, posterior_of, song_level
from hdpgmm.model.state import EMPTY, State, effective_components, family
from hdpgmm.model.statistics import BatchInfo, batch_statistics, products
from hdpgmm.model.threads import GROUP_FRAMES, by_group
from hdpgmm.model.update import blend, step_size, with_concentrations, with_hyperparameters, with_prior

__all__ = [
    "EMPTY",
    "GROUP_FRAMES",
    "BatchInfo",
    "Globals",
    "State",
    "batch_statistics",
    "blend",
    "bound_terms",
    "by_group",
    "component_costs",
    "corpus_bound",
    "corpus_terms",
    "corpus_weights",
    "effective_components",
    "family",
    "infer",
    "log_likelihoods",
    "on_gpu",
    "posterior_given",
    "posterior_of",
    "prepare",
    "products",
    "scratch_for",
    "song_level",
    "step_size",
    "unseen_log_density",
    "with_concentrations",
    "with_hyperparameters",
    "with_prior",
]
