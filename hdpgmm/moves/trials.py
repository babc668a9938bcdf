"""Merges and deletions judged by inferring songs again, where the closed form is too careful.

The closed form (`merge_delete`) leaves zeta with the atoms it has. Songs that may rearrange themselves often gain
where it says they lose, by tens of nats in a small corpus.
Only songs that use the components in question are inferred again.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model.bound import corpus_bound
from hdpgmm.model.expectations import prepare
from hdpgmm.model.inference import infer
from hdpgmm.model.state import State
from hdpgmm.moves.merge_delete import (
    Move,
    Probe,
    delete_gains,
    merge_gains,
    near_pairs,
    reduced,
    song_changes,
)

USED = 0.01  # of an atom: less of a component does not make a song one that uses it


@dataclass(frozen=True)
class _Songs:
    """Of the probe's songs: bound (song,) nats, and atoms (song, comp), their draws from beta."""

    bound: Tensor
    atoms: Tensor


def try_reductions(
    state: State, probe: Probe, options: LocalOptions, most: int = 16, failures: int = 3, neighbours: int = 8
) -> tuple[State, list[Move]]:
    """The likeliest merges and deletions, one after the other, each kept when the corpus' bound gains.

    It ends after `most` of them, or after `failures` in a row that would lose.

    A component takes part in one of them. The names in the moves are those of the state given.
    """
    names = list(range(state.n_components))
    songs = _inferred(state, probe, options)
    made: list[Move] = []
    tried = failed = 0
    for move in _likeliest(state, probe, options, neighbours):
        places = [names.index(k) if k in names else -1 for k in move.components]
        if len(names) == 1 or -1 in places or {k for m in made for k in m.components} & set(move.components):
            continue
        trial = reduced(state, [replace(move, components=tuple(places))])
        kept = [i for i in range(len(names)) if i != places[-1]]
        gain, after = _judge(state, trial, songs, probe, options, places, kept)
        if gain > 0.0:
            state, songs = trial, after
            names = [names[i] for i in kept]
            made.append(replace(move, gain=gain))
        tried, failed = tried + 1, 0 if gain > 0.0 else failed + 1
        if tried == most or failed == failures:
            break
    return state, made


def _likeliest(state: State, probe: Probe, options: LocalOptions, neighbours: int) -> list[Move]:
    pairs = near_pairs(state, neighbours)
    changes = song_changes(state, probe, options, pairs)
    merges = zip(pairs.tolist(), merge_gains(state, pairs, changes).tolist(), strict=True)
    moves = [Move("merge", tuple(pair), gain) for pair, gain in merges]
    moves += [Move("delete", (k,), gain) for k, gain in enumerate(delete_gains(state, changes).tolist())]
    return sorted((move for move in moves if move.gain > -torch.inf), key=lambda move: -move.gain)


def _inferred(state: State, probe: Probe, options: LocalOptions) -> _Songs:
    songs = probe.songs
    model, device = prepare(state, songs.values.dtype), songs.values.device
    bound = torch.zeros(len(songs), dtype=torch.float64, device=device)
    atoms = torch.zeros(len(songs), state.n_components, dtype=torch.float64, device=device)
    for group, posterior in infer(model, songs, options):
        index = group.songs.to(device)
        bound[index] = posterior.bound
        atoms[index] = posterior.component_draws()
    return _Songs(bound, atoms)


def _judge(
    state: State,
    trial: State,
    songs: _Songs,
    probe: Probe,
    options: LocalOptions,
    places: list[int],
    kept: list[int],
) -> tuple[float, _Songs]:
    """Gain of the corpus' bound, nats, and the songs after. Songs not concerned pay other prices for atoms."""
    index = torch.tensor(kept, device=songs.atoms.device)
    before, now = prepare(state, torch.float64).log_beta, prepare(trial, torch.float64).log_beta
    atoms = songs.atoms[:, index]
    bound = songs.bound + atoms @ (now - before[index])
    concerned = torch.nonzero((songs.atoms[:, places] > USED).any(1))[:, 0].cpu()
    again = _inferred(trial, probe.take(concerned), options)
    where = concerned.to(bound.device)
    bound[where], atoms[where] = again.bound, again.atoms
    gain = probe.scale * float((bound - songs.bound).sum()) + corpus_bound(trial) - corpus_bound(state)
    return gain, _Songs(bound, atoms)
