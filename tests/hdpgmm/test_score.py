"""Held-out prediction of songs whose mixture is known."""

import numpy as np
import pytest
import torch
from scipy import stats

from hdpgmm import model, score
from hdpgmm.local import LocalOptions, infer_song
from hdpgmm.model import State
from hdpgmm.statistics import Statistics
from tests.hdpgmm.corpora import Corpus, mixture, oracle_corpus, partition_state, skewed_prior

OPTIONS = LocalOptions(n_atoms=3)
CENTRES = np.array([[0.0, 0.0], [60.0, 0.0], [0.0, 60.0]])


def _state() -> State:
    """Three components of 40 frames about the corners, 60 standard deviations apart."""
    labels = np.repeat([0, 1, 2], 40)
    values = CENTRES[labels] + np.random.default_rng(0).normal(size=(120, 2))
    corpus = Corpus(torch.tensor(values), torch.tensor([0, 120]), labels)
    return partition_state(corpus, 3, skewed_prior(2))


def _song(counts: list[int], seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Even frames with these counts of components, odd ones of any: (frames, components of the even ones)."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1, 2], counts))
    both = np.column_stack([labels, rng.integers(3, size=len(labels))]).ravel()
    return CENTRES[both] + rng.normal(size=(len(both), 2)), labels


def _student_t(state: State, frames: np.ndarray, k: int) -> np.ndarray:
    """log of the posterior predictive of component k, by scipy."""
    q = oracle_corpus(state)
    dof = float(q.dof[k]) - 1
    shape = q.scale_inv[k].numpy() * float((1 + q.strength[k]) / (q.strength[k] * dof))
    return stats.multivariate_t(q.mean[k].numpy(), shape, dof).logpdf(frames)


def _expected(state: State, frames: np.ndarray, labels: np.ndarray) -> float:
    """Weights are the means of the sticks given hard counts, largest first; the odd frames under that mixture."""
    counts = np.bincount(labels, minlength=3)
    order = np.argsort(-counts)
    rest, weights = 1.0, np.zeros(3)
    for i, k in enumerate(order):
        later = counts[order[i + 1 :]].sum()
        stick = (1 + counts[k]) / (1 + counts[k] + state.prior.alpha0 + later) if i < 2 else 1.0
        weights[k], rest = rest * stick, rest * (1 - stick)
    odd = frames[1::2]
    density = sum(weights[k] * np.exp(_student_t(state, odd, k)) for k in range(3))
    return float(np.log(density).sum())


def test_completion_is_the_odd_frames_under_the_even_frames_weights():
    state = _state()
    songs = [_song([9, 4, 2], seed=1), _song([3, 11, 7], seed=2)]
    values = torch.tensor(np.concatenate([frames for frames, _ in songs]))
    offsets = torch.tensor([0, 30, 72])
    total, scored = score.completion(model.prepare(state, torch.float64), values, offsets, OPTIONS)
    assert scored == 15 + 21
    assert total == pytest.approx(sum(_expected(state, *song) for song in songs), rel=1e-9)


def test_completion_in_float32_is_float64s():
    """To 1e-4 nats a frame, which is far below what a training step gains."""
    corpus = mixture(seed=3, n_songs=7, n_comp=5, dim=4, frames=(20, 40), spread=1.5)
    state = partition_state(corpus, 5, skewed_prior(4))
    double, n = score.completion(model.prepare(state, torch.float64), corpus.values, corpus.offsets, OPTIONS)
    single, _ = score.completion(model.prepare(state), corpus.values.float(), corpus.offsets, OPTIONS)
    assert abs(single - double) / n < 1e-4


def test_songs_too_short_to_split_are_passed_over():
    state = _state()
    ready = model.prepare(state, torch.float64)
    frames, _ = _song([2, 1, 1])
    values = torch.tensor(frames[:4])
    assert score.completion(ready, values, torch.tensor([0, 0, 1, 4]), OPTIONS)[1] == 1
    assert score.completion(ready, values[:1], torch.tensor([0, 1]), OPTIONS) == (0.0, 0)


def test_component_weights_are_shares():
    corpus = mixture(seed=3, n_songs=1, n_comp=5, dim=2, frames=(60, 60), spread=1.5)
    ready = model.prepare(partition_state(corpus, 5, skewed_prior(2)), torch.float64)
    song = infer_song(model.log_likelihoods(ready, corpus.values), ready.log_beta, ready.alpha0, OPTIONS)
    weights = score.component_weights(song, ready.alpha0)
    assert float(weights.min()) >= 0
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-12)
    empirical = song.responsibilities().mean(0)
    assert float((weights - empirical).abs().max()) < 0.05  # 60 frames against a prior of about one


def test_a_frame_far_from_everything_has_a_finite_score():
    state = _state()
    ready = model.prepare(state)
    values = torch.tensor([[0.0, 0.0], [1e6, -1e6]])
    total, _ = score.completion(ready, values, torch.tensor([0, 2]), OPTIONS)
    assert np.isfinite(total)


def test_an_empty_component_predicts_as_the_prior():
    """Far out, its heavy tail is what scores a frame: nothing is lost in a component without frames."""
    state = _state()
    empty = State(
        state.prior, Statistics(*(torch.cat([a, torch.zeros_like(a[:1])]) for a in state.stats.tensors()))
    )
    ready = model.prepare(empty, torch.float64)
    values = torch.tensor([[0.0, 0.0], [300.0, 300.0]], dtype=torch.float64)
    with_it, _ = score.completion(ready, values, torch.tensor([0, 2]), LocalOptions(n_atoms=4))
    without, _ = score.completion(model.prepare(state, torch.float64), values, torch.tensor([0, 2]), OPTIONS)
    assert with_it > without + 10
