"""Components that only one or two groups of songs pay for are deleted: they are recordings, not sounds.

A component that fits an artist's recordings gains on that artist's songs, whatever else it is good for. What counts
here, where few songs or groups have it, is what it is worth to all others.
"""

import torch
from torch import Tensor

from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model.expectations import prepare
from hdpgmm.model.inference import infer, song_level
from hdpgmm.model.state import State
from hdpgmm.moves.merge_delete import (
    Move,
    Probe,
    deletion_gains,
    near_pairs,
    neighbours_of,
    reduced,
    song_losses,
)

OWNERS = 2  # groups whose songs have no say about a component: those that lose most without it
CARRIED = 0.01  # of a song's frames, at least
FEW_SONGS, FEW_GROUPS = 4, 3  # that carry a component: fewer have to be worth it to others
LEAST_SHARE = 1 / 8  # of the songs, or groups: what fewer are where there are few in all


def without_owners(
    state: State, probe: Probe, options: LocalOptions, rounds: int = 4, neighbours: int = 8
) -> tuple[State, list[Move]]:
    """Rounds of deletions, until none pays: of components with few carriers that no others would rather have.

    Few are fewer than FEW_SONGS songs or FEW_GROUPS groups that give them CARRIED of their frames. The gain is that of
    `delete_gains`, without the losses of the OWNERS groups that lose most. Carriers stand for as many others as the
    probe's songs do, owners for none: in a corpus of which the probe is a small part, nothing is deleted.
    """
    made: list[Move] = []
    for _ in range(rounds):
        few, losses = _few_and_losses(state, probe, options)
        gains = deletion_gains(state, losses)
        moves = _apart(state, torch.where(few, gains, -torch.inf), neighbours)
        if not moves:
            break
        state, made = reduced(state, moves), made + moves
    return state, made


def _few_and_losses(state: State, probe: Probe, options: LocalOptions) -> tuple[Tensor, Tensor]:
    """Which components have few carriers, bool (comp,), and what others lose without each, (comp,) nats."""
    model, level = prepare(state, probe.songs.values.dtype), song_level(state.prior.direct)
    numbers = probe.group_numbers.to(probe.songs.values.device)
    losses = model.log_beta.new_zeros(int(numbers.max()) + 1, state.n_components, dtype=torch.float64)
    carriers, songs = torch.zeros_like(losses), losses.new_zeros(state.n_components)
    for group, posterior in infer(model, probe.songs, options):
        forgotten = level.removal_changes(posterior, model.log_beta, state.alpha0)
        owner = numbers[group.songs.to(numbers.device)]
        losses.index_add_(0, owner, song_losses(posterior, group.mask, forgotten, state.n_components))
        shares = posterior.shares()
        carried = (shares >= CARRIED * shares.sum(1, keepdim=True)).double()
        carriers.index_add_(0, owner, carried)
        songs += carried.sum(0)
    groups = (carriers > 0.0).sum(0)
    few_songs = min(FEW_SONGS, LEAST_SHARE * len(probe.songs))
    few_groups = min(FEW_GROUPS, LEAST_SHARE * len(losses))
    few = (probe.scale * songs < few_songs) | (probe.scale * groups < few_groups)
    ordered = losses.sort(
        dim=0, descending=True
    ).values  # infinite where a song's frames are far from all others
    others = probe.scale * ordered[OWNERS:].sum(0)
    like_owners = (probe.scale - 1.0) * ordered[:OWNERS].sum(0) if probe.scale > 1.0 else 0.0
    return few, others + like_owners


def _apart(state: State, gains: Tensor, neighbours: int) -> list[Move]:
    """The deletions that gain, best first, none of them of a neighbour of another one; one component stays."""
    near = neighbours_of(near_pairs(state, neighbours), state.n_components)
    touched: set[int] = set()
    moves: list[Move] = []
    for k in gains.argsort(descending=True, stable=True).tolist():
        if float(gains[k]) > 0.0 and k not in touched and len(moves) + 1 < state.n_components:
            moves.append(Move("delete", (k,), float(gains[k])))
            touched |= {k} | near[k]
    return moves
