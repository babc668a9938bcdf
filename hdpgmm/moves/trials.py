"""Merges and deletions judged by inferring songs again, where the closed form is too careful.

The closed form (`merge_delete`) leaves zeta with the atoms it has. Songs that may rearrange themselves often gain
where it says they lose, by tens of nats in a small corpus.
Only songs that use the components in question are inferred again.
"""

from dataclasses import replace

import torch

from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model.bound import corpus_bound
from hdpgmm.model.state import State
from hdpgmm.moves.merge_delete import (
    Move,
    Probe,
    Surveyed,
    delete_gains,
    merge_gains,
    reduced,
)
from hdpgmm.moves.song_bounds import SongBounds, under_trial


def try_reductions(
    here: Surveyed, probe: Probe, options: LocalOptions, most: int = 16, failures: int = 3
) -> tuple[State, list[Move]]:
    """The likeliest merges and deletions, one after the other, each kept when the corpus' bound gains.

    here: the state, and what the closed form promises of it. It ends after `most` of them, or after `failures` in a row
    that would lose. A component takes part in one of them. The names in the moves are those of the state given.
    """
    state, songs = here.state, here.songs.each
    names = list(range(state.n_components))
    made: list[Move] = []
    tried = failed = 0
    for move in _likeliest(here):
        places = [names.index(k) if k in names else -1 for k in move.components]
        if len(names) == 1 or -1 in places or {k for m in made for k in m.components} & set(move.components):
            continue
        trial = reduced(state, [replace(move, components=tuple(places))])
        kept = [i for i in range(len(names)) if i != places[-1]]
        gain, after = judge(state, trial, songs, probe, options, places, kept)
        if gain > 0.0:
            state, songs = trial, after
            names = [names[i] for i in kept]
            made.append(replace(move, gain=gain))
        tried, failed = tried + 1, 0 if gain > 0.0 else failed + 1
        if tried == most or failed == failures:
            break
    return state, made


def _likeliest(here: Surveyed) -> list[Move]:
    state, pairs, changes = here.state, here.pairs, here.songs
    merges = zip(pairs.tolist(), merge_gains(state, pairs, changes).tolist(), strict=True)
    moves = [Move("merge", tuple(pair), gain) for pair, gain in merges]
    moves += [Move("delete", (k,), gain) for k, gain in enumerate(delete_gains(state, changes).tolist())]
    return sorted((move for move in moves if move.gain > -torch.inf), key=lambda move: -move.gain)


def judge(
    state: State,
    trial: State,
    songs: SongBounds,
    probe: Probe,
    options: LocalOptions,
    places: list[int],
    kept: list[int],
) -> tuple[float, SongBounds]:
    """Gain of the corpus' bound, nats, and the songs after."""
    after = under_trial(songs, state, trial, probe.songs, options, places, kept)
    gain = probe.scale * float((after.bound - songs.bound).sum())
    return gain + corpus_bound(trial) - corpus_bound(state), after
