"""Merges against the difference of two of the oracle's bounds, and what they may and may not do."""

import itertools
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import betaln, entr
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture

from hdpgmm import moves
from hdpgmm.model import State
from hdpgmm.prior import Prior, whitened_prior
from hdpgmm.statistics import Statistics
from tests.hdpgmm.corpora import (
    hard_statistics,
    mixture,
    oracle_corpus,
    oracle_hyper,
    partition_state,
    skewed_prior,
)
from tests.oracles import elbo

PAIRS = list(itertools.combinations(range(4), 2))


def _songs() -> list[elbo.SongQ]:
    """Six songs of three atoms: soft zeta, one-hot varphi over four components, arbitrary song sticks."""
    rng = np.random.default_rng(7)
    return [
        elbo.SongQ(
            torch.tensor(rng.normal(size=(n, 2)) + rng.normal(size=2)),
            torch.tensor(rng.dirichlet(np.ones(3), n)),
            torch.eye(4, dtype=torch.float64)[rng.choice(4, 3)],
            torch.tensor(rng.uniform(1, 4, 2)),
            torch.tensor(rng.uniform(1, 4, 2)),
        )
        for n in (4, 7, 3, 6, 5, 8)
    ]


def _state(songs: list[elbo.SongQ], prior: Prior) -> State:
    """The batch update to the songs, by einsum."""
    resp = torch.cat([song.zeta @ song.varphi for song in songs])
    frames = torch.cat([song.frames for song in songs])
    atoms = torch.stack([song.varphi.sum(0) for song in songs]).sum(0)
    second = torch.einsum("nk,ni,nj->kij", resp, frames, frames)
    return State(prior, Statistics(resp.sum(0), resp.T @ frames, second, atoms))


def _moved(songs: list[elbo.SongQ], kept: int, dropped: int) -> list[elbo.SongQ]:
    """The atoms of `dropped` drawn from `kept` instead."""
    move = torch.eye(4, dtype=torch.float64)
    move[dropped] = move[kept]
    return [replace(song, varphi=song.varphi @ move) for song in songs]


@pytest.mark.parametrize(("kept", "dropped"), PAIRS)
def test_gain_is_the_difference_of_the_oracles_bounds(kept: int, dropped: int):
    songs, prior = _songs(), skewed_prior(2)
    state, hyper = _state(songs, prior), oracle_hyper(prior)
    before = elbo.bound(songs, oracle_corpus(state), hyper)
    after_songs = _moved(songs, kept, dropped)
    after = elbo.bound(after_songs, oracle_corpus(_state(after_songs, prior)), hyper)
    gain = moves.pair_gains(state, [(kept, dropped)])[kept, dropped]
    assert gain == pytest.approx(float(after - before), abs=1e-9)


def test_gain_of_a_partner_does_not_depend_on_its_neighbours_in_the_list():
    state = _state(_songs(), skewed_prior(2))
    together = moves.pair_gains(state, PAIRS)
    assert together == pytest.approx(
        {pair: moves.pair_gains(state, [pair])[pair] for pair in PAIRS}, abs=1e-10
    )
    assert moves.pair_gains(state, []) == {}


def test_merged_moves_the_statistics_and_keeps_the_totals():
    state = _state(_songs(), skewed_prior(2))
    found = moves.merged(state, 2, 0)
    for before, after in zip(state.stats.tensors(), found.stats.tensors(), strict=True):
        torch.testing.assert_close(after[2], before[2] + before[0])
        assert not after[0].any()
        assert torch.equal(after[[1, 3]], before[[1, 3]])
        torch.testing.assert_close(after.sum(0), before.sum(0))
    assert state.stats.count[0] > 0  # the argument is as it was


def _separated(copies: int) -> State:
    """Five components 20 standard deviations apart, each with its frames dealt to `copies` equal components."""
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(5), 120)
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    values = torch.tensor(20.0 * corners[labels] + rng.normal(size=(600, 3)))
    dealt = labels * copies + np.tile(np.arange(copies), 600 // copies)
    atoms = (10.0 + np.linspace(0, 1, 5 * copies)).tolist()
    return State(whitened_prior(3, 1.0, 1.0), hard_statistics(values, dealt, 5 * copies, atoms))


@pytest.mark.parametrize("copies", [2, 3])
def test_duplicates_are_merged_and_nothing_else(copies: int):
    state = _separated(copies)
    found, merges = moves.merge_all(state)
    assert len(merges) == 5 * (copies - 1)
    assert all(merge.kept // copies == merge.dropped // copies for merge in merges)
    assert all(merge.gain > 0 for merge in merges)
    assert sorted(found.stats.count.tolist()) == [0.0] * (5 * (copies - 1)) + [120.0] * 5
    for before, after in zip(state.stats.tensors(), found.stats.tensors(), strict=True):
        torch.testing.assert_close(after.sum(0), before.sum(0))


def test_separated_components_are_left_alone():
    state = _separated(1)
    found, merges = moves.merge_all(state)
    assert merges == []
    assert found is state


def test_gains_add_up_to_the_gain_of_the_whole():
    """Three copies need two merges in a row: the second one is judged on the pooled statistics of the first."""
    state = _separated(3)
    found, merges = moves.merge_all(state)

    def evidence(one: State) -> float:
        own = moves.log_evidence(one.prior, one.stats).sum()
        return float(own + moves.stick_evidence(one.stats.atoms, one.prior.gamma))

    assert sum(merge.gain for merge in merges) == pytest.approx(evidence(found) - evidence(state), abs=1e-7)


@pytest.mark.parametrize("counts", [[0.0, 0.0, 0.0], [50.0, 0.0, 0.0], [50.0, 0.5, 0.0]])
def test_there_must_be_two_to_merge(counts: list[float]):
    count = torch.tensor(counts, dtype=torch.float64)
    eye = torch.eye(2, dtype=torch.float64)
    state = State(
        skewed_prior(2),
        Statistics(count, torch.zeros(3, 2, dtype=torch.float64), count[:, None, None] * eye, count),
    )
    assert moves.merge_all(state)[1] == []


def test_stick_evidence_is_a_sum_of_beta_functions():
    """In falling order of atoms: log B(1 + c, gamma + later) - log B(1, gamma) of every stick but the last."""
    found = moves.stick_evidence(torch.tensor([1.5, 6.0, 0.2], dtype=torch.float64), 1.7)
    expected = betaln(7.0, 1.7 + 1.7) + betaln(2.5, 1.7 + 0.2) - 2 * betaln(1, 1.7)
    assert float(found) == pytest.approx(expected, abs=1e-12)


def _scikit_learn(frames: np.ndarray, prior: Prior, iterations: int) -> BayesianGaussianMixture:
    model = BayesianGaussianMixture(
        n_components=5, weight_concentration_prior=0.9, mean_precision_prior=prior.strength,
        mean_prior=prior.mean.numpy(), degrees_of_freedom_prior=prior.dof, covariance_prior=prior.scale_inv.numpy(),
        init_params="random_from_data", reg_covar=0.0, tol=0.0, max_iter=iterations, random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(frames)


def test_evidence_and_entropy_rise_as_scikit_learns_bound_does():
    """Its bound after n + 1 iterations, of the responsibilities after n: ours, up to one constant of the data."""
    corpus = mixture(seed=8, n_songs=6, n_comp=4, dim=2, frames=(30, 30), spread=2.5)
    prior, frames, differences, bounds = skewed_prior(2), corpus.values.numpy(), [], []
    for iterations in (2, 30):
        resp = _scikit_learn(frames, prior, iterations).predict_proba(frames)
        second = torch.tensor(np.einsum("nk,ni,nj->kij", resp, frames, frames))
        first, count = torch.tensor(resp.T @ frames), torch.tensor(resp.sum(0))
        evidence = float(
            moves.log_evidence(prior, Statistics(count, first, second, torch.zeros_like(count))).sum()
        )
        model = _scikit_learn(frames, prior, iterations + 1)
        sticks = betaln(*model.weight_concentration_).sum()
        bounds.append(model.lower_bound_)
        differences.append(evidence + entr(resp).sum() + sticks - model.lower_bound_)
    assert bounds[1] > bounds[0] + 1.0
    assert differences[1] == pytest.approx(differences[0], abs=1e-8)


def test_state_of_a_partition_has_distinct_atoms():
    """What the permutation tests rely on."""
    corpus = mixture(seed=3, n_songs=7, n_comp=5, dim=2, frames=(1, 9), spread=1.5)
    atoms = partition_state(corpus, 5, skewed_prior(2)).stats.atoms
    assert len(set(atoms.tolist())) == 5
