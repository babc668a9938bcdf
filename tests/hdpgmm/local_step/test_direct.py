"""The direct form against the oracle's bound, its gradient, and what can be enumerated: songs, franchises, evidence."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor

from hdpgmm import model, score
from hdpgmm.components.prior import whitened_prior
from hdpgmm.components.statistics import Statistics, contract
from hdpgmm.local_step import direct_assignment as direct
from hdpgmm.local_step.groups import Group, groups
from hdpgmm.local_step.posterior import LocalOptions, Posterior
from hdpgmm.model import State
from hdpgmm.moves import merge_delete as moves
from hdpgmm.ragged import Ragged
from tests.hdpgmm.corpora import (
    F64,
    Corpus,
    corpus_of,
    mixture,
    oracle_corpus,
    oracle_hyper,
    partition_state,
    skewed_prior,
)
from tests.oracles import direct as oracle
from tests.oracles import elbo, evidence

ALPHA0 = 0.8
TO_THE_END = LocalOptions(n_atoms=8, tolerance=1e-15, max_refreshes=400)
LENGTHS = (25, 1, 9, 24)
Parts = list[tuple[Group, Tensor, Posterior]]


def _song(seed: int = 0, n_frames: int = 25, n_comp: int = 6) -> tuple[Tensor, Tensor]:
    """log_lik (frame, comp) of frames between overlapping one-dimensional Gaussians, log_beta (comp,); float64."""
    rng = np.random.default_rng(seed)
    means = rng.normal(scale=2.5, size=n_comp)
    frames = means[rng.choice(n_comp, n_frames, p=rng.dirichlet(np.ones(n_comp)))] + rng.normal(size=n_frames)
    log_beta = np.log(rng.dirichlet(np.full(n_comp, 3.0))) - rng.uniform(0, 0.3, n_comp)
    return torch.tensor(stats.norm.logpdf(frames[:, None], means, 1.0)), torch.tensor(log_beta)


def _songs(seed: int = 0) -> tuple[list[Tensor], Tensor]:
    """Songs of LENGTHS frames over the same six components."""
    songs = [_song(seed, n_frames) for n_frames in LENGTHS]
    return [log_lik for log_lik, _ in songs], songs[0][1]


def _padded(songs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """log_lik (song, frame, comp) and mask. What stands in the padding must not matter: 3.7."""
    log_lik = torch.full((len(songs), max(map(len, songs)), songs[0].shape[1]), 3.7, dtype=songs[0].dtype)
    mask = torch.zeros(log_lik.shape[:2], dtype=songs[0].dtype)
    for i, song in enumerate(songs):
        log_lik[i, : len(song)], mask[i, : len(song)] = song, 1.0
    return log_lik, mask


def _infer(
    songs: Sequence[Tensor], log_beta: Tensor, options: LocalOptions, start: Posterior | None = None
) -> Posterior:
    return direct.infer_songs(*_padded(songs), log_beta, ALPHA0, options, start)


def _oracle_song(frames: Tensor, song: Posterior, index: int) -> oracle.SongQ:
    """q of one song of a group, over all components: frames (frame, dim), or whatever has a row a frame."""
    zeta = torch.zeros(len(frames), song.varphi.shape[2], dtype=F64)
    counts = torch.zeros(song.varphi.shape[2], dtype=F64)
    for t in range(song.counts.shape[1]):
        if song.counts[index, t] > 0:
            k = int(song.varphi[index, t].argmax())
            zeta[:, k] += song.zeta[index, : len(frames), t]
            counts[k] += song.counts[index, t]
    return oracle.SongQ(frames, zeta, counts)


# One song, given log-likelihoods and weights.

EVERY_OPTION = [LocalOptions(4), LocalOptions(6, sweeps=1), LocalOptions(2, max_refreshes=1)]


@pytest.mark.parametrize("options", EVERY_OPTION)
@pytest.mark.parametrize("seed", range(4))
def test_every_term_is_the_oracles_for_the_returned_posterior(seed: int, options: LocalOptions):
    """Of songs side by side, and their sum is the bound. Components under 1e-9 frames are left out of all but it."""
    songs, log_beta = _songs(seed)
    found = _infer(songs, log_beta, options)
    terms = direct.song_terms(*_padded(songs), log_beta, ALPHA0, found)
    torch.testing.assert_close(sum(terms.values()), found.bound, atol=1e-7, rtol=0)
    for i, log_lik in enumerate(songs):
        expected = vars(oracle.song_terms(_oracle_song(log_lik, found, i), log_lik, log_beta, ALPHA0))
        assert expected.keys() == terms.keys()
        for name, nats in terms.items():
            assert float(nats[i]) == pytest.approx(float(expected[name]), abs=1e-9), name


@pytest.mark.parametrize("refreshes", [1, 2, 5])
def test_zeta_is_at_its_optimum_long_before_the_end(refreshes: int):
    """The oracle's gradient in softmax coordinates, after any number of rounds."""
    log_lik, log_beta = _song()
    q = _oracle_song(log_lik, _infer([log_lik], log_beta, replace(TO_THE_END, max_refreshes=refreshes)), 0)
    raw = q.zeta.log().requires_grad_()
    total = oracle.song_bound(replace(q, zeta=raw.softmax(1)), log_lik, log_beta, ALPHA0)
    assert float(torch.autograd.grad(total, raw)[0].abs().max()) < 1e-12


@pytest.mark.parametrize("n_frames", [1, 2, 25])
@pytest.mark.parametrize("seed", range(3))
def test_gradient_of_the_oracle_vanishes_at_the_end(seed: int, n_frames: int):
    """In the counts of q(pi); and that in E[log beta] is the draws, the expected tables."""
    log_lik, log_beta = _song(seed, n_frames)
    found = _infer([log_lik], log_beta, TO_THE_END)
    q, beta = _oracle_song(log_lik, found, 0), log_beta.clone().requires_grad_()
    used = q.counts > 0
    counts = q.counts[used].requires_grad_()
    every = torch.zeros_like(q.counts).masked_scatter(used, counts)
    total = oracle.song_bound(replace(q, counts=every), log_lik, beta, ALPHA0)
    by_counts, by_beta = torch.autograd.grad(total, (counts, beta))
    assert float((by_counts * counts.detach()).abs().max()) < 1e-6
    torch.testing.assert_close(by_beta, found.component_draws()[0], atol=1e-6, rtol=0)
    assert float(found.component_draws().sum()) > 0.5


@pytest.mark.parametrize("sweeps", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_bound_never_falls_over_rounds(seed: int, sweeps: int):
    """But for what components under 1e-9 frames take with them."""
    songs, log_beta = _songs(seed)
    options = replace(TO_THE_END, sweeps=sweeps)
    bounds = [_infer(songs, log_beta, replace(options, max_refreshes=n)).bound for n in range(1, 25)]
    assert float(bounds[-1].sum()) > float(bounds[0].sum()) + 1e-6  # there was something to gain
    assert float(torch.stack(bounds).diff(dim=0).min()) > -1e-8


@pytest.mark.parametrize("seed", range(3))
def test_bound_of_a_song_is_below_its_exact_evidence(seed: int):
    """The sum over every assignment of five frames; a tenth of pi is the unseen's. Over 20 songs: 0 to 1.1 nats."""
    log_lik, _ = _song(seed, n_frames=5, n_comp=2)
    b = np.array([0.25, 0.65])
    found = _infer([log_lik], torch.tensor(b).log(), TO_THE_END)
    terms = []
    for labels in itertools.product(range(2), repeat=5):
        counts = np.bincount(labels, minlength=2)
        rising = special.gammaln(ALPHA0 * b + counts) - special.gammaln(ALPHA0 * b)
        data = log_lik.numpy()[np.arange(5), list(labels)].sum()
        terms.append(data + rising.sum() + special.gammaln(ALPHA0) - special.gammaln(ALPHA0 + 5))
    exact = np.logaddexp.reduce(terms)
    assert exact - 1.5 < float(found.bound) < exact


@pytest.mark.parametrize("count", [1, 2, 7])
def test_tables_are_the_franchises(count: int):
    """Customer i of a component opens a table with probability weight / (weight + i)."""
    weight = torch.tensor([1e-8, 0.03, 0.8, 50.0], dtype=F64)
    expected = sum(weight / (weight + i) for i in range(count))
    torch.testing.assert_close(direct.tables(weight, torch.full_like(weight, count)), expected)


def test_tangent_is_a_bound_above_one_frame_and_nearly_below():
    """log_rising over its tangent in log weight: below one frame short by d^2 / 8 at most, above not at all."""
    weight = torch.logspace(-5, 3, 80, dtype=F64)[:, None, None]
    counts = torch.cat([torch.logspace(-4, 0, 60, dtype=F64), torch.linspace(1.0, 9.0, 60, dtype=F64)])[
        :, None
    ]
    change = torch.tensor([-3.0, -0.7, -0.1, 0.1, 0.7, 3.0], dtype=F64)
    tangent = direct.log_rising(weight, counts) + direct.tables(weight, counts) * change
    short = tangent - direct.log_rising(weight * change.exp(), counts)
    assert float(short[:, 60:].max()) < 1e-9
    assert float((short / change.square()).max()) < 0.125 + 1e-6
    assert float((short / change.square()).max()) > 0.11  # and it does fall short


@pytest.mark.parametrize("n_frames", [1, 5])
def test_one_component_pays_for_the_unseen_alone(n_frames: int):
    log_lik, _ = _song(0, n_frames=n_frames, n_comp=1)
    b = 0.6
    for n_atoms in (1, 4):
        found = _infer([log_lik], torch.tensor([b], dtype=F64).log(), LocalOptions(n_atoms))
        weights = special.poch(ALPHA0 * b, n_frames) / special.poch(ALPHA0, n_frames)
        assert float(found.bound) == pytest.approx(float(log_lik.sum()) + np.log(weights), abs=1e-12)
        assert found.responsibilities().tolist() == [[[1.0]] * n_frames]


def test_one_atom_takes_every_frame():
    """Of the component that the flat posterior gives most of the song."""
    songs, log_beta = _songs()
    found = _infer(songs, log_beta, LocalOptions(1))
    for i, log_lik in enumerate(songs):
        comp = int(torch.softmax(log_lik + log_beta, 1).sum(0).argmax())
        weight = ALPHA0 * float(log_beta[comp].exp())
        rest = np.log(special.poch(weight, len(log_lik)) / special.poch(ALPHA0, len(log_lik)))
        assert float(found.bound[i]) == pytest.approx(float(log_lik[:, comp].sum()) + rest, abs=1e-9)
        assert found.varphi[i].argmax().item() == comp


def test_one_frame_is_a_song():
    """Below the evidence of a frame, log sum_k b_k p_k."""
    log_lik, log_beta = _song(n_frames=1)
    found = _infer([log_lik], log_beta, TO_THE_END)
    exact = float(torch.logsumexp(log_lik[0] + log_beta, 0))
    assert exact - 1.5 < float(found.bound) < exact


def test_more_atoms_than_components_is_as_many_atoms():
    log_lik, log_beta = _song(n_comp=3)
    many, three = (_infer([log_lik], log_beta, LocalOptions(n)) for n in (32, 3))
    assert torch.equal(many.zeta, three.zeta)
    assert many.varphi.shape[1] <= 3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_posterior_is_a_distribution_over_the_components_in_use(dtype: torch.dtype):
    """Each in one atom; zero in the padding and in atoms out of use."""
    songs, log_beta = _songs(4)
    found = _infer([song.to(dtype) for song in songs], log_beta.to(dtype), LocalOptions(6))
    assert (found.zeta.dtype, found.varphi.dtype, found.counts.dtype) == (dtype, dtype, F64)
    mask, used = _padded(songs)[1], (found.counts > 0).double()
    torch.testing.assert_close(found.zeta.double().sum(2), mask, atol=1e-6, rtol=0)
    assert torch.equal(found.varphi.double().sum(2), used)
    assert set(found.varphi.unique().tolist()) == {0.0, 1.0}
    assert float(found.varphi.sum(1).max()) == 1.0
    assert float(found.draws[used == 0].abs().sum() + (found.zeta.sum(1) * (1 - used)).abs().sum()) == 0.0
    assert len(set(used.sum(1).tolist())) > 1  # so some songs have atoms out of use
    assert float(found.counts.diff(dim=1).max()) <= 0
    torch.testing.assert_close(found.counts.sum(1), mask.sum(1), atol=1e-5, rtol=0)
    own = found.draws.sum(1)
    log_rest = torch.digamma(ALPHA0 + mask.sum(1)) - torch.digamma(torch.tensor(ALPHA0, dtype=F64))
    torch.testing.assert_close(found.usage, torch.stack([own, log_rest], 1), atol=1e-5, rtol=0)


def test_songs_side_by_side_are_as_if_alone():
    """They stop after different numbers of rounds, with different numbers of atoms."""
    songs, log_beta = _songs()
    options = replace(TO_THE_END, tolerance=1e-4)
    for order in ([0, 1, 2, 3], [2, 3, 1, 0]):
        together = _infer([songs[i] for i in order], log_beta, options)
        assert len(set(together.refreshes.tolist())) > 1
        for place, i in enumerate(order):
            alone = _infer([songs[i]], log_beta, options)
            assert int(together.refreshes[place]) == int(alone.refreshes)
            assert float(together.bound[place]) == pytest.approx(float(alone.bound), abs=1e-8)
            own = together.responsibilities()[place, : LENGTHS[i]]
            torch.testing.assert_close(own, alone.responsibilities()[0], atol=1e-8, rtol=0)


def test_order_of_frames_and_components_does_not_matter():
    log_lik, log_beta = _song()
    frames = torch.tensor(np.random.default_rng(3).permutation(25))
    comps = torch.tensor([4, 2, 0, 5, 1, 3])
    plain = _infer([log_lik], log_beta, TO_THE_END)
    moved = _infer([log_lik[frames][:, comps]], log_beta[comps], TO_THE_END)
    torch.testing.assert_close(moved.bound, plain.bound, atol=1e-9, rtol=0)
    resp = plain.responsibilities()[:, frames][:, :, comps]
    torch.testing.assert_close(moved.responsibilities(), resp, atol=1e-6, rtol=0)
    torch.testing.assert_close(moved.component_draws(), plain.component_draws()[:, comps], atol=1e-6, rtol=0)


def test_float32_bound_is_float64s():
    """A thousand frames of log-densities around -1e2: to 1e-5 nats a frame. Measured over eight songs: 3e-6 at most."""
    log_lik, log_beta = _song(n_frames=1000)
    double = _infer([log_lik - 100.0], log_beta, LocalOptions(4))
    single = _infer([(log_lik - 100.0).float()], log_beta.float(), LocalOptions(4))
    assert float(single.bound) == pytest.approx(float(double.bound), abs=1e-5 * 1000)


@pytest.mark.parametrize("rarest", [-720.0, -1e4])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_weights_that_underflow_do_no_harm(dtype: torch.dtype, rarest: float):
    """The last of hundreds of empty sticks. Frames that nothing else explains have them all the same."""
    log_lik, _ = _song(n_frames=9, n_comp=3)
    far = log_lik.clone()
    far[0, :2] -= 3e4
    log_beta = torch.tensor([-0.5, -1.0, rarest], dtype=dtype)
    found = _infer([log_lik.to(dtype), far.to(dtype)], log_beta, LocalOptions(3))
    without = _infer([log_lik[:, :2].to(dtype)], log_beta[:2], LocalOptions(2))
    tensors = (found.bound, found.zeta, found.draws, found.usage)
    assert all(bool(torch.isfinite(part).all()) for part in tensors)
    assert float(found.bound[0]) == pytest.approx(float(without.bound), abs=1e-5)
    assert float(found.shares()[1, 2]) >= 1.0
    assert float(found.component_draws()[1, 2]) == pytest.approx(1.0, abs=1e-6)


def test_components_far_below_the_best_leave_no_trace():
    """Densities 1e4 nats apart underflow to weights of zero."""
    labels = np.repeat([3, 1, 4], [20, 5, 9])
    frames = 12.0 * labels + np.random.default_rng(0).normal(size=34)
    log_lik = torch.tensor(stats.norm.logpdf(frames[:, None], 12.0 * np.arange(6), 1.0))
    log_beta = torch.full((6,), -np.log(7.0), dtype=F64)
    for one in (log_lik, (1e4 * log_lik).float()):
        found = _infer([one], log_beta.to(one.dtype), LocalOptions(6))
        assert bool(torch.isfinite(found.bound).all())
        assert found.varphi[0].argmax(1).tolist() == [3, 4, 1]
        assert found.counts[0].tolist() == pytest.approx([20, 9, 5], abs=1e-6)
        assert found.responsibilities()[0].argmax(1).tolist() == labels.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_stops_at_the_first_gain_below_the_tolerance_per_frame(seed: int):
    log_lik, log_beta = _song(seed, n_frames=40)
    runs = [_infer([log_lik], log_beta, replace(TO_THE_END, max_refreshes=n)) for n in range(12)]
    assert [int(run.refreshes) for run in runs] == list(range(12))
    gains = np.diff([float(run.bound) for run in runs])
    tolerance = 0.3 / 40
    expected = 1 + int(np.argmax(gains < 0.3))
    assert 2 <= expected <= 10
    stopped = _infer([log_lik], log_beta, replace(TO_THE_END, tolerance=tolerance))
    assert int(stopped.refreshes) == expected
    assert float(stopped.bound) == float(runs[expected].bound)


@pytest.mark.parametrize("seed", [2, 4])
def test_going_on_from_a_posterior_never_lowers_its_bound(seed: int):
    """From an early stop it reaches the end; from the end it stays. Under other components it starts from its atoms.

    The songs have different numbers of atoms: those a song does not use must not come to name anything.
    """
    songs, log_beta = _songs(seed)
    early = _infer(songs, log_beta, replace(TO_THE_END, max_refreshes=1))
    end = _infer(songs, log_beta, TO_THE_END)
    assert len(set((end.counts > 0).sum(1).tolist())) > 1
    for start in (early, end):
        on = _infer(songs, log_beta, TO_THE_END, start)
        torch.testing.assert_close(on.bound, end.bound, atol=1e-6, rtol=0)
    others = [song + 0.3 * torch.sin(7 * song) for song in songs]
    moved = _infer(others, log_beta - 0.1, TO_THE_END, end)
    for i, log_lik in enumerate(others):
        q = _oracle_song(log_lik, end, i)
        assert float(moved.bound[i]) > float(oracle.song_bound(q, log_lik, log_beta - 0.1, ALPHA0)) - 1e-8
        own = oracle.song_bound(_oracle_song(log_lik, moved, i), log_lik, log_beta - 0.1, ALPHA0)
        assert float(moved.bound[i]) == pytest.approx(float(own), abs=1e-7)


def test_arguments_are_left_alone():
    songs, log_beta = _songs()
    log_lik, mask = _padded(songs)
    start = direct.infer_songs(log_lik, mask, log_beta, ALPHA0, LocalOptions(4, max_refreshes=1))
    given = (log_lik, mask, log_beta, start.zeta, start.varphi, start.counts, start.bound)
    kept = [part.clone() for part in given]
    direct.infer_songs(log_lik, mask, log_beta, ALPHA0, TO_THE_END, start)
    assert all(torch.equal(a, b) for a, b in itertools.zip_longest(kept, given))


# A corpus.


def _case(
    seed: int,
    n_songs: int = 12,
    frames: tuple[int, int] = (1, 14),
    spread: float = 1.5,
    diagonal: bool = False,
    learned: bool = True,
) -> tuple[Corpus, State]:
    """Songs of five overlapping components, and a state near them."""
    corpus = mixture(seed, n_songs, 5, 2, frames, spread)
    prior = replace(skewed_prior(2, diagonal=diagonal, learned=learned), direct=True)
    return corpus, partition_state(corpus, 5, prior)


def _inferred(
    state: State, corpus: Corpus, options: LocalOptions, starts: Sequence[Posterior] | None = None
) -> Parts:
    """The local step in float64, group by group, each from its part of `starts` where there are any."""
    ready, parts = model.prepare(state, F64), []
    for i, group in enumerate(groups(corpus.songs, model.GROUP_FRAMES["cpu"])):
        log_lik = model.log_likelihoods(ready, group.values)
        start = None if starts is None else starts[i]
        found = direct.infer_songs(log_lik, group.mask, ready.log_beta, ready.alpha0, options, start)
        parts.append((group, log_lik, found))
    return parts


def _oracle_songs(parts: Parts) -> list[oracle.SongQ]:
    """In their order in the batch."""
    found = {}
    for group, _, posterior in parts:
        for i, (song, mask) in enumerate(zip(group.songs.tolist(), group.mask, strict=True)):
            found[song] = _oracle_song(group.values[i, mask > 0], posterior, i)
    return [found[song] for song in sorted(found)]


def _oracle_bound(state: State, parts: Parts) -> float:
    return float(oracle.bound(_oracle_songs(parts), oracle_corpus(state), oracle_hyper(state)))


def _updated(state: State, parts: Parts) -> State:
    """The batch update to these posteriors."""
    diagonal = state.prior.diagonal
    sums = torch.stack([model.products(group.values, found, diagonal) for group, _, found in parts]).sum(0)
    draws = torch.cat([found.component_draws() for _, _, found in parts]).sum(0)
    usage = torch.cat([found.usage for _, _, found in parts]).sum(0)
    batch = contract(sums, draws, usage, state.prior.dim, diagonal)
    return model.blend(state, batch, 1.0, 1.0)


def _converged(state: State, corpus: Corpus, iterations: int = 60) -> State:
    """Batch updates, songs from the start in each."""
    for _ in range(iterations):
        new = _updated(state, _inferred(state, corpus, TO_THE_END))
        moved = float((new.stats.first - state.stats.first).abs().max())
        state = new
        if moved < 1e-8:
            break
    return state


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_terms_and_bound_of_a_corpus_are_the_oracles(seed: int, diagonal: bool):
    corpus, state = _case(seed, diagonal=diagonal)
    songs = _oracle_songs(_inferred(state, corpus, TO_THE_END))
    expected = oracle.terms(songs, oracle_corpus(state), oracle_hyper(state))
    found = model.bound_terms(state, corpus.songs, TO_THE_END)
    assert found.keys() == expected.keys()
    for name, nats in found.items():
        assert nats == pytest.approx(float(expected[name]), abs=1e-9), name
    ready = model.prepare(state, F64)
    batch, info = model.batch_statistics(ready, corpus.songs, TO_THE_END)
    total = info.bound + model.corpus_bound(state)
    assert total == pytest.approx(float(sum(expected.values())), abs=1e-7)
    by_hand = _updated(replace(state, prior=skewed_prior(2, diagonal=diagonal, learned=False)),
                       _inferred(state, corpus, TO_THE_END)).stats  # fmt: skip
    for one, other in zip(batch.tensors(), by_hand.tensors(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("diagonal", [False, True])
def test_gradient_of_the_oracle_vanishes_at_the_updated_components(diagonal: bool):
    """Whatever the zeta. A covariance is moved along its Cholesky factor or its logarithm."""
    corpus, state = _case(0, diagonal=diagonal)
    parts = _inferred(state, corpus, LocalOptions(4))
    state = _updated(state, parts)
    q = oracle_corpus(state)
    root = q.scale_inv.log() if diagonal else torch.linalg.cholesky(q.scale_inv)
    raw = [part.clone().requires_grad_() for part in (q.mean, q.strength.log(), q.dof.log(), root)]
    scale_inv = raw[3].exp() if diagonal else raw[3] @ raw[3].mT
    free = replace(q, mean=raw[0], strength=raw[1].exp(), dof=raw[2].exp(), scale_inv=scale_inv)
    total = oracle.bound(_oracle_songs(parts), free, oracle_hyper(state))
    for gradient in torch.autograd.grad(total, raw):
        assert float(gradient.abs().max()) < 1e-8


@pytest.mark.parametrize("seed", range(2))
def test_update_of_the_sticks_and_concentrations_climbs_the_tangent(seed: int):
    """At the old E[log beta] and alpha0, the oracle's slopes are the statistics; the new state is where the lines they
    make, less the sticks' divergence and with the hyper-priors, are level.
    """
    corpus, state = _case(seed)
    parts = _inferred(state, corpus, TO_THE_END)
    old_beta = model.prepare(state, F64).log_beta.requires_grad_()
    old_alpha0 = torch.tensor(state.alpha0, dtype=F64).requires_grad_()
    songs = [oracle.song_bound(q, model.log_likelihoods(model.prepare(state, F64), q.frames), old_beta, old_alpha0)
             for q in _oracle_songs(parts)]  # fmt: skip
    slopes, slope = torch.autograd.grad(sum(songs, elbo.ZERO), (old_beta, old_alpha0))
    new = _updated(state, parts)
    torch.testing.assert_close(slopes, new.stats.atoms, atol=1e-5, rtol=0)
    draws, log_rest = new.stats.sticks.tolist()
    assert float(slope) == pytest.approx(draws / state.alpha0 - log_rest, abs=1e-5)
    q = oracle_corpus(new)
    raw = [part.clone().requires_grad_() for part in (q.u, q.v)]
    sticks = replace(q, u=raw[0], v=raw[1])
    lines = slopes @ elbo.corpus_log_weights(sticks) - elbo.kl_sticks(raw[0], raw[1], new.gamma)
    assert max(float(g.abs().max()) for g in torch.autograd.grad(lines, raw)) < 1e-6
    alpha0 = torch.tensor(new.alpha0, dtype=F64).requires_grad_()
    hyper = replace(oracle_hyper(new), alpha0=alpha0)
    lines = draws * alpha0.log() - log_rest * alpha0 + elbo.log_hyperpriors(hyper)
    assert abs(float(torch.autograd.grad(lines, alpha0)[0])) < 1e-9


def test_gradient_of_the_oracle_vanishes_where_the_updates_end():
    """In everything at the corpus level: sticks, components, concentrations; the songs' were seen above."""
    corpus, state = _case(1, n_songs=8)
    starts = None
    for _ in range(100):
        parts = _inferred(state, corpus, TO_THE_END, starts)
        starts, state = [found for _, _, found in parts], _updated(state, parts)
    q = oracle_corpus(state)
    raw = [part.clone().requires_grad_() for part in (q.u, q.v, q.mean, q.strength, q.dof)]
    concentrations = [torch.tensor(c, dtype=F64).requires_grad_() for c in (state.gamma, state.alpha0)]
    free = replace(q, u=raw[0], v=raw[1], mean=raw[2], strength=raw[3], dof=raw[4])
    hyper = replace(oracle_hyper(state), gamma=concentrations[0], alpha0=concentrations[1])
    total = oracle.bound(_oracle_songs(_inferred(state, corpus, TO_THE_END, starts)), free, hyper)
    for gradient in torch.autograd.grad(total, [*raw, *concentrations]):
        assert float(gradient.abs().max()) < 1e-4


ITERATIONS = [
    ({}, TO_THE_END),
    ({}, replace(TO_THE_END, max_refreshes=1, sweeps=1)),
    ({"diagonal": True}, LocalOptions(4)),
    ({"n_songs": 20, "frames": (1, 3), "spread": 0.5}, LocalOptions(8)),
]


@pytest.mark.parametrize(("corpora", "options"), ITERATIONS)
@pytest.mark.parametrize("seed", range(2))
def test_batch_iterations_never_lower_the_bound(seed: int, corpora: dict, options: LocalOptions):
    """Songs go on from where they were, concentrations are learned. Expected counts below one, where the tangent is no
    bound, are no harm: its shortfall of d^2 m (1 - m) / 2, m the draws, is less than what the sticks give up for it.
    """
    corpus, state = _case(seed, **corpora)
    starts, bounds = None, []
    for _ in range(12):
        parts = _inferred(state, corpus, options, starts)
        bounds.append(_oracle_bound(state, parts))
        starts, state = [found for _, _, found in parts], _updated(state, parts)
    assert bounds[-1] > bounds[0] + 1.0
    assert np.diff(bounds).min() > -1e-9 * abs(bounds[-1])


@pytest.mark.parametrize("sizes", [(3, 2), (1, 1, 1), (2, 2, 1)])
@pytest.mark.parametrize("seed", range(2))
def test_bound_is_below_the_exact_evidence_of_a_corpus(seed: int, sizes: tuple[int, ...]):
    """With one, two and three components, at every step to the end. Measured: the best ends 1.1 to 3.2 nats below; the
    stick-breaking form 2.7 to 4.8.
    """
    rng = np.random.default_rng(seed)
    songs = [rng.normal(scale=3.0, size=n) for n in sizes]
    corpus = corpus_of([torch.tensor(song)[:, None] for song in songs], [np.arange(n) % 2 for n in sizes])
    prior = replace(skewed_prior(1, learned=False), direct=True)
    best = -np.inf
    for n_comp in (1, 2, 3):
        state, starts = partition_state(corpus, max(n_comp, 2), prior), None
        if n_comp == 1:
            state = moves.reduced(state, [moves.Move("merge", (0, 1), 0.0)])
        exact = evidence.log_evidence(songs, oracle_hyper(state))
        for _ in range(25):
            parts = _inferred(state, corpus, TO_THE_END, starts)
            bound = _oracle_bound(state, parts)
            assert bound < exact
            starts, state = [found for _, _, found in parts], _updated(state, parts)
        best = max(best, bound)
    assert best > exact - 3.5


def _with_empty(state: State) -> State:
    """One more component, of no frames and no draws."""
    *parts, sticks = state.stats.tensors()
    more = [torch.cat([part, torch.zeros_like(part[:1])]) for part in parts]
    return replace(state, stats=Statistics(*[*more, sticks]))


def test_an_empty_component_changes_nothing():
    """Far from every frame, at the end of the sticks. The bound moves by what songs would give it, 1e-9 of a frame."""
    corpus, state = _case(2, spread=4.0)
    far = replace(corpus, songs=Ragged(corpus.values + 40.0, corpus.songs.offsets))
    state = partition_state(far, 5, state.prior)
    every = [model.bound_terms(s, far.songs, TO_THE_END) for s in (state, _with_empty(state))]
    for name, nats in every[0].items():
        assert every[1][name] == pytest.approx(nats, abs=1e-6), name


def test_one_component_is_a_corpus():
    corpus, state = _case(0)
    one = moves.reduced(state, [moves.Move("merge", (0, k), 0.0) for k in range(1, 5)])
    assert one.n_components == 1
    parts = _inferred(one, corpus, LocalOptions(4))
    total = model.batch_statistics(model.prepare(one, F64), corpus.songs, LocalOptions(4))[1].bound
    assert total + model.corpus_bound(one) == pytest.approx(_oracle_bound(one, parts), abs=1e-9)


def test_order_of_songs_and_components_does_not_matter():
    corpus, state = _case(3)
    order, comps = [3, 0, 11, 7, 5, 2, 1, 4, 10, 6, 9, 8], torch.tensor([4, 2, 0, 1, 3])
    moved, other = corpus.take(order), replace(state, stats=state.stats.take(comps))
    plain, info = model.batch_statistics(model.prepare(state, F64), corpus.songs, TO_THE_END)
    found, same = model.batch_statistics(model.prepare(other, F64), moved.songs, TO_THE_END)
    assert same.bound == pytest.approx(info.bound, abs=1e-7)
    for one, two in zip(plain.take(comps).tensors(), found.tensors(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=0)


def test_number_of_threads_does_not_matter():
    corpus, state = _case(3, n_songs=30)
    ready, found = model.prepare(state), []
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        found.append(model.batch_statistics(ready, corpus.songs_as(torch.float32), LocalOptions(4)))
        torch.set_num_threads(1)
    assert found[0][1] == found[1][1]
    assert all(map(torch.equal, found[0][0].tensors(), found[1][0].tensors()))


def test_float32_statistics_are_float64s():
    corpus, state = _case(4, n_songs=30, frames=(20, 40))
    options = LocalOptions(5)
    double, info = model.batch_statistics(model.prepare(state, F64), corpus.songs, options)
    single, same = model.batch_statistics(model.prepare(state), corpus.songs_as(torch.float32), options)
    assert same.bound == pytest.approx(info.bound, abs=1e-5 * info.frames)
    for one, two in zip(double.tensors(), single.tensors(), strict=True):
        torch.testing.assert_close(two, one, atol=1e-3 * info.frames, rtol=0)


# Concentrations, weights, and the closed forms of moves.


@pytest.mark.parametrize("seed", [1])
def test_alpha0_is_learned(seed: int):
    """Songs drawn with weights from Dirichlet(8 w), components far apart. Of six corpora, 7.2 to 8.5 were learned, and
    gamma 0.96 to 0.97 for eight components of like weight.
    """
    rng = np.random.default_rng(seed)
    w = rng.dirichlet(np.full(8, 5.0))
    songs = [rng.choice(8, 100, p=rng.dirichlet(8.0 * w)) for _ in range(100)]
    values = [torch.tensor(40.0 * labels + rng.normal(size=100))[:, None] for labels in songs]
    corpus = corpus_of(values, songs)
    state = partition_state(corpus, 8, whitened_prior(1, direct=True))
    for _ in range(60):
        state = _updated(state, _inferred(state, corpus, LocalOptions(8)))
    assert 0.8 < state.alpha0 / 8.0 < 1.2
    assert 0.5 < state.gamma < 2.0
    torch.testing.assert_close(model.prepare(state).beta, torch.tensor(w), atol=0.05, rtol=0)


def _seated(log_lik: np.ndarray, beta: np.ndarray, sat: int) -> np.ndarray:
    """p(frames, component of customer `sat` = k) (comp,), by every way to seat the customers and to serve the tables.

    Frames are log_lik (frame, comp); a row of zeros is a customer without one.
    """
    total = np.zeros(len(beta))
    for tables in evidence.partitions(range(len(log_lik))):
        probability = np.exp(evidence.log_partition(tables, ALPHA0))
        served = [beta * np.exp(log_lik[table].sum(0)) for table in tables]
        others = np.prod([dish.sum() for table, dish in zip(tables, served, strict=True) if sat not in table])
        own = next(dish for table, dish in zip(tables, served, strict=True) if sat in table)
        total += probability * others * own
    return total


@pytest.mark.parametrize("seed", range(2))
def test_component_weights_are_the_franchises_predictive(seed: int):
    """Those of the next customer, given the exact expected counts of overlapping components."""
    log_lik, log_beta = _song(seed, n_frames=5, n_comp=3)
    beta = np.array([0.5, 0.2, 0.3])
    joint = np.array([_seated(log_lik.numpy(), beta, n) for n in range(5)])
    marginals = torch.tensor(joint / joint.sum(1, keepdims=True))
    following = _seated(np.vstack([log_lik, np.zeros(3)]), beta, 5)
    ready = model.prepare(_case(0)[1], F64)
    ready = replace(ready, beta=torch.tensor(beta), alpha0=ALPHA0)
    exact = replace(
        _infer([log_lik], log_beta, TO_THE_END), zeta=marginals[None], varphi=torch.eye(3, dtype=F64)[None]
    )
    expected = torch.tensor(following / following.sum())
    torch.testing.assert_close(score.component_weights(ready, exact)[0], expected, atol=1e-12, rtol=0)


def _without(q: oracle.SongQ, gone: int) -> oracle.SongQ:
    """zeta shared out among the other components by Bayes' rule; q(pi) of them as it was."""
    kept = [k for k in range(len(q.counts)) if k != gone]
    zeta = q.zeta[:, kept]
    return oracle.SongQ(q.frames, zeta / zeta.sum(1, keepdim=True), q.counts[kept])


def _merged(q: oracle.SongQ, one: int, two: int) -> oracle.SongQ:
    kept = [k for k in range(len(q.counts)) if k != two]
    zeta, counts = q.zeta.clone(), q.counts.clone()
    zeta[:, one] += q.zeta[:, two]
    counts[one] += q.counts[two]
    return oracle.SongQ(q.frames, zeta[:, kept], counts[kept])


CORPORA = [
    {"seed": 0, "n_songs": 8},
    {"seed": 1, "frames": (10, 20), "n_songs": 10},
    {"seed": 0, "frames": (1, 3), "n_songs": 20},
]


@pytest.mark.parametrize("corpora", CORPORA)
def test_closed_forms_of_moves_are_lower_bounds(corpora: dict):
    """Against the oracle's bound with the zeta, q(pi), components and draws that they speak of.

    A merge of two components in one song takes the tangent where their weights add up, songs with either keep theirs:
    over 15 corpora and ten pairs, 0 to 0.44 nats too low, and 0.0014 too high for songs of one to three frames, whose
    expected counts lie below one. A deletion is up to hundreds of nats too low, where a large component's weight
    goes to the others.
    """
    corpus, state = _case(**corpora, learned=False)
    state = _converged(state, corpus)
    songs = _oracle_songs(_inferred(state, corpus, TO_THE_END))
    hyper = oracle_hyper(state)
    before = oracle.bound(songs, oracle_corpus(state), hyper)
    pairs = torch.combinations(torch.arange(5))
    changes = moves.song_changes(state, moves.Probe(corpus.songs, corpus.n_songs), TO_THE_END, pairs)
    gains = moves.merge_gains(state, pairs, changes).tolist()
    for (one, two), shared, gain in zip(pairs.tolist(), changes.shared.tolist(), gains, strict=True):
        trial = moves.reduced(state, [moves.Move("merge", (one, two), gain)])
        trial.stats.atoms[one] -= shared
        after = oracle.bound([_merged(q, one, two) for q in songs], oracle_corpus(trial), hyper)
        assert -0.5 < gain - float(after - before) < 0.01
    for k, gain in enumerate(moves.delete_gains(state, changes).tolist()):
        trial = moves.reduced(state, [moves.Move("delete", (k,), gain)])
        after = oracle.bound([_without(q, k) for q in songs], oracle_corpus(trial), hyper)
        assert gain < float(after - before) + 1e-6


@pytest.mark.parametrize("seed", range(2))
def test_loss_of_a_deletion_is_the_oracles_at_unchanged_weights(seed: int):
    """Song by song added up, but for the price of the draws, which the corpus sticks get back."""
    corpus, state = _case(seed)
    ready = model.prepare(state, F64)
    songs = _oracle_songs(_inferred(state, corpus, TO_THE_END))
    probe = moves.Probe(corpus.songs, corpus.n_songs)
    loss = moves.song_changes(state, probe, TO_THE_END, torch.zeros(0, 2, dtype=torch.int64)).loss
    draws = model.batch_statistics(ready, corpus.songs, TO_THE_END)[0].atoms
    for k in range(5):
        kept, change = [i for i in range(5) if i != k], elbo.ZERO
        for q in songs:
            if q.counts[k] > 0:
                log_lik = model.log_likelihoods(ready, q.frames)
                left = oracle.song_bound(_without(q, k), log_lik[:, kept], ready.log_beta[kept], state.alpha0)
                change = change + left - oracle.song_bound(q, log_lik, ready.log_beta, state.alpha0)
        expected = -float(change) - float(draws[k] * ready.log_beta[k])
        assert float(loss[k]) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_sweeps_are_updates_of_the_weights_and_the_assignments_in_turn():
    """Three of them against softmaxes of the logits, songs of unequal length side by side."""
    songs, log_beta = _songs()
    log_lik, mask = _padded(songs)
    weight = ALPHA0 * log_beta.exp().expand(len(songs), -1)
    comps = torch.arange(len(log_beta)).expand(len(songs), -1)
    shaped, counts = mask[:, None, :], torch.ones_like(weight)
    work = direct._assign(comps, log_lik.mT.contiguous(), weight, shaped, counts, ALPHA0)
    zeta = work.zeta
    for _ in range(3):
        total = ALPHA0 + zeta.sum((1, 2))[:, None]
        log_pi = torch.digamma(weight + zeta.sum(2)) - torch.digamma(total)
        zeta = torch.softmax(log_lik.mT + log_pi[:, :, None], dim=1) * shaped
    found = direct._round(work, ALPHA0, sweeps=4)
    torch.testing.assert_close(found.counts, zeta.sum(2), rtol=1e-9, atol=1e-12)


def test_a_component_without_a_share_costs_no_round():
    """Two components apart, and four that no frame supports: the same posterior in the same rounds."""
    rng = np.random.default_rng(0)
    own = torch.tensor(rng.integers(2, size=40))
    log_lik = torch.full((40, 6), -60.0, dtype=F64)
    log_lik[torch.arange(40), own] = -1.0
    log_beta = torch.tensor([-0.7, -0.8, -109.0, -209.0, -309.0, -409.0], dtype=F64)
    two, six = (_infer([log_lik], log_beta, LocalOptions(n)) for n in (2, 6))
    assert int(six.refreshes) == int(two.refreshes)
    assert float(six.bound) == pytest.approx(float(two.bound), abs=1e-8)
