"""Training as a whole: the bound never falls, never passes the exact evidence, and is scikit-learn's for one song."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import betaln, gammaln
from sklearn.mixture import BayesianGaussianMixture
from torch import Tensor

from hdpgmm import model
from hdpgmm.components.prior import whitened_prior
from hdpgmm.components.statistics import Statistics, contract, zeros
from hdpgmm.data.kmeans import from_sample
from hdpgmm.local_step.groups import Group, groups
from hdpgmm.local_step.posterior import LocalOptions, Posterior
from hdpgmm.local_step.stick_breaking import infer_songs
from hdpgmm.model import State
from hdpgmm.ragged import ragged
from tests.hdpgmm.corpora import (
    F64,
    OPTIONS,
    Corpus,
    batch_of,
    hard_statistics,
    mixture,
    oracle_corpus,
    oracle_hyper,
    oracle_songs,
    skewed_prior,
    small_case,
)
from tests.oracles import elbo, evidence

TO_THE_END = replace(OPTIONS, tolerance=1e-15, max_refreshes=400)

both_families = pytest.mark.parametrize("diagonal", [False, True])
Songs = list[tuple[Group, Posterior]]


def _infer_again(state: State, corpus: Corpus, before: Songs | None, options: LocalOptions) -> Songs:
    """Every song from its posterior before."""
    ready = model.prepare(state, F64)
    found = []
    for i, group in enumerate(groups(corpus.songs, 100)):
        log_lik, start = model.log_likelihoods(ready, group.values), before[i][1] if before else None
        posterior = infer_songs(log_lik, group.mask, ready.log_beta, ready.alpha0, options, start)
        found.append((group, posterior))
    return found


def _statistics(state: State, songs: Songs) -> Statistics:
    """Of the groups, which are added up."""
    dim, diagonal = state.prior.dim, state.prior.diagonal
    total = zeros(state.n_components, dim, diagonal=diagonal)
    for group, q in songs:
        sums = model.products(group.values, q, diagonal)
        total = total + contract(sums, q.component_draws().sum(0), q.usage.sum(0), dim, diagonal)
    return total


def _climb(
    state: State, corpus: Corpus, iterations: int, options: LocalOptions = OPTIONS
) -> tuple[list[float], State, Songs]:
    """Full-batch updates, songs going on from where they were: the bounds, the last state, and the songs there."""
    songs = _infer_again(state, corpus, None, options)
    bounds = [_bound(state, songs)]
    for _ in range(iterations):
        state = model.blend(state, _statistics(state, songs), scale=1.0, rho=1.0)
        songs = _infer_again(state, corpus, songs, options)
        bounds.append(_bound(state, songs))
    return bounds, state, songs


def _bound(state: State, songs: Songs) -> float:
    return sum(float(q.bound.sum()) for _, q in songs) + model.corpus_bound(state)


def _overlapping(seed: int, diagonal: bool, direct: bool) -> tuple[Corpus, State]:
    """Twenty songs of six components in dimension 3, overlapping, and a start with eight."""
    corpus = mixture(seed, n_songs=20, n_comp=6, dim=3, frames=(20, 40), spread=2.0)
    prior, generator = (
        whitened_prior(3, diagonal=diagonal, direct=direct),
        torch.Generator().manual_seed(seed),
    )
    return corpus, from_sample(prior, corpus.values, 8, len(corpus.values), 20, generator)


@pytest.mark.parametrize(("seed", "tolerance"), [(0, 1e-8), (1, 1e-4), (2, 1e-8), (3, 1e-4)])
@both_families
def test_full_batch_bound_never_falls(diagonal: bool, seed: int, tolerance: float):
    """Through songs that go on from where they were, components, sticks, concentrations and the prior."""
    corpus, start = _overlapping(seed, diagonal, direct=False)
    start = replace(start, prior=replace(start.prior, learned=seed > 1, dependence=1.0 + seed))
    options = LocalOptions(n_atoms=6, tolerance=tolerance, max_refreshes=100)
    bounds, *_ = _climb(start, corpus, 20, options)
    assert np.diff(bounds).min() > -1e-8
    assert bounds[-1] > bounds[0] + 0.2 * len(corpus.values)


@both_families
def test_no_single_step_lowers_the_oracles_bound(diagonal: bool):
    """Of songs, components and sticks, concentrations, the prior: each is evaluated by itself, over 12 iterations."""
    corpus, state = small_case(diagonal, learned_prior=True)
    songs, bounds = None, []
    for _ in range(12):
        songs = _infer_again(state, corpus, songs, OPTIONS)
        held = oracle_songs(songs, state.alpha0)
        bounds.append(float(elbo.bound(held, oracle_corpus(state), oracle_hyper(state))))
        updated = replace(state, stats=_statistics(state, songs))
        q = oracle_corpus(updated)
        bounds.append(float(elbo.bound(held, q, oracle_hyper(state))))
        concentrated = model.with_concentrations(updated)
        bounds.append(float(elbo.bound(held, q, oracle_hyper(concentrated))))
        state = model.with_prior(concentrated)
        bounds.append(float(elbo.bound(held, q, oracle_hyper(state))))
    steps = np.diff(bounds)
    assert steps.min() > -1e-10
    assert all(steps[part::4].max() > 1e-3 for part in range(4))  # each had something to gain


@both_families
@pytest.mark.parametrize("learned_prior", [False, True])
def test_every_gradient_of_the_oracle_vanishes_in_the_end(diagonal: bool, learned_prior: bool):
    """In songs, components, sticks, concentrations and the prior at once, after many iterations."""
    corpus, start = small_case(diagonal, learned_prior=learned_prior)
    _, state, found = _climb(start, corpus, 500 if learned_prior else 100, TO_THE_END)
    songs = oracle_songs(found, state.alpha0)
    q, hyper, scale = oracle_corpus(state), oracle_hyper(state), state.prior.scale_inv.flatten()[:1]
    raw = [torch.tensor(value, dtype=F64) for value in (state.gamma, state.alpha0)]
    raw += [part.clone() for part in (q.u, q.v, q.mean, q.strength, q.dof, q.scale_inv)]
    raw += [part.clone() for song in songs for part in (_log(song.zeta), _log(song.varphi), song.a, song.b)]
    learned = [torch.tensor(value, dtype=F64) for value in (hyper.strength, hyper.dof)] + [scale.clone()]
    raw += learned if learned_prior else []
    raw = [part.requires_grad_() for part in raw]
    if learned_prior:
        strength, dof, scale = raw[-3:]
        round_ = scale * (torch.ones(2, dtype=F64) if diagonal else torch.eye(2, dtype=F64))
        hyper = replace(hyper, strength=strength, dof=dof, scale_inv=round_)
    n = 8 + 4 * len(songs)
    free = [
        elbo.SongQ(song.frames, zeta.softmax(1), varphi.softmax(1), a, b)
        for song, zeta, varphi, a, b in zip(
            songs, raw[8:n:4], raw[9:n:4], raw[10:n:4], raw[11:n:4], strict=True
        )
    ]
    corpus_q = elbo.CorpusQ(raw[2], raw[3], q.order, raw[4], raw[5], raw[6], raw[7])
    total = elbo.bound(free, corpus_q, replace(hyper, gamma=raw[0], alpha0=raw[1]))
    for gradient in torch.autograd.grad(total, raw):
        assert float(gradient.abs().max()) < 1e-5


def _log(q: Tensor) -> Tensor:
    return q.clamp(min=1e-300).log()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("direct", [False, True])
def test_full_batch_bound_rises_with_songs_started_afresh(direct: bool, seed: int):
    """A song may land in a lower local optimum than before: falls are bounded, not excluded. Measured over 15 corpora
    of this kind at both levels: 31 of 420 iterations fall, by 0.083 nats a frame at most, and the least rise of a run
    is 0.67.
    """
    corpus, state = _overlapping(seed, False, direct)
    bounds = []
    for _ in range(15):
        statistics, info = batch_of(state, corpus)
        bounds.append(info.bound + model.corpus_bound(state))
        state = model.blend(state, statistics, scale=1.0, rho=1.0)
    steps = np.diff(bounds) / len(corpus.values)
    assert steps.min() > -0.1
    assert steps.sum() > 0.5


def _partition(frames: np.ndarray, cuts: int) -> np.ndarray:
    """One of the 2^(frames - 1) ways to cut the sorted frames into stretches, as labels."""
    steps = np.array([0] + [cuts >> i & 1 for i in range(len(frames) - 1)])
    return steps.cumsum()[frames.argsort().argsort()]


@pytest.mark.parametrize(("learned", "diagonal"), [(False, True), (True, False)])
def test_bound_is_below_the_exact_evidence_of_a_corpus(learned: bool, diagonal: bool):
    """Two songs of three and two frames, from every way to cut the frames into components. Learned concentrations pay
    for their hyper-prior. Measured over 6 corpora: the best start ends 1.1 to 4.6 nats below.
    """
    frames = np.random.default_rng(2).normal(scale=3.0, size=5)
    corpus = Corpus(ragged([3, 2], torch.tensor(frames)[:, None]), np.zeros(5, int))
    prior = skewed_prior(1, diagonal=diagonal, learned=learned)
    below = []
    for cuts in range(16):
        labels = _partition(frames, cuts)
        atoms = [float(len(set(np.flatnonzero(labels == k) // 3))) for k in range(labels.max() + 1)]
        stats = hard_statistics(corpus.values, labels, len(atoms), atoms, prior.diagonal)
        bounds, state, _ = _climb(State(prior, stats, 1.5, 0.7), corpus, 8, replace(OPTIONS, tolerance=1e-6))
        hyper = oracle_hyper(state)
        exact = evidence.log_evidence([frames[:3], frames[3:]], hyper)
        below.append(exact + float(elbo.log_hyperpriors(hyper)) - bounds[-1])
    assert 0.0 < min(below) < 5.0


def test_one_song_is_scikit_learns_dirichlet_process_mixture():
    """Where each component has one atom, the two are one model: the same fixed point, and the same bound but for the
    corpus' sticks, which see one draw of each component, and the constants that scikit-learn leaves out.
    """
    corpus = mixture(seed=3, n_songs=1, n_comp=3, dim=2, frames=(300, 300), spread=3.0)
    prior, frames = skewed_prior(2, learned=False), corpus.values.numpy()
    start = State(prior, hard_statistics(corpus.values, corpus.labels, 3, [1.2, 1.1, 1.0]), 1.5, 0.7)
    bounds, state, ((_, song),) = _climb(start, corpus, 100, TO_THE_END)
    named, zeta = song.varphi[0].argmax(1), song.zeta[0].numpy()
    assert sorted(named.tolist()) == [0, 1, 2]
    assert float(song.varphi[0].max(1).values.min()) > 1 - 1e-12
    assert zeta.max(1).mean() < 0.99  # the components overlap
    theirs = BayesianGaussianMixture(
        n_components=3, weight_concentration_prior=0.7, mean_precision_prior=prior.strength,
        mean_prior=prior.mean.numpy(), degrees_of_freedom_prior=prior.dof, covariance_prior=prior.scale_inv.numpy(),
        reg_covar=0.0,
    )  # fmt: skip
    theirs._check_parameters(frames)
    theirs._initialize(frames, zeta)
    log_prob, log_resp = theirs._e_step(frames)
    np.testing.assert_allclose(np.exp(log_resp), zeta, atol=1e-7)
    ours = oracle_corpus(state)
    np.testing.assert_allclose(theirs.means_, ours.mean[named], rtol=1e-6)
    np.testing.assert_allclose(theirs.mean_precision_, ours.strength[named], rtol=1e-7)
    np.testing.assert_allclose(
        theirs.covariances_, (ours.scale_inv / ours.dof[:, None, None])[named], rtol=1e-6
    )
    counts = song.counts[0].numpy()
    np.testing.assert_allclose(theirs.weight_concentration_[0], 1 + counts, rtol=1e-7)
    corpus_sticks = sum(betaln(2, 1.5 + later) - betaln(1, 1.5) for later in range(3))
    constants = -3 * (_log_normaliser(prior) + betaln(1, 0.7)) - len(frames) * np.log(2 * np.pi)
    expected = theirs._compute_lower_bound(log_resp, log_prob) + constants + corpus_sticks
    assert bounds[-1] == pytest.approx(expected, abs=1e-6)


def _log_normaliser(prior) -> float:
    """Of the normal-Wishart, without the powers of pi that every component has."""
    dim, scale_inv = prior.dim, prior.scale_inv.numpy()
    wishart = 0.5 * prior.dof * (dim * np.log(2) - np.linalg.slogdet(scale_inv)[1])
    return wishart + gammaln(0.5 * (prior.dof - np.arange(dim))).sum() - 0.5 * dim * np.log(prior.strength)
