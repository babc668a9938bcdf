"""Births: what is one Gaussian stays one, and songs that did not propose a birth decide on it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hdpgmm.moves.births import births
from tests.hdpgmm.corpora import corpus_of
from tests.hdpgmm.moves.test_moves import BOTH, LOOSE, probe_of, started, updated


@pytest.mark.parametrize(("dim", "n_songs", "corpus_songs"), [(2, 40, 40), (2, 40, 800), (8, 40, 4000)])
@BOTH
def test_nothing_is_born_of_one_gaussian(direct: bool, dim: int, n_songs: int, corpus_songs: int):
    """Whether the probe is the corpus or a small part of it. Proposals do fit their own half of the probe better."""
    born = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        frames = [torch.tensor(rng.normal(size=(50, dim)), dtype=torch.float32) for _ in range(n_songs)]
        corpus = corpus_of(frames, [np.zeros(50, dtype=int)] * n_songs)
        state = updated(started(corpus, 1, seed, direct), corpus, 2, LOOSE)
        scale = corpus_songs / n_songs
        state = replace(state, stats=state.stats.scaled(scale))
        generator = torch.Generator().manual_seed(seed)
        born += births(state, probe_of(corpus, corpus_songs), LOOSE, generator)[1]
    assert born == []


@pytest.mark.parametrize("corpus_songs", [40, 60])
@pytest.mark.parametrize(("every", "kinds"), [(1, {"birth"}), (2, set())])
def test_a_birth_is_judged_by_songs_that_did_not_propose_it(every: int, kinds: set[str], corpus_songs: int):
    """The songs that propose have a gap in their middle. The others, every second one, have none or have it too.

    So it is also where the probe is the whole corpus, which would gain by the half that proposes alone.
    """
    rng = np.random.default_rng(0)
    songs = [rng.normal(size=(60, 2)) for _ in range(40)]
    for song in songs[::every]:
        song[:, 0] += 2.0 * np.sign(song[:, 0])
    corpus = corpus_of([torch.tensor(song) for song in songs], [np.zeros(60, dtype=int)] * 40)
    state = updated(started(corpus, 1, 0, True), corpus, 2, LOOSE)
    generator = torch.Generator().manual_seed(0)
    _, made = births(state, probe_of(corpus, corpus_songs), LOOSE, generator)
    assert {move.kind for move in made} == kinds


@pytest.mark.parametrize(("every", "kinds"), [(1, {"birth"}), (2, set())])
def test_what_only_the_proposing_songs_have_stays_one(every: int, kinds: set[str]):
    """Songs have a component, in two parts, that the other half of a corpus never visits: they alone would gain.

    The other half has nothing to lose by it but the cost of one more component, so only being asked itself refuses it.
    """
    rng = np.random.default_rng(0)
    songs = [rng.normal(size=(60, 2)) for _ in range(40)]
    for song in songs[::every]:
        song[:20, 0] += 30.0
        song[:20, 1] += 4.0 * np.sign(song[:20, 1])
    corpus = corpus_of([torch.tensor(song) for song in songs], [np.zeros(60, dtype=int)] * 40)
    state = updated(started(corpus, 2, 0, True), corpus, 3, LOOSE)
    assert state.stats.count.tolist() == pytest.approx([60 * 40 - 20 * 40 / every, 20 * 40 / every], rel=1e-3)
    _, made = births(state, probe_of(corpus, 40), LOOSE, torch.Generator().manual_seed(0))
    assert {move.kind for move in made} == kinds


@pytest.mark.parametrize("seed", range(4))
def test_two_components_that_songs_mix_differently_are_told_apart_in_many_dimensions(seed: int):
    """Where the two as one are round, two means see no direction; the songs' shares do."""
    rng = np.random.default_rng(seed)
    offset = rng.normal(size=20)
    offset *= 6.0 / np.linalg.norm(offset)
    sides = [rng.random(80) < rng.beta(0.8, 0.8) for _ in range(80)]
    songs = [rng.normal(size=(80, 20)) + np.where(side[:, None], offset, 0.0) for side in sides]
    corpus = corpus_of(
        [torch.tensor(song, dtype=torch.float32) for song in songs], [side.astype(int) for side in sides]
    )
    state = updated(started(corpus, 1, 0, True), corpus, 2, LOOSE)
    split, made = births(state, probe_of(corpus, 80), LOOSE, torch.Generator().manual_seed(seed))
    assert [move.kind for move in made] == ["birth"]
    share = np.concatenate(sides[::2]).mean()  # of the songs that propose
    found = (split.stats.count / split.stats.count.sum()).max()
    assert float(found) == pytest.approx(max(share, 1.0 - share), abs=0.05)


@pytest.mark.parametrize(("count", "kinds"), [(1.01, {"birth"}), (0.99, set())])
def test_a_component_is_split_only_where_both_halves_have_the_frames_of_a_first_one(
    count: float, kinds: set[str]
):
    """Two parts far apart, in a corpus in which every third frame is independent: 2 * 3 * 4 * 2 dim frames."""
    rng = np.random.default_rng(0)
    songs = [rng.normal(size=(60, 2)) + 20.0 * rng.integers(0, 2, size=(60, 1)) for _ in range(40)]
    corpus = corpus_of([torch.tensor(song) for song in songs], [np.zeros(60, dtype=int)] * 40)
    state = updated(started(corpus, 1, 0, True), corpus, 2, LOOSE)
    state = replace(state, prior=replace(state.prior, dependence=3.0))
    state = replace(state, stats=state.stats.scaled(count * 2 * 3 * 4 * 2 * 2 / float(state.stats.count[0])))
    _, made = births(state, probe_of(corpus, 40), LOOSE, torch.Generator().manual_seed(0))
    assert {move.kind for move in made} == kinds
