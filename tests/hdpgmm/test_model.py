"""The two steps over a corpus: against the oracle's bound, and what they must not depend on."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from hdpgmm import model
from hdpgmm.model import State
from hdpgmm.prior import whitened_prior
from hdpgmm.statistics import Statistics, zeros
from tests.hdpgmm.corpora import (
    F64,
    OPTIONS,
    Corpus,
    batch_of,
    mixture,
    oracle_corpus,
    oracle_hyper,
    partition_state,
    skewed_prior,
    small_case,
    songs_of,
)
from tests.oracles import elbo


def _close(one: Statistics, two: Statistics, **tolerance: float) -> None:
    for a, b in zip(one.tensors(), two.tensors(), strict=True):
        torch.testing.assert_close(a, b, **({"atol": 1e-9, "rtol": 1e-9} | tolerance))


def test_expectations_are_the_oracles():
    corpus, state = small_case()
    ready, q = model.prepare(state, F64), oracle_corpus(state)
    expected = elbo.expected_log_gaussians(corpus.values, q)
    torch.testing.assert_close(model.log_likelihoods(ready, corpus.values, block=7), expected)
    torch.testing.assert_close(ready.log_beta, elbo.corpus_log_weights(q))


def test_total_bound_is_the_oracles():
    corpus, state = small_case()
    _, info = batch_of(state, corpus)
    expected = elbo.bound(songs_of(state, corpus), oracle_corpus(state), oracle_hyper(state.prior))
    assert info.bound - model.corpus_kl(state) == pytest.approx(float(expected), abs=1e-8)


def test_statistics_are_the_responsibilities_moments():
    corpus, state = small_case()
    found, info = batch_of(state, corpus)
    songs = songs_of(state, corpus)
    resp = torch.cat([song.zeta @ song.varphi for song in songs])
    expected = Statistics(
        resp.sum(0),
        torch.einsum("nk,ni->ki", resp, corpus.values),
        torch.einsum("nk,ni,nj->kij", resp, corpus.values, corpus.values),
        torch.stack([song.varphi.sum(0) for song in songs]).sum(0),
    )
    _close(found, expected)
    assert (info.songs, info.frames) == (7, len(corpus.values))


def test_a_component_absent_from_batches_stays_where_it_is():
    """Fifty steps of 0.08 without it. Averaging means instead would take it from 5 to 5 * .92^50 = 0.08."""
    statistics = Statistics(
        torch.tensor([1e5], dtype=F64), torch.tensor([[5e5]], dtype=F64),
        torch.tensor([[[25.5e5]]], dtype=F64), torch.tensor([10.0], dtype=F64),
    )  # fmt: skip
    state = State(whitened_prior(1, 1.0, 1.0), statistics)
    for _ in range(50):
        state = model.blend(state, zeros(1, 1), scale=3.0, rho=0.08)
    q = oracle_corpus(state)
    assert float(q.mean) == pytest.approx(5.0, abs=0.01)
    assert float(q.scale_inv / q.dof) == pytest.approx(0.5, rel=0.01)
    assert state.step == 50


def test_full_step_is_the_batch_update_whatever_came_before():
    corpus, state = small_case()
    batch, _ = batch_of(state, corpus)
    _close(model.blend(state, batch, scale=1.0, rho=1.0).stats, batch)


def test_half_a_step_changes_neither_argument():
    corpus, state = small_case()
    batch, _ = batch_of(state, corpus)
    kept = [part.clone() for part in (*state.stats.tensors(), *batch.tensors())]
    moved = model.blend(state, batch, scale=2.0, rho=0.25)
    assert all(
        torch.equal(a, b) for a, b in zip(kept, (*state.stats.tensors(), *batch.tensors()), strict=True)
    )
    _close(moved.stats, state.stats.scaled(0.75) + batch.scaled(0.5))


@pytest.mark.parametrize("rho", [0.0, -0.1, 1.01, float("nan")])
def test_step_outside_its_range_is_refused(rho: float):
    _, state = small_case()
    with pytest.raises(ValueError, match="rho"):
        model.blend(state, state.stats, 1.0, rho)


def test_step_sizes_satisfy_robbins_and_monro():
    sizes = np.array([model.step_size(t, 1.0, 0.6) for t in range(1, 20_001)])
    assert sizes[0] == pytest.approx(2**-0.6)
    assert np.all(np.diff(sizes) < 0)
    slope = np.polyfit(np.log(np.arange(10_000, 20_001)), np.log(sizes[9_999:]), 1)[0]
    assert slope == pytest.approx(-0.6, abs=1e-3)  # sum diverges, sum of squares converges
    assert model.step_size(1, 0.0, 0.9) == 1.0
    assert model.step_size(1, -0.9, 0.9) == 1.0


def test_mini_batches_are_unbiased():
    """Over every pair of the seven songs, scaled by 7 / 2: the mean is the corpus' statistics."""
    corpus, state = small_case()
    full, _ = batch_of(state, corpus)
    pairs = [batch_of(state, corpus.take(list(pair)))[0] for pair in itertools.combinations(range(7), 2)]
    total = zeros(5, 2)
    for pair in pairs:
        total = total + pair.scaled(7 / 2 / len(pairs))
    _close(total, full)


def test_batches_of_a_partition_with_a_short_last_one_sum_to_the_corpus():
    corpus, state = small_case()
    full, whole = batch_of(state, corpus)
    parts = [batch_of(state, corpus.take(songs)) for songs in ([4, 1, 6], [0, 3, 2], [5])]
    _close(parts[0][0] + parts[1][0] + parts[2][0], full)
    info = parts[0][1] + parts[1][1] + parts[2][1]
    assert (info.songs, info.frames, info.refreshes) == (whole.songs, whole.frames, whole.refreshes)
    assert info.bound == pytest.approx(whole.bound, abs=1e-9)


def test_songs_do_not_see_each_other():
    """Through more frames than are scored at once, with songs of 0 and 1 frames between."""
    corpus = mixture(seed=3, n_songs=40, n_comp=3, dim=1, frames=(400, 600), spread=4.0)
    bounds = corpus.offsets.tolist()
    offsets = torch.tensor([0, 0, *bounds[1:20], bounds[20] - 1, *bounds[20:], bounds[-1]])
    assert bounds[-1] > 16_384
    state = partition_state(corpus, 3, skewed_prior(1))
    ready = model.prepare(state, F64)
    together = list(model.infer(ready, corpus.values, offsets, OPTIONS))
    assert [(part.start, part.stop) for part, _ in together] == [
        (a, b) for a, b in itertools.pairwise(offsets.tolist()) if b > a
    ]
    for part, song in together[::8] + together[19:21]:
        alone = torch.tensor([0, part.stop - part.start])
        ((_, expected),) = model.infer(ready, corpus.values[part], alone, OPTIONS)
        assert song.bound == pytest.approx(expected.bound, abs=1e-8)
        torch.testing.assert_close(song.zeta, expected.zeta, atol=1e-8, rtol=0)


def test_a_batch_without_frames_is_worth_nothing():
    _, state = small_case()
    empty = Corpus(torch.empty(0, 2, dtype=F64), torch.tensor([0, 0, 0]), np.empty(0, int))
    found, info = batch_of(state, empty)
    _close(found, zeros(5, 2))
    assert info == model.BatchInfo(0, 0, 0.0, 0)


def test_order_of_components_does_not_matter():
    corpus, state = small_case()
    order = torch.tensor([3, 0, 4, 1, 2])
    moved = replace(state, stats=state.stats.take(order))
    (plain, info), (other, other_info) = batch_of(state, corpus), batch_of(moved, corpus)
    _close(other, plain.take(order), atol=1e-7)
    assert other_info.bound == pytest.approx(info.bound, abs=1e-8)
    assert model.corpus_kl(moved) == pytest.approx(model.corpus_kl(state), abs=1e-10)


def test_splash_mixes_in_the_uniform_distribution():
    """Every frame gives a share of it to all components alike; atoms and the bound are those of the posterior."""
    corpus, state = small_case()
    (plain, info), (mixed, mixed_info) = batch_of(state, corpus), batch_of(state, corpus, splash=0.2)
    n_frames = len(corpus.values)
    torch.testing.assert_close(mixed.count, 0.8 * plain.count + 0.2 * n_frames / 5)
    torch.testing.assert_close(mixed.first, 0.8 * plain.first + 0.04 * corpus.values.sum(0))
    assert torch.equal(mixed.atoms, plain.atoms)
    assert mixed_info.bound == info.bound


@pytest.mark.parametrize(
    ("weights", "expected"), [([5, 1, 4], 3), ([98.9, 0.2, 0.9], 2), ([1, 0, 0], 1), ([1.0] * 200, 198)]
)
def test_components_that_carry_the_weight(weights: list[float], expected: int):
    assert model.effective_components(torch.tensor(weights, dtype=F64)) == expected
