"""The corpus-level step as gradients of the oracle's bound: plain ones vanish, natural ones are the step."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hdpgmm import model
from hdpgmm.components.statistics import zeros
from hdpgmm.model import State
from tests.hdpgmm.corpora import (
    F64,
    Corpus,
    batch_of,
    oracle_corpus,
    oracle_hyper,
    small_case,
    songs_of,
)
from tests.oracles import elbo

both_families = pytest.mark.parametrize("diagonal", [False, True])


def _updated(diagonal: bool) -> tuple[list[elbo.SongQ], State, State]:
    """Songs' posteriors under a state, that state, and the one after the batch update to them."""
    corpus, state = small_case(diagonal)
    statistics, _ = batch_of(state, corpus)
    return songs_of(state, corpus), state, model.blend(state, statistics, scale=1.0, rho=1.0)


@both_families
def test_gradient_of_the_oracle_vanishes_after_the_batch_update(diagonal: bool):
    """In every coordinate of the sticks and components; a full scale_inv through its Cholesky factor."""
    songs, _, after = _updated(diagonal)
    q = oracle_corpus(after)
    scale = q.scale_inv if diagonal else torch.linalg.cholesky(q.scale_inv)
    raw = [part.clone().requires_grad_() for part in (q.u, q.v, q.mean, q.strength, q.dof, scale)]
    scale_inv = raw[5] if diagonal else raw[5] @ raw[5].mT
    free = elbo.CorpusQ(raw[0], raw[1], q.order, raw[2], raw[3], raw[4], scale_inv)
    total = elbo.bound(songs, free, oracle_hyper(after))
    for gradient in torch.autograd.grad(total, raw):
        assert float(gradient.abs().max()) < 1e-9


def test_gradient_of_the_oracle_vanishes_in_the_learned_concentrations():
    """Given the sticks they were learned from: those of before the update."""
    songs, before, after = _updated(diagonal=False)
    raw = [torch.tensor(value, dtype=F64, requires_grad=True) for value in (after.gamma, after.alpha0)]
    q = oracle_corpus(replace(after, gamma=before.gamma, alpha0=before.alpha0))
    total = elbo.bound(songs, q, replace(oracle_hyper(after), gamma=raw[0], alpha0=raw[1]))
    for gradient, value, old in zip(
        torch.autograd.grad(total, raw), raw, (before.gamma, before.alpha0), strict=True
    ):
        assert abs(float(gradient)) < 1e-9
        assert abs(value.item() - old) > 0.01  # so it was an update


@both_families
def test_batch_update_is_the_best_for_given_songs(diagonal: bool):
    """With the songs' posteriors held, the components and the reordered sticks are at their joint optimum."""
    songs, before, after = _updated(diagonal)
    hyper = oracle_hyper(after)
    best = float(elbo.bound(songs, oracle_corpus(after), hyper))
    assert best > float(elbo.bound(songs, oracle_corpus(replace(before, gamma=after.gamma)), hyper)) + 0.1
    for wrong in (0.9, 1.1):
        other = replace(after, stats=after.stats.scaled(wrong))
        assert float(elbo.bound(songs, oracle_corpus(other), hyper)) < best


def _natural(state: State, k: int) -> Tensor:
    """Natural parameters of component k in dimension 2, whose sufficient statistics are linear in mu and Lambda:
    (dof - 2) / 2, -strength / 2, strength m, -(W^-1 + strength m m^T) / 2. Diagonal: its diagonal, and dof / 2."""
    q = oracle_corpus(state)
    mean, strength, dof = q.mean[k], q.strength[k], q.dof[k]
    matrix = -0.5 * (_dense(q.scale_inv[k]) + strength * torch.outer(mean, mean))
    diagonal = q.scale_inv.ndim == 2
    log_det = dof / 2 if diagonal else (dof - 2) / 2
    off = [] if diagonal else [2 * matrix[0, 1]]
    return torch.stack([log_det, -strength / 2, *(strength * mean), matrix[0, 0], matrix[1, 1], *off])


def _dense(scale_inv: Tensor) -> Tensor:
    return torch.diag(scale_inv) if scale_inv.ndim == 1 else scale_inv


def _component(natural: Tensor) -> elbo.CorpusQ:
    """A corpus of one component without sticks from natural parameters: six of a diagonal one, seven of a full one."""
    diagonal = len(natural) == 6
    dof, strength = 2 * natural[0] + (0 if diagonal else 2), -2 * natural[1]
    mean = natural[2:4] / strength
    if diagonal:
        scale_inv = -2 * natural[4:6] - strength * mean.square()
    else:
        off = natural[6] / 2
        matrix = torch.stack([natural[4], off, off, natural[5]]).reshape(2, 2)
        scale_inv = -2 * matrix - strength * torch.outer(mean, mean)
    none = torch.empty(0, dtype=F64)
    return elbo.CorpusQ(none, none, [0], mean[None], strength[None], dof[None], scale_inv[None])


def _log_normaliser(natural: Tensor) -> Tensor:
    """Up to a constant: of the precision, and of the mean given it."""
    q = _component(natural)
    half, scale_inv = q.dof[0] / 2, q.scale_inv[0]
    gammas = 2 * torch.lgamma(half) if len(natural) == 6 else torch.special.multigammaln(half, 2)
    return gammas - half * torch.logdet(_dense(scale_inv) / 2) - torch.log(q.strength[0])


def _natural_gradient(
    bound: Callable[[Tensor], Tensor], log_normaliser: Callable[[Tensor], Tensor], at: Tensor
) -> Tensor:
    """F^-1 d bound / d eta; the Fisher information F is the Hessian of the log-normaliser."""
    eta = at.clone().requires_grad_()
    gradient = torch.autograd.grad(bound(eta), eta)[0]
    fisher = torch.autograd.functional.hessian(log_normaliser, at)
    return torch.linalg.solve(fisher, gradient)


def _batch(case: tuple[Corpus, State], absent: bool) -> tuple[list[elbo.SongQ], State]:
    """Three songs of the seven, or none, and the state after a step of 0.3 to them."""
    corpus, state = case
    if absent:
        return [], model.blend(state, zeros(5, 2, diagonal=state.prior.diagonal), scale=7 / 3, rho=0.3)
    few = corpus.take([1, 4, 5])
    return songs_of(state, few), model.blend(state, batch_of(state, few)[0], scale=7 / 3, rho=0.3)


@pytest.mark.parametrize("absent", [False, True])
@both_families
def test_step_of_a_component_is_the_natural_gradient(diagonal: bool, absent: bool):
    """eta moves by rho times it, of the bound with the batch's songs counted 7 / 3 times; absent from the batch too."""
    case = small_case(diagonal)
    state, hyper = case[1], oracle_hyper(case[1])
    songs, after = _batch(case, absent)
    for k in range(5):

        def bound(eta: Tensor, k: int = k) -> Tensor:
            q = _component(eta)
            total = -elbo.kl_component(q, 0, hyper)
            for song in songs:
                resp = (song.zeta @ song.varphi)[:, k]
                total = total + 7 / 3 * (resp * elbo.expected_log_gaussians(song.frames, q)[:, 0]).sum()
            return total

        eta = _natural(state, k)
        expected = 0.3 * _natural_gradient(bound, _log_normaliser, eta)
        torch.testing.assert_close(_natural(after, k) - eta, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("absent", [False, True])
def test_step_of_the_corpus_sticks_is_the_natural_gradient(absent: bool):
    """In (u, v) of each stick, whose order the step leaves as it was."""
    case = small_case(learned=False)
    songs, after = _batch(case, absent)
    before, q = oracle_corpus(case[1]), oracle_corpus(after)
    assert before.order == q.order
    size = len(before.u)

    def bound(eta: Tensor) -> Tensor:
        free = replace(before, u=eta[:size], v=eta[size:])
        log_beta = elbo.corpus_log_weights(free)
        drawn = sum(((song.varphi @ log_beta).sum() for song in songs), elbo.ZERO)
        return 7 / 3 * drawn - elbo.kl_sticks(free.u, free.v, case[1].gamma)

    def log_normaliser(eta: Tensor) -> Tensor:
        u, v = eta[:size], eta[size:]
        return (torch.lgamma(u) + torch.lgamma(v) - torch.lgamma(u + v)).sum()

    eta = torch.cat([before.u, before.v])
    expected = 0.3 * _natural_gradient(bound, log_normaliser, eta)
    torch.testing.assert_close(torch.cat([q.u, q.v]) - eta, expected, rtol=1e-7, atol=1e-7)
