"""Components of few songs: kept where others want them, deleted where one or two groups alone do."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hdpgmm.components.prior import whitened_prior
from hdpgmm.model import State
from hdpgmm.moves.merge_delete import Probe
from hdpgmm.moves.song_bounds import NEW, song_bounds, under_trial
from hdpgmm.moves.support import without_owners
from tests.hdpgmm.corpora import Corpus, corpus_of, partition_state
from tests.hdpgmm.moves.test_moves import EXACT, LOOSE, probe_of, started, updated

SONGS = 40


def _corpus(visitors: list[int]) -> tuple[Corpus, State, int]:
    """Songs of one sound; `visitors` have another one beside it. The state with both, and where the other one is."""
    rng = np.random.default_rng(0)
    songs = [rng.normal(size=(60, 2)) for _ in range(SONGS)]
    for song in visitors:
        songs[song][:20] += 12.0
    corpus = corpus_of([torch.tensor(song) for song in songs], [np.zeros(60, dtype=int)] * SONGS)
    state = updated(started(corpus, 2, 0, True), corpus, 3, LOOSE)
    assert state.stats.count.min().item() == pytest.approx(20 * len(visitors), rel=1e-3)
    return corpus, state, int(state.stats.count.argmin())


@pytest.mark.parametrize(
    ("visitors", "groups", "corpus_songs", "gone"),
    [
        ([3, 17], None, SONGS, True),  # two songs alone have it
        ([3, 17, 21], None, SONGS, False),  # a third wants it
        ([3, 17, 21, 30, 31], None, SONGS, False),
        ([4, 5, 6, 7], 2, SONGS, True),  # four songs, of two artists
        ([4, 5, 6, 8], 2, SONGS, False),  # of three artists
        ([3, 17], None, 40 * SONGS, False),  # the probe is a part of the corpus: others have it
    ],
)
def test_what_one_or_two_groups_alone_have_goes(
    visitors: list[int], groups: int | None, corpus_songs: int, gone: bool
) -> None:
    corpus, state, place = _corpus(visitors)
    state = replace(state, stats=state.stats.scaled(corpus_songs / SONGS))
    numbers = None if groups is None else torch.arange(SONGS) // groups
    found, made = without_owners(state, Probe(corpus.songs, corpus_songs, numbers), LOOSE)
    assert [move.components for move in made] == ([(place,)] if gone else [])
    assert found.n_components == 2 - gone


def test_a_corpus_of_three_songs_keeps_what_one_of_them_has() -> None:
    rng = np.random.default_rng(1)
    songs = [torch.tensor(rng.normal(size=(60, 2)) + 12.0 * song) for song in range(3)]
    corpus = corpus_of(songs, [np.zeros(60, dtype=int)] * 3)
    state = updated(started(corpus, 3, 0, True), corpus, 3, LOOSE)
    assert state.n_components == 3
    assert without_owners(state, probe_of(corpus), LOOSE) == (state, [])


def test_of_two_neighbours_one_goes_at_a_time() -> None:
    """Where both go, nothing is left for the frames of either: what songs lose of one counts on the other."""
    rng = np.random.default_rng(2)
    labels = [np.zeros(60, dtype=int) for _ in range(SONGS)]
    for song in (3, 17):
        labels[song][:40] = [1] * 20 + [2] * 20
    means = np.array([[0.0, 0.0], [12.0, 12.0], [12.0, 20.0]])
    songs = [torch.tensor(rng.normal(size=(60, 2)) + means[label]) for label in labels]
    corpus = corpus_of(songs, labels)
    state = updated(partition_state(corpus, 3, whitened_prior(2, direct=True)), corpus, 3, LOOSE)
    assert sorted(state.stats.count.round().tolist())[:2] == [40.0, 40.0]
    assert len(without_owners(state, probe_of(corpus), LOOSE, rounds=1)[1]) == 1
    assert len(without_owners(state, probe_of(corpus), LOOSE)[1]) == 2


def test_halves_of_a_probe_share_no_group() -> None:
    corpus, _, _ = _corpus([3, 17])
    groups = torch.tensor([7, 7, 2, 2, 9, 7, 4, 4] * 5)
    halves = [Probe(corpus.songs, SONGS, groups).half(odd) for odd in (0, 1)]
    assert [set(half.groups.tolist()) for half in halves if half.groups is not None] == [{7, 9}, {2, 4}]
    assert sum(len(half.songs) for half in halves) == SONGS
    alone = [Probe(corpus.songs, SONGS, torch.full((SONGS,), 5)).half(odd) for odd in (0, 1)]
    assert [len(half.songs) for half in alone] == [SONGS // 2] * 2


def test_songs_that_a_trial_does_not_concern_pay_other_prices_alone() -> None:
    """Against inference of all songs: those that have the component, and those that do not."""
    corpus, state, place = _corpus([3, 17, 21])
    other = 1 - place
    parts = [
        torch.cat([part, 0.5 * part[[place]]]) if part.ndim else part for part in state.stats.tensors()[:-1]
    ]
    for part in parts:
        part[place] *= 0.5
    trial = replace(state, stats=type(state.stats)(*parts, state.stats.sticks))
    before = song_bounds(state, corpus.songs, EXACT)
    found = under_trial(before, state, trial, corpus.songs, EXACT, [place], [0, 1, NEW])
    expected = song_bounds(trial, corpus.songs, EXACT)
    torch.testing.assert_close(found.bound, expected.bound, rtol=0.0, atol=1e-3)
    torch.testing.assert_close(found.atoms, expected.atoms, rtol=0.0, atol=1e-3)
    assert float(found.atoms[:, other].min()) > 0.5
    assert float((before.bound - expected.bound).abs().max()) > 0.1
