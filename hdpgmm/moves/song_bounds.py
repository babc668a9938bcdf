"""The songs' part of the bound, song by song, so that a trial infers again only the songs that it concerns."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hdpgmm.local_step.groups import Group
from hdpgmm.local_step.posterior import LocalOptions, Posterior
from hdpgmm.model.expectations import prepare
from hdpgmm.model.inference import infer
from hdpgmm.model.state import State
from hdpgmm.ragged import Ragged

USED = 0.01  # of an atom: less of a component does not make a song one that uses it
NEW = -1  # place of a component that the state before does not have


@dataclass(frozen=True)
class SongBounds:
    """Of a probe's songs: bound (song,) nats, and atoms (song, comp), their draws from beta."""

    bound: Tensor
    atoms: Tensor

    def put(self, group: Group, posterior: Posterior) -> None:
        """Note a group's songs."""
        index = group.songs.to(self.bound.device)
        self.bound[index] = posterior.bound.to(self.bound.dtype)
        self.atoms[index] = posterior.component_draws()


def nothing(songs: Ragged[Tensor], comps: int) -> SongBounds:
    """Zeros, to be filled."""
    zeros = songs.values.new_zeros(len(songs), 1 + comps, dtype=torch.float64)
    return SongBounds(zeros[:, 0].clone(), zeros[:, 1:].clone())


def song_bounds(state: State, songs: Ragged[Tensor], options: LocalOptions) -> SongBounds:
    """Of all songs (frame, dim)."""
    found = nothing(songs, state.n_components)
    for group, posterior in infer(prepare(state, songs.values.dtype), songs, options):
        found.put(group, posterior)
    return found


def under_trial(
    before: SongBounds,
    state: State,
    trial: State,
    songs: Ragged[Tensor],
    options: LocalOptions,
    concerned: Sequence[int],
    kept: Sequence[int],
) -> SongBounds:
    """The songs' bounds in another state; those that use none of the components `concerned` only pay other prices.

    kept: for every component of the trial its place in the state before, or NEW.
    """
    places = torch.tensor(kept, device=before.atoms.device)
    old = places != NEW
    was, now = prepare(state, torch.float64).log_beta, prepare(trial, torch.float64).log_beta
    atoms = before.atoms[:, places.clamp(min=0)] * old
    bound = before.bound + atoms[:, old] @ (now[old] - was[places[old]])
    again = torch.nonzero((before.atoms[:, list(concerned)] > USED).any(1))[:, 0]
    found = song_bounds(trial, songs.take(again.cpu()), options)
    bound[again], atoms[again] = found.bound, found.atoms
    return SongBounds(bound, atoms)
