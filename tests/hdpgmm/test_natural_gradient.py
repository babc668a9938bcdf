"""The corpus-level step as gradients of the oracle's bound: plain ones vanish, natural ones are the step."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hdpgmm import model
from hdpgmm.model import State
from hdpgmm.statistics import zeros
from tests.hdpgmm.corpora import (
    F64,
    batch_of,
    oracle_corpus,
    oracle_hyper,
    small_case,
    songs_of,
)
from tests.oracles import elbo


@pytest.fixture
def updated() -> tuple[list[elbo.SongQ], State]:
    """Songs' posteriors under a state, and the state after the batch update to them."""
    corpus, state = small_case()
    statistics, _ = batch_of(state, corpus)
    return songs_of(state, corpus), model.blend(state, statistics, scale=1.0, rho=1.0)


def test_gradient_of_the_oracle_vanishes_after_the_batch_update(updated):
    """In every coordinate of the sticks and components; scale_inv through its Cholesky factor."""
    songs, state = updated
    q = oracle_corpus(state)
    raw = [q.u, q.v, q.mean, q.strength, q.dof, torch.linalg.cholesky(q.scale_inv)]
    raw = [part.clone().requires_grad_() for part in raw]
    free = elbo.CorpusQ(raw[0], raw[1], q.order, raw[2], raw[3], raw[4], raw[5] @ raw[5].mT)
    total = elbo.bound(songs, free, oracle_hyper(state.prior))
    for gradient in torch.autograd.grad(total, raw):
        assert float(gradient.abs().max()) < 1e-9


def test_batch_update_never_lowers_the_bound_of_given_songs(updated):
    """With the songs' posteriors held, the components and the reordered sticks are at their joint optimum."""
    songs, after = updated
    hyper = oracle_hyper(after.prior)
    _, before = small_case()
    best = float(elbo.bound(songs, oracle_corpus(after), hyper))
    assert best > float(elbo.bound(songs, oracle_corpus(before), hyper)) + 0.1
    for wrong in (0.9, 1.1):
        other = replace(after, stats=after.stats.scaled(wrong))
        assert float(elbo.bound(songs, oracle_corpus(other), hyper)) < best


def _natural(state: State, k: int) -> torch.Tensor:
    """Natural parameters of component k in dimension 2: (dof - 2) / 2, -strength / 2, strength m, -(W^-1 + ...) / 2."""
    q = oracle_corpus(state)
    mean, strength = q.mean[k], q.strength[k]
    matrix = -0.5 * (q.scale_inv[k] + strength * torch.outer(mean, mean))
    parts = [
        (q.dof[k] - 2) / 2,
        -strength / 2,
        *(strength * mean),
        matrix[0, 0],
        2 * matrix[0, 1],
        matrix[1, 1],
    ]
    return torch.stack(parts)


def _component(natural: torch.Tensor) -> elbo.CorpusQ:
    """A corpus of one component without sticks from natural parameters."""
    dof, strength, scaled_mean = 2 * natural[0] + 2, -2 * natural[1], natural[2:4]
    matrix = torch.stack([natural[4], natural[5] / 2, natural[5] / 2, natural[6]]).reshape(2, 2)
    mean = scaled_mean / strength
    scale_inv = -2 * matrix - strength * torch.outer(mean, mean)
    none = torch.empty(0, dtype=F64)
    return elbo.CorpusQ(none, none, [0], mean[None], strength[None], dof[None], scale_inv[None])


def _log_normaliser(natural: torch.Tensor) -> torch.Tensor:
    q = _component(natural)
    dof, dim = q.dof[0], 2
    return (
        torch.special.multigammaln(dof / 2, dim)
        + dof / 2 * (dim * np.log(2) - torch.logdet(q.scale_inv[0]))
        - dim / 2 * torch.log(q.strength[0])
    )


@pytest.mark.parametrize("absent", [False, True])
def test_step_is_the_natural_gradient(absent: bool):
    """eta moves by rho F^-1 d bound / d eta: F is the Hessian of the log-normaliser, the gradient is autograd's."""
    corpus, state = small_case()
    batch, songs = zeros(5, 2), []
    if not absent:
        few = corpus.take([1, 4, 5])
        batch, songs = batch_of(state, few)[0], songs_of(state, few)
    after, hyper = model.blend(state, batch, scale=7 / 3, rho=0.3), oracle_hyper(state.prior)
    for k in range(5):
        eta = _natural(state, k).requires_grad_()
        q = _component(eta)
        bound = -elbo.kl_component(q, 0, hyper)
        for song in songs:
            resp = (song.zeta @ song.varphi)[:, k]
            bound = bound + 7 / 3 * (resp * elbo.expected_log_gaussians(song.frames, q)[:, 0]).sum()
        gradient = torch.autograd.grad(bound, eta)[0]
        fisher = torch.autograd.functional.hessian(_log_normaliser, eta.detach())
        expected = 0.3 * torch.linalg.solve(fisher, gradient)
        torch.testing.assert_close(_natural(after, k) - eta.detach(), expected, rtol=1e-7, atol=1e-7)
