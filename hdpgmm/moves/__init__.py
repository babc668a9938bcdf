"""Moves that the natural gradient cannot make: components merge, are deleted, or are split.

A new one is one file here and one entry in MOVES: a function from a state, the songs it is judged on, the settings of
the local step and a generator to the state after the moves that pay, and those moves.
"""

from collections.abc import Callable

import torch

from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model.state import State
from hdpgmm.moves.births import births as splits
from hdpgmm.moves.merge_delete import Move, Probe, reduce
from hdpgmm.moves.support import without_owners
from hdpgmm.moves.trials import try_reductions

Step = Callable[[State, Probe, LocalOptions, torch.Generator], tuple[State, list[Move]]]
MOST_ROUNDS = 8  # of merges and deletions at a time


def merges_and_deletions(
    state: State, probe: Probe, options: LocalOptions, generator: torch.Generator
) -> tuple[State, list[Move]]:
    """By the closed form, until few are left to make; then by inferring songs again."""
    here, made = reduce(state, probe, options, MOST_ROUNDS)
    state, more = try_reductions(here, probe, options)
    return state, made + more


def by_other_groups(
    state: State, probe: Probe, options: LocalOptions, generator: torch.Generator
) -> tuple[State, list[Move]]:
    """Deletions of what only one or two groups of songs want."""
    return without_owners(state, probe, options)


MOVES: dict[str, Step] = {  # in this order
    "merges and deletions": merges_and_deletions,
    "births": splits,
    "deletions by other groups": by_other_groups,
}
