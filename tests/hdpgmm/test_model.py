"""The two steps over a corpus: against the oracle's bound, and what they must not depend on."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import special
from torch import Tensor

from hdpgmm import model
from hdpgmm.components.prior import Concentration, whitened_prior
from hdpgmm.components.statistics import Statistics, contract, expand, expanded_size, zeros
from hdpgmm.model import State
from hdpgmm.model.threads import in_threads
from hdpgmm.ragged import packed, ragged
from tests.hdpgmm.corpora import (
    F64,
    OPTIONS,
    Corpus,
    batch_of,
    corpus_of,
    mixture,
    oracle_corpus,
    oracle_hyper,
    partition_state,
    skewed_prior,
    small_case,
    songs_of,
)
from tests.oracles import elbo

both_families = pytest.mark.parametrize("diagonal", [False, True])


def _close(one: Statistics, two: Statistics, atol: float = 1e-9) -> None:
    for a, b in zip(one.tensors(), two.tensors(), strict=True):
        torch.testing.assert_close(a, b, atol=atol, rtol=1e-9)


def _with_an_empty_component(state: State) -> State:
    stats = state.stats
    count, first, second, atoms = (
        torch.cat([part, torch.zeros_like(part[:1])])
        for part in (stats.count, stats.first, stats.second, stats.atoms)
    )
    return replace(state, stats=Statistics(count, first, second, atoms, stats.sticks))


@both_families
def test_expectations_are_the_oracles(diagonal: bool):
    corpus, state = small_case(diagonal)
    ready, q = model.prepare(state, F64), oracle_corpus(state)
    expected = elbo.expected_log_gaussians(corpus.values, q)
    torch.testing.assert_close(
        model.log_likelihoods(ready, corpus.values, torch.empty(ready.theta.shape[0], 7, dtype=F64)), expected
    )
    side_by_side = corpus.values[:12].view(3, 4, 2)
    torch.testing.assert_close(model.log_likelihoods(ready, side_by_side), expected[:12].view(3, 4, 5))
    torch.testing.assert_close(ready.log_beta, elbo.corpus_log_weights(q))
    sticks, rest = q.u / (q.u + q.v), 1.0
    for component, stick in zip(q.order, sticks.tolist(), strict=True):
        assert float(ready.beta[component]) == pytest.approx(rest * stick, rel=1e-12)
        rest *= 1.0 - stick


@pytest.mark.parametrize("learned", [False, True])
@both_families
def test_every_term_of_the_bound_is_the_oracles(diagonal: bool, learned: bool):
    corpus, state = small_case(diagonal, learned)
    expected = elbo.terms(songs_of(state, corpus), oracle_corpus(state), oracle_hyper(state))
    found = model.bound_terms(state, corpus.songs, OPTIONS)
    assert found.keys() == vars(expected).keys()
    for name, nats in found.items():
        assert nats == pytest.approx(float(vars(expected)[name]), abs=1e-9), name
    assert (found["concentrations"] != 0.0) == learned
    _, info = batch_of(state, corpus)
    total = info.bound + model.corpus_bound(state)
    assert total == pytest.approx(float(expected.total()), abs=1e-8)
    assert total == pytest.approx(sum(found.values()), abs=1e-9)


@both_families
def test_components_out_of_use_add_nothing_to_the_bound(diagonal: bool):
    _, state = small_case(diagonal)
    longer = _with_an_empty_component(_with_an_empty_component(state))
    assert model.corpus_terms(longer) == pytest.approx(model.corpus_terms(state), abs=1e-11)


@both_families
def test_statistics_are_the_responsibilities_moments(diagonal: bool):
    corpus, state = small_case(diagonal)
    found, info = batch_of(state, corpus)
    songs = songs_of(state, corpus)
    resp = torch.cat([song.zeta @ song.varphi for song in songs])
    second = torch.einsum("nk,ni,nj->kij", resp, corpus.values, corpus.values)
    log_rest = [special.digamma(song.b) - special.digamma(song.a + song.b) for song in songs]
    expected = Statistics(
        resp.sum(0),
        torch.einsum("nk,ni->ki", resp, corpus.values),
        second.diagonal(dim1=1, dim2=2) if diagonal else second,
        torch.stack([song.varphi.sum(0) for song in songs]).sum(0),
        torch.tensor([sum(map(len, log_rest)), -np.concatenate(log_rest).sum()], dtype=F64),
    )
    _close(found, expected)
    assert (info.songs, info.frames) == (7, len(corpus.values))
    assert info.refreshes >= 7


@pytest.mark.parametrize("n_frames", [3, 40, 2500])
@both_families
def test_products_are_the_moments_of_songs_of_any_length(n_frames: int, diagonal: bool):
    """Shorter than their atoms are many, several to a block, and longer than two blocks."""
    rng = np.random.default_rng(n_frames)
    values = rng.normal(size=(3, n_frames, 2))
    zeta, varphi = rng.dirichlet(np.ones(5), (3, n_frames)), rng.dirichlet(np.ones(7), (3, 5))
    varphi[:, 1], varphi[0, 3] = np.eye(7)[4], 0.0  # certain of a component, and out of use
    corpus, state = small_case()
    _, any_posterior = next(model.infer(model.prepare(state, F64), corpus.songs, OPTIONS))
    counts = torch.tensor(zeta.sum(1))
    posterior = replace(any_posterior, zeta=torch.tensor(zeta), varphi=torch.tensor(varphi), counts=counts)
    sums = model.products(torch.tensor(values), posterior, diagonal)
    found = contract(sums, torch.zeros(7, dtype=F64), torch.zeros(2, dtype=F64), 2, diagonal)
    resp = np.einsum("snt,stk->snk", zeta, varphi)
    second = np.einsum("snk,sni,snj->kij", resp, values, values)
    np.testing.assert_allclose(found.count, resp.sum((0, 1)), rtol=1e-12)
    np.testing.assert_allclose(found.first, np.einsum("snk,sni->ki", resp, values), atol=1e-9)
    np.testing.assert_allclose(
        found.second, np.diagonal(second, axis1=1, axis2=2) if diagonal else second, atol=1e-9
    )


def test_a_component_absent_from_batches_stays_where_it_is():
    """Fifty steps of 0.08 without it. Averaging means instead would take it from 5 to 5 * .92^50 = 0.08."""
    statistics = Statistics(
        torch.tensor([1e5], dtype=F64), torch.tensor([[5e5]], dtype=F64), torch.tensor([[[25.5e5]]], dtype=F64),
        torch.tensor([10.0], dtype=F64), torch.zeros(2, dtype=F64),
    )  # fmt: skip
    state = State(whitened_prior(1), statistics, 1.0, 1.0)
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


@pytest.mark.parametrize("which", ["gamma", "alpha0"])
def test_a_fixed_concentration_stays_beside_a_learned_one(which: str):
    corpus, state = small_case()
    prior = replace(state.prior, **{which: Concentration(2.5, learned=False)})
    state = replace(state, prior=prior, **{which: 2.5})
    after = model.blend(state, batch_of(state, corpus)[0], scale=1.0, rho=0.5)
    assert getattr(after, which) == 2.5
    other = {"gamma": "alpha0", "alpha0": "gamma"}[which]
    assert getattr(after, other) != getattr(state, other)


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


@pytest.mark.parametrize("n_songs", [1, 2, 6])
def test_mini_batches_of_any_size_are_unbiased(n_songs: int):
    """Over every choice of so many of the seven songs, scaled by 7 / n: the mean is the corpus' statistics."""
    corpus, state = small_case()
    full, _ = batch_of(state, corpus)
    chosen = list(itertools.combinations(range(7), n_songs))
    total = zeros(5, 2)
    for songs in chosen:
        total = total + batch_of(state, corpus.take(songs))[0].scaled(7 / n_songs / len(chosen))
    _close(total, full)


def test_an_epoch_of_steps_with_a_short_last_batch_is_unbiased():
    """Batches of 3, 3 and 1 songs, each scaled to the corpus: over every turn of the songs, each aims at it."""
    corpus, state = small_case()
    full, _ = batch_of(state, corpus)
    fixed = replace(state, prior=skewed_prior(2, learned=False))
    for part in (slice(0, 3), slice(3, 6), slice(6, 7)):
        mean = zeros(5, 2)
        for turn in range(7):
            songs = [(song + turn) % 7 for song in range(7)][part]
            step = model.blend(fixed, batch_of(state, corpus.take(songs))[0], 7 / len(songs), rho=0.4)
            mean = mean + step.stats.scaled(1 / 7)
        _close(mean, state.stats.scaled(0.6) + full.scaled(0.4))


def test_batches_of_a_partition_with_a_short_last_one_sum_to_the_corpus():
    corpus, state = small_case()
    full, whole = batch_of(state, corpus)
    parts = [batch_of(state, corpus.take(songs)) for songs in ([4, 1, 6], [0, 3, 2], [5])]
    _close(parts[0][0] + parts[1][0] + parts[2][0], full)
    info = parts[0][1] + parts[1][1] + parts[2][1]
    assert (info.songs, info.frames, info.refreshes) == (whole.songs, whole.frames, whole.refreshes)
    assert info.bound == pytest.approx(whole.bound, abs=1e-9)


def _many_groups() -> tuple[Corpus, State]:
    """Forty songs of 0, 1 and 400 to 600 frames, more than are scored at once, and a state near them."""
    corpus = mixture(seed=3, n_songs=38, n_comp=3, dim=1, frames=(400, 600), spread=4.0)
    songs = [corpus.values[:0], *corpus.songs[:20], corpus.values[:1], *corpus.songs[20:]]
    labels = [np.zeros(len(song), dtype=int) for song in songs]
    state = partition_state(corpus, 3, skewed_prior(1))
    assert len(corpus.values) > 2 * model.GROUP_FRAMES["cpu"]
    return corpus_of(songs, labels), state


def test_songs_do_not_see_each_other():
    corpus, state = _many_groups()
    ready = model.prepare(state, F64)
    seen = []
    for group, together in model.infer(ready, corpus.songs, OPTIONS):
        seen += group.songs.tolist()
        song = group.songs[-1:]
        frames = corpus.songs[int(song)]
        ((_, alone),) = model.infer(ready, packed([frames]), OPTIONS)
        atoms = alone.counts.shape[1]
        assert float(together.bound[-1]) == pytest.approx(float(alone.bound), abs=1e-8)
        torch.testing.assert_close(together.zeta[-1:, : len(frames), :atoms], alone.zeta, atol=1e-8, rtol=0)
    assert sorted(seen) == list(range(1, 40))


def test_order_of_songs_does_not_matter():
    corpus, state = small_case()
    (plain, info), (moved, moved_info) = (
        batch_of(state, corpus),
        batch_of(state, corpus.take([3, 0, 6, 5, 2, 4, 1])),
    )
    _close(moved, plain)
    assert moved_info.bound == pytest.approx(info.bound, abs=1e-9)


@both_families
def test_order_of_components_does_not_matter(diagonal: bool):
    corpus, state = small_case(diagonal)
    order = torch.tensor([3, 0, 4, 1, 2])
    moved = replace(state, stats=state.stats.take(order))
    (plain, info), (other, other_info) = batch_of(state, corpus), batch_of(moved, corpus)
    _close(other, plain.take(order), atol=1e-7)
    assert other_info.bound == pytest.approx(info.bound, abs=1e-8)
    assert model.corpus_terms(moved) == pytest.approx(model.corpus_terms(state), abs=1e-10)


def test_a_batch_without_frames_is_worth_nothing():
    _, state = small_case()
    empty = Corpus(ragged([0, 0], torch.empty(0, 2, dtype=F64)), np.empty(0, int))
    for splash in (0.0, 0.2):
        found, info = batch_of(state, empty, splash)
        _close(found, zeros(5, 2))
        assert info == model.BatchInfo(0, 0, 0.0, 0)
    terms = model.bound_terms(state, empty.songs, OPTIONS)
    assert sum(terms.values()) == pytest.approx(model.corpus_bound(state))


@both_families
def test_splash_mixes_in_the_uniform_distribution(diagonal: bool):
    """Every frame gives a share of it to all components alike; atoms, sticks and bound are those of the posterior."""
    corpus, state = small_case(diagonal)
    (plain, info), (mixed, mixed_info) = batch_of(state, corpus), batch_of(state, corpus, splash=0.2)
    n_frames, squares = len(corpus.values), corpus.values.T @ corpus.values
    torch.testing.assert_close(mixed.count, 0.8 * plain.count + 0.2 * n_frames / 5)
    torch.testing.assert_close(mixed.first, 0.8 * plain.first + 0.04 * corpus.values.sum(0))
    torch.testing.assert_close(
        mixed.second, 0.8 * plain.second + 0.04 * (squares.diagonal() if diagonal else squares)
    )
    assert torch.equal(mixed.atoms, plain.atoms)
    assert torch.equal(mixed.sticks, plain.sticks)
    assert mixed_info.bound == info.bound


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_number_of_threads_changes_no_bit(dtype: torch.dtype):
    corpus, state = _many_groups()
    ready, found = model.prepare(state, dtype), []
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            found.append(model.batch_statistics(ready, corpus.songs_as(dtype), OPTIONS, splash=0.1))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)
    for stats, info in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(stats.tensors(), found[0][0].tensors(), strict=True))
        assert info == found[0][1]


def test_an_error_in_a_thread_is_raised_and_the_threads_come_back():
    try:
        torch.set_num_threads(2)
        assert list(in_threads(lambda item: item * item, range(9))) == [i * i for i in range(9)]
        with pytest.raises(ZeroDivisionError):
            list(in_threads(lambda item: 1 // item, [1, 0, 1]))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def _relative(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


@both_families
def test_float32_statistics_are_float64s(diagonal: bool):
    """Measured over five corpora: to 3e-6 of their size, and the bound to 6e-7 nats a frame."""
    corpus = mixture(seed=5, n_songs=12, n_comp=6, dim=8, frames=(100, 300), spread=2.0)
    state = partition_state(corpus, 6, skewed_prior(8, diagonal=diagonal))
    double, exact = batch_of(state, corpus)
    single, info = model.batch_statistics(model.prepare(state), corpus.songs_as(torch.float32), OPTIONS)
    for found, expected in zip(single.tensors(), double.tensors(), strict=True):
        assert found.dtype == F64
        assert _relative(found, expected) < 1e-5
    assert abs(info.bound - exact.bound) / exact.frames < 1e-5


@pytest.mark.parametrize(
    ("weights", "expected"), [([5, 1, 4], 3), ([98.9, 0.2, 0.9], 2), ([1, 0, 0], 1), ([1.0] * 200, 198)]
)
def test_components_that_carry_the_weight(weights: list[float], expected: int):
    assert model.effective_components(torch.tensor(weights, dtype=F64)) == expected


@pytest.mark.parametrize("n_frames", [0, 1, 255, 256, 257, 700])
def test_log_likelihoods_of_any_number_of_frames_into_used_memory(n_frames: int):
    corpus, state = small_case()
    ready = model.prepare(state, F64)
    values = corpus.values.repeat(1 + n_frames // len(corpus.values), 1)[:n_frames]
    scratch, out = model.scratch_for(ready, values), torch.full((5 * 701,), torch.nan, dtype=F64)
    found = model.log_likelihoods(ready, values, scratch.fill_(torch.nan), out)
    torch.testing.assert_close(found, expand(values).T @ ready.theta)


def test_more_atoms_than_frames_than_fit_at_once():
    """Songs of 290 frames with 300 atoms in use, in memory for 256 frames that was used before."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 290, 2))
    zeta, varphi = rng.dirichlet(np.ones(300), (2, 290)), np.broadcast_to(np.eye(300), (2, 300, 300))
    corpus, state = small_case()
    ready = model.prepare(state, F64)
    _, any_posterior = next(model.infer(ready, corpus.songs, OPTIONS))
    posterior = replace(
        any_posterior, zeta=torch.tensor(zeta), varphi=torch.tensor(varphi), counts=torch.tensor(zeta.sum(1))
    )
    frames = torch.tensor(values)
    scratch = torch.full((expanded_size(2), 256), torch.nan, dtype=F64)
    sums = model.products(frames, posterior, False, scratch)
    expected = torch.tensor(zeta).flatten(0, 1).T @ expand(frames.flatten(0, 1)).T
    torch.testing.assert_close(sums, expected)


@pytest.mark.parametrize("direct", [False, True])
def test_songs_of_any_length_are_inferred_as_from_all_log_likelihoods(direct: bool):
    """In parts of a group, from the components each song has the most of."""
    lengths = [1, 2, 64, 65, 255, 256, 257, 513, *([40] * 9)]
    corpus = mixture(seed=5, n_songs=9, n_comp=6, dim=2, frames=(150, 250), spread=2.0)
    state = partition_state(corpus, 6, skewed_prior(2, direct=direct))
    ready, level = model.prepare(state, F64), model.song_level(direct)
    songs, options = ragged(lengths, corpus.values[: sum(lengths)]), replace(OPTIONS, n_atoms=3)
    for group, found in model.infer(ready, songs, options):
        log_lik = model.log_likelihoods(ready, group.values)
        whole = level.infer_songs(log_lik, group.mask, ready.log_beta, ready.alpha0, options)
        torch.testing.assert_close(found.bound, whole.bound)
        torch.testing.assert_close(found.responsibilities(), whole.responsibilities(), atol=1e-9, rtol=0.0)
