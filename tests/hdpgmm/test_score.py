"""Held-out prediction of songs whose mixture is known."""

import numpy as np
import pytest
import torch
from scipy import stats

from hdpgmm import model, score
from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model import State
from hdpgmm.ragged import packed, ragged
from tests.hdpgmm.corpora import (
    F64,
    Corpus,
    log_prior_student_t,
    mixture,
    oracle_corpus,
    partition_state,
    skewed_prior,
)
from tests.oracles import evidence

OPTIONS = LocalOptions(n_atoms=3)
CENTRES = np.array([[0.0, 0.0], [60.0, 0.0], [0.0, 60.0]])

both_families = pytest.mark.parametrize("diagonal", [False, True])
both_levels = pytest.mark.parametrize("direct", [False, True])


def _state(diagonal: bool = False, direct: bool = False) -> State:
    """Three components of 40 frames about the corners, 60 standard deviations apart."""
    labels = np.repeat([0, 1, 2], 40)
    values = CENTRES[labels] + np.random.default_rng(0).normal(size=(120, 2))
    corpus = Corpus(packed([torch.tensor(values)]), labels)
    return partition_state(corpus, 3, skewed_prior(2, diagonal=diagonal, direct=direct))


def _song(counts: list[int], seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Even frames with these counts of components, odd ones of any: (frames, components of the even ones)."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1, 2], counts))
    both = np.column_stack([labels, rng.integers(3, size=len(labels))]).ravel()
    return CENTRES[both] + rng.normal(size=(len(both), 2)), labels


def _student_t(state: State, frames: np.ndarray, k: int) -> np.ndarray:
    """log of the posterior predictive of component k, by scipy: with diagonal covariances a product over dimensions."""
    q = oracle_corpus(state)
    widen = float((1 + q.strength[k]) / q.strength[k])
    mean, scale_inv, dof = q.mean[k].numpy(), q.scale_inv[k].numpy(), float(q.dof[k])
    if state.prior.diagonal:
        return stats.t.logpdf(frames, dof, mean, np.sqrt(scale_inv * widen / dof)).sum(1)
    shape = scale_inv * widen / (dof - 1)
    return stats.multivariate_t(mean, shape, dof - 1).logpdf(frames)  # pyright: ignore[reportArgumentType]


def _expected_beta(state: State) -> np.ndarray:
    """E[beta] of the components; what is missing to one is of those never seen."""
    q, rest, beta = oracle_corpus(state), 1.0, np.zeros(state.n_components)
    for k, u, v in zip(q.order, q.u.tolist(), q.v.tolist(), strict=True):
        beta[k], rest = rest * u / (u + v), rest * v / (u + v)
    return beta


def _expected(state: State, frames: np.ndarray, labels: np.ndarray) -> float:
    """The odd frames under (count + alpha0 beta) / (frames + alpha0), the counts those of the even frames' labels.

    Components never seen have the rest of alpha0 and predict as the prior.
    """
    beta = _expected_beta(state)
    weights = np.bincount(labels, minlength=3) + state.alpha0 * beta
    odd = frames[1::2]
    density = sum(weights[k] * np.exp(_student_t(state, odd, k)) for k in range(3))
    density = density + state.alpha0 * (1 - beta.sum()) * np.exp(log_prior_student_t(state, odd))
    density = density / (len(labels) + state.alpha0)
    return float(np.log(density).sum())


@both_families
@both_levels
def test_completion_is_the_odd_frames_under_the_even_frames_weights(direct: bool, diagonal: bool):
    """Of songs with an empty one and two of a single frame between."""
    state = _state(diagonal, direct)
    songs = [_song([9, 4, 2], seed=1), _song([3, 11, 7], seed=2)]
    alone = np.array([[3.0, 3.0]])
    values = torch.tensor(np.concatenate([alone, songs[0][0], alone, songs[1][0]]))
    total, scored = score.completion(model.prepare(state, F64), ragged([1, 30, 0, 1, 42], values), OPTIONS)
    assert scored == 15 + 21
    assert total == pytest.approx(sum(_expected(state, *song) for song in songs), rel=1e-9)


@both_levels
def test_completion_in_float32_is_float64s(direct: bool):
    """To 1e-4 nats a frame, which is far below what a training step gains."""
    corpus = mixture(seed=3, n_songs=7, n_comp=5, dim=4, frames=(20, 40), spread=1.5)
    state = partition_state(corpus, 5, skewed_prior(4, direct=direct))
    double, n = score.completion(model.prepare(state, F64), corpus.songs, OPTIONS)
    single, _ = score.completion(model.prepare(state), corpus.songs_as(torch.float32), OPTIONS)
    assert abs(single - double) / n < 1e-4


def test_order_of_songs_does_not_matter_to_completion():
    corpus = mixture(seed=3, n_songs=7, n_comp=5, dim=2, frames=(1, 40), spread=1.5)
    ready = model.prepare(partition_state(corpus, 5, skewed_prior(2)), F64)
    moved = corpus.take([4, 1, 6, 0, 5, 3, 2])
    (one, n), (two, m) = (score.completion(ready, c.songs, OPTIONS) for c in (corpus, moved))
    assert (n, one) == (m, pytest.approx(two, abs=1e-9))


def test_odd_frames_do_not_help_to_predict_themselves():
    """Where they move, the song's weights do not: the other frames' scores add up as before."""
    state = _state()
    ready = model.prepare(state, F64)
    frames, labels = _song([4, 4, 2])
    moved = frames.copy()
    moved[1::2] = CENTRES[2]
    found, _ = score.completion(ready, packed([torch.tensor(moved)]), OPTIONS)
    assert found == pytest.approx(_expected(state, moved, labels), rel=1e-9)


def test_songs_too_short_to_split_are_passed_over():
    ready = model.prepare(_state(), F64)
    frames, _ = _song([2, 1, 1])
    values = torch.tensor(frames[:4])
    assert score.completion(ready, ragged([0, 1, 3], values), OPTIONS)[1] == 1
    assert score.completion(ready, packed([values[:1]]), OPTIONS) == (0.0, 0)


@both_levels
def test_component_weights_are_the_franchises_next_frame(direct: bool):
    """p(next frame's component | the components of five) by every seating of six frames at tables."""
    state = _state(direct=direct)
    labels = [0, 0, 2, 0, 2]
    ready = model.prepare(state, F64)
    values = torch.tensor(CENTRES[labels])
    ((_, posterior),) = model.infer(ready, packed([values]), OPTIONS)
    ((found,),) = [score.component_weights(ready, posterior).tolist()]
    beta = _expected_beta(state)

    def log_probability(labels: list[int]) -> float:
        total = -np.inf
        for tables in evidence.partitions(range(len(labels))):
            served = [{labels[n] for n in table} for table in tables]
            if all(len(table) == 1 for table in served):
                dishes = sum(np.log(beta[table.pop()]) for table in served)
                total = np.logaddexp(total, evidence.log_partition(tables, state.alpha0) + dishes)
        return float(total)

    expected = [np.exp(log_probability([*labels, k]) - log_probability(labels)) for k in range(3)]
    assert found == pytest.approx(expected, rel=1e-9)


@both_levels
def test_component_weights_are_shares(direct: bool):
    corpus = mixture(seed=3, n_songs=1, n_comp=5, dim=2, frames=(60, 60), spread=1.5)
    ready = model.prepare(partition_state(corpus, 5, skewed_prior(2, direct=direct)), F64)
    ((_, posterior),) = model.infer(ready, corpus.songs, OPTIONS)
    weights = score.component_weights(ready, posterior)[0]
    assert float(weights.min()) > 0
    unseen = ready.alpha0 * (1.0 - float(ready.beta.sum()))
    assert float(weights.sum()) == pytest.approx(1.0 - unseen / (60 + ready.alpha0), abs=1e-12)
    empirical = posterior.responsibilities()[0].mean(0)
    assert float((weights - empirical).abs().max()) < 0.05  # 60 frames against a prior of about one


@both_families
def test_a_frame_far_from_everything_has_a_finite_score(diagonal: bool):
    ready = model.prepare(_state(diagonal))
    values = torch.tensor([[0.0, 0.0], [1e6, -1e6]])
    total, _ = score.completion(ready, packed([values]), OPTIONS)
    assert np.isfinite(total)


@both_families
def test_a_frame_like_no_component_is_predicted_by_the_prior(diagonal: bool):
    """Its heavy tail times the weight of components never seen; the known ones are hundreds of nats below."""
    state = _state(diagonal)
    values = np.array([[0.0, 0.0], [300.0, 300.0]])
    ready = model.prepare(state, F64)
    found, _ = score.completion(ready, packed([torch.tensor(values)]), OPTIONS)
    weight = state.alpha0 * (1 - _expected_beta(state).sum()) / (1 + state.alpha0)
    expected = np.log(weight) + log_prior_student_t(state, values[1:])
    assert found == pytest.approx(float(np.squeeze(expected)), abs=1e-6)
    assert max(_student_t(state, values[1:], k).item() for k in range(3)) < found - 20
