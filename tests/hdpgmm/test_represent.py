"""Song vectors: what they are, and what they do not depend on."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from hdpgmm import model, represent
from hdpgmm.kinds import fisher
from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model import State
from hdpgmm.ragged import packed, ragged
from hdpgmm.represent import Vectors
from tests.hdpgmm.corpora import (
    Corpus,
    corpus_of,
    log_prior_student_t,
    mixture,
    oracle_corpus,
    oracle_songs,
    partition_state,
    skewed_prior,
)
from tests.oracles import elbo

OPTIONS = LocalOptions(n_atoms=4)
DIM = 5  # not the three features whose evidence counts
LENGTHS = [37, 1, 1500, 12, 35, 2, 410, 36, 12]  # one is longer than a block of frames


@pytest.fixture(scope="module", params=[False, True], ids=["full", "diagonal"])
def case(request: pytest.FixtureRequest) -> tuple[Corpus, State]:
    """Nine songs of overlapping components, from 1 to 1500 frames."""
    corpus = mixture(seed=3, n_songs=9, n_comp=6, dim=DIM, frames=(1500, 1500), spread=1.5)
    songs = [song[:n] for song, n in zip(corpus.songs, LENGTHS, strict=True)]
    labels = [part[:n] for part, n in zip(np.split(corpus.labels, 9), LENGTHS, strict=True)]
    corpus = corpus_of(songs, labels)
    return corpus, partition_state(corpus, 6, skewed_prior(DIM, diagonal=request.param))


def _vectors(state: State, corpus: Corpus, dtype: torch.dtype = torch.float32) -> Vectors:
    ready = model.prepare(state, dtype)
    return represent.represent(ready, corpus.songs_as(dtype), OPTIONS)


def _fisher(state: State, corpus: Corpus, dtype: torch.dtype = torch.float32) -> Tensor:
    ready = model.prepare(state, dtype)
    return fisher.fisher(ready, state, corpus.songs_as(dtype))


def _posteriors(state: State, corpus: Corpus) -> list[elbo.SongQ]:
    """q of each song in float64, from the local step."""
    parts = model.infer(model.prepare(state, torch.float64), corpus.songs, OPTIONS)
    return oracle_songs(parts, state.alpha0)


def _responsibilities(song: elbo.SongQ) -> np.ndarray:
    """sum_t zeta_nt varphi_tk, (frame, comp)."""
    out = np.zeros((len(song.zeta), song.varphi.shape[1]))
    for atom, varphi in enumerate(song.varphi.numpy()):
        for n, share in enumerate(song.zeta[:, atom].tolist()):
            out[n] += share * varphi
    return out


def _stick_means(a: Tensor, b: Tensor) -> list[float]:
    """E[w_i], w_i = v_i prod_{j<i} (1 - v_j), v_i ~ Beta(a_i, b_i)."""
    rest, out = 1.0, []
    for first, second in zip(a.tolist(), b.tolist(), strict=True):
        out.append(rest * first / (first + second))
        rest *= second / (first + second)
    return out


def _beta(state: State) -> np.ndarray:
    """E[beta_k] of the known components."""
    q = oracle_corpus(state)
    means = _stick_means(q.u, q.v)
    beta = np.zeros(len(means))
    beta[q.order] = means
    return beta


def _shares(state: State) -> np.ndarray:
    """E[beta_k], made to sum to one."""
    return _beta(state) / _beta(state).sum()


def _gap(one: Vectors, two: Vectors) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(one.tensors(), two.tensors(), strict=True))


def _take(vectors: Vectors, order: list[int]) -> Vectors:
    return Vectors(*(a[order] for a in vectors.tensors()))


def test_shares_are_distributions_over_components(case: tuple[Corpus, State]):
    corpus, state = case
    found = _vectors(state, corpus)
    for shares in found.tensors()[:4]:
        assert (shares.shape, shares.dtype) == ((9, 6), torch.float32)
        assert float(shares.min()) >= 0
        torch.testing.assert_close(shares.sum(1), torch.ones(9), atol=1e-6, rtol=0)
    assert (found.log_likelihood.shape, found.log_likelihood.dtype) == ((9,), torch.float64)


def test_posterior_is_the_papers_mean_over_frames(case: tuple[Corpus, State]):
    """Every component alike a priori, no sticks: softmax of E[log p(x | phi)], frame by frame, then the mean."""
    corpus, state = case
    found = _vectors(state, corpus, torch.float64)
    for frames, posterior in zip(corpus.songs, found.posterior, strict=True):
        log_lik = elbo.expected_log_gaussians(frames, oracle_corpus(state)).numpy()
        per_frame = [np.exp(row - row.max()) / np.exp(row - row.max()).sum() for row in log_lik]
        np.testing.assert_allclose(posterior, np.mean(per_frame, axis=0), atol=1e-6)


def test_soft_is_the_same_with_the_evidence_of_three_features(case: tuple[Corpus, State]):
    corpus, state = case
    found = _vectors(state, corpus, torch.float64)
    for frames, soft in zip(corpus.songs, found.soft, strict=True):
        np.testing.assert_allclose(soft, _tempered(state, frames, DIM / 3).mean(axis=0), atol=1e-6)


def test_responsibility_is_the_mean_over_frames_of_the_hdps(case: tuple[Corpus, State]):
    corpus, state = case
    found = _vectors(state, corpus, torch.float64)
    for song, responsibility in zip(_posteriors(state, corpus), found.responsibility, strict=True):
        np.testing.assert_allclose(responsibility, _responsibilities(song).mean(0), atol=1e-6)


def test_expected_is_the_mean_of_the_songs_weights(case: tuple[Corpus, State]):
    """pi given its frames' components is Dirichlet(n_k + alpha0 beta_k): the means of its Beta sticks, one by one."""
    corpus, state = case
    found = _vectors(state, corpus, torch.float64)
    for song, expected in zip(_posteriors(state, corpus), found.expected, strict=True):
        first = _responsibilities(song).sum(0) + state.alpha0 * _beta(state)
        second = [first[k + 1 :].sum() for k in range(6)]
        np.testing.assert_allclose(
            expected, _stick_means(torch.tensor(first), torch.tensor(second)), atol=1e-6
        )


def _log_student_t(state: State, frames: np.ndarray, k: int) -> np.ndarray:
    """log of the posterior predictive of component k, by scipy; diagonal: a product over dimensions."""
    q = oracle_corpus(state)
    strength, mean, scale_inv = float(q.strength[k]), q.mean[k].numpy(), q.scale_inv[k].numpy()
    if state.prior.diagonal:
        dof = float(q.dof[k])
        scale = np.sqrt(scale_inv * (1 + strength) / (strength * dof))
        return stats.t.logpdf(frames, dof, mean, scale).sum(1)
    dof = float(q.dof[k]) + 1 - frames.shape[1]
    shape = scale_inv * (1 + strength) / (strength * dof)
    return np.atleast_1d(stats.multivariate_t(mean, shape, dof).logpdf(frames))


def test_log_likelihood_is_that_of_the_frames_under_the_expected_weights(case: tuple[Corpus, State]):
    corpus, state = case
    found = _vectors(state, corpus, torch.float64)
    for j, frames in enumerate(corpus.songs):
        unseen = state.alpha0 * float(1.0 - _beta(state).sum()) / (len(frames) + state.alpha0)
        density = unseen * np.exp(log_prior_student_t(state, frames.numpy()))
        for k in range(6):
            weight = (1.0 - unseen) * float(found.expected[j, k])
            density += weight * np.exp(_log_student_t(state, frames.numpy(), k))
        assert float(found.log_likelihood[j]) == pytest.approx(np.log(density).mean(), abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_vectors_do_not_depend_on_the_batch_or_its_order(case: tuple[Corpus, State], dtype: torch.dtype):
    """Fisher vectors before their square root, which makes 1e-10 of 1e-20."""
    corpus, state = case
    together, fisher = _vectors(state, corpus, dtype), _fisher(state, corpus, dtype)
    for order in ([5, 0, 8, 2, 7, 1, 6, 3, 4], [2, 1], *([j] for j in range(9))):
        part = corpus.take(order)
        assert _gap(_vectors(state, part, dtype), _take(together, order)) < 1e-5
        found = _fisher(state, part, dtype)
        assert float((found * found.abs() - fisher[order] * fisher[order].abs()).abs().max()) < 1e-5


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.float64, 1e-6)])
def test_vectors_do_not_depend_on_the_order_of_frames(
    case: tuple[Corpus, State], dtype: torch.dtype, tolerance: float
):
    """But for the rounding of sums over 1500 frames, which the rounds of the local step make more of."""
    corpus, state = case
    rng = np.random.default_rng(0)
    shuffled = [song[rng.permutation(len(song))] for song in corpus.songs]
    moved = corpus_of(shuffled, corpus.song_labels)
    assert _gap(_vectors(state, moved, dtype), _vectors(state, corpus, dtype)) < tolerance
    found, fisher = _fisher(state, moved, dtype), _fisher(state, corpus, dtype)
    assert float((found * found.abs() - fisher * fisher.abs()).abs().max()) < tolerance


def test_vectors_do_not_depend_on_the_number_of_threads(case: tuple[Corpus, State]):
    corpus, state = case
    one, fisher = _vectors(state, corpus), _fisher(state, corpus)
    torch.set_num_threads(2)
    try:
        assert _gap(_vectors(state, corpus), one) == 0.0
        assert torch.equal(_fisher(state, corpus), fisher)
    finally:
        torch.set_num_threads(1)


def test_float32_vectors_are_float64s(case: tuple[Corpus, State]):
    corpus, state = case
    assert _gap(_vectors(state, corpus), _vectors(state, corpus, torch.float64)) < 1e-3
    single, double = _fisher(state, corpus), _fisher(state, corpus, torch.float64)
    assert float((single * single.abs() - double * double.abs()).abs().max()) < 1e-3


def test_a_song_without_frames_is_any_song(case: tuple[Corpus, State]):
    """Its shares are E[beta], its likelihood unknown, its Fisher vector zero, and its neighbours do not notice."""
    corpus, state = case
    none = corpus.values[:0]
    padded = Corpus(packed([*corpus.songs[:2], none, *corpus.songs[2:], none]), corpus.labels)
    found, fisher = _vectors(state, padded), _fisher(state, padded)
    for j in (2, 10):
        for shares in found.tensors()[:4]:
            np.testing.assert_allclose(shares[j], _shares(state), atol=1e-6)
        assert math.isnan(float(found.log_likelihood[j]))
        assert not fisher[j].any()
    others = [0, 1, *range(3, 10)]
    assert _gap(_take(found, others), _vectors(state, corpus)) < 1e-5
    assert _gap(Vectors(*[fisher[others]] * 5), Vectors(*[_fisher(state, corpus)] * 5)) < 1e-5


def test_no_songs_no_vectors(case: tuple[Corpus, State]):
    _, state = case
    none = Corpus(ragged([], torch.zeros(0, DIM, dtype=torch.float64)), np.zeros(0, np.int64))
    assert [a.shape for a in _vectors(state, none).tensors()] == [(0, 6)] * 4 + [(0,)]
    assert _fisher(state, none).shape == (0, 2 * 6 * DIM)


def _log_normals(state: State, frames: Tensor, moves: Tensor) -> Tensor:
    """log Normal(x_n | m_k + sqrt(v_k) d, v_k exp(s)) with diagonal covariances, (frame, comp).

    moves (..., 2, comp, dim), for every frame or for all: d, and s, the log variances.
    """
    mean, variance = _gaussians(state)
    shift, log_variance = moves.unbind(-3)
    normal = torch.distributions.Normal(
        mean + shift * variance.sqrt(), (0.5 * log_variance).exp() * variance.sqrt()
    )
    return normal.log_prob(frames[:, None]).sum(-1)


def _gaussians(state: State) -> tuple[Tensor, Tensor]:
    """Means and variances of the components: the diagonal of E[Sigma] (Bishop B.81; inverse gamma)."""
    q = oracle_corpus(state)
    if state.prior.diagonal:
        return q.mean, q.scale_inv / (q.dof[:, None] - 2)
    return q.mean, (q.scale_inv / (q.dof - q.mean.shape[1] - 1)[:, None, None]).diagonal(dim1=1, dim2=2)


def _mass(state: State) -> np.ndarray:
    """A component's share of the corpus' frames."""
    count = state.stats.count.numpy()
    return count / count.sum()


def _tempered(state: State, frames: Tensor, temperature: float) -> np.ndarray:
    """softmax_k(E[log p(x_n | phi_k)] / temperature), frame by frame."""
    rows = elbo.expected_log_gaussians(frames, oracle_corpus(state)).numpy() / temperature
    return np.array([np.exp(row - row.max()) / np.exp(row - row.max()).sum() for row in rows])


def _improved(gradients: np.ndarray) -> np.ndarray:
    """Signed square root, then length one, in the order: mean or variance, component, dimension."""
    rooted = np.sign(gradients) * np.sqrt(np.abs(gradients))
    return (rooted / np.sqrt((rooted**2).sum())).ravel()


def test_fisher_is_the_scaled_gradient_of_the_expected_log_likelihood(case: tuple[Corpus, State]):
    """Fisher's identity: sum_n r_nk log Normal(x_n | k) with r fixed has the gradient of the mixture r comes from.

    Information of a Gaussian with weight w: w a mean in standard units, w / 2 a log variance.
    """
    corpus, state = case
    information = np.stack([_mass(state), _mass(state) / 2])[:, :, None]
    found = _fisher(state, corpus, torch.float64)
    assert found.dtype == torch.float32
    for frames, vector in zip(corpus.songs, found, strict=True):
        moves = torch.zeros(2, 6, DIM, dtype=torch.float64, requires_grad=True)
        shares = torch.tensor(_tempered(state, frames, DIM / 3))
        log_lik = (shares * _log_normals(state, frames, moves)).sum()
        (gradient,) = torch.autograd.grad(log_lik / len(frames), moves)
        np.testing.assert_allclose(vector, _improved(gradient.numpy() / np.sqrt(information)), atol=1e-5)


def test_fisher_is_the_gradient_of_the_mixture_over_the_root_of_its_information():
    """Separated components, which no temperature mixes; the information by 200,000 draws, its roots good to 1 %."""
    corpus = mixture(seed=1, n_songs=4, n_comp=3, dim=2, frames=(5, 90), spread=60.0)
    state = partition_state(corpus, 3, skewed_prior(2, diagonal=True))
    weights, (mean, variance) = torch.tensor(_mass(state)), _gaussians(state)

    def gradients(frames: Tensor) -> np.ndarray:
        moves = torch.zeros(len(frames), 2, 3, 2, dtype=torch.float64, requires_grad=True)
        log_lik = torch.logsumexp(weights.log() + _log_normals(state, frames, moves), dim=1)
        return torch.autograd.grad(log_lik.sum(), moves)[0].numpy()

    rng = np.random.default_rng(0)
    comps = rng.choice(3, 200_000, p=weights.numpy())
    draws = mean[comps] + variance[comps].sqrt() * torch.tensor(rng.normal(size=(200_000, 2)))
    information = (gradients(draws) ** 2).mean(0)
    for frames, vector in zip(corpus.songs, _fisher(state, corpus, torch.float64), strict=True):
        expected = _improved(gradients(frames).mean(0) / np.sqrt(information))
        np.testing.assert_allclose(vector, expected, atol=0.01)


def test_fisher_knows_nothing_of_components_without_frames(case: tuple[Corpus, State]):
    corpus, state = case
    count = state.stats.count.clone()
    count[4] = 0.5 * fisher.LEAST_SHARE * count.sum()
    rare = replace(state, stats=replace(state.stats, count=count))
    found = _fisher(rare, corpus, torch.float64).unflatten(1, (2, 6, DIM))
    assert not found[:, :, 4].any()
    assert found[:, :, [0, 1, 2, 3, 5]].any(3).all()
    torch.testing.assert_close(found.flatten(1).norm(dim=1), torch.ones(9))


def test_fisher_of_many_components_still_says_something(
    case: tuple[Corpus, State], monkeypatch: pytest.MonkeyPatch
):
    """Where an equal share is below LEAST_SHARE no component would be left; those with a tenth of it are."""
    corpus, state = case
    monkeypatch.setattr(fisher, "LEAST_SHARE", 1.0)
    found = _fisher(state, corpus)
    told = found.unflatten(1, (2, 6, DIM)).any(3).all(1).all(0)
    assert told.tolist() == (_mass(state) >= 0.1 / 6).tolist()
    torch.testing.assert_close(found.norm(dim=1), torch.ones(9))


def test_fisher_does_not_depend_on_how_many_songs_are_side_by_side(
    case: tuple[Corpus, State], monkeypatch: pytest.MonkeyPatch
):
    corpus, state = case
    together = _fisher(state, corpus, torch.float64)
    monkeypatch.setattr(fisher, "MOMENTS", 1)
    torch.testing.assert_close(_fisher(state, corpus, torch.float64), together, atol=1e-6, rtol=0)


def test_fisher_of_a_narrow_component_far_from_the_middle_keeps_its_digits():
    """float32 frames and sums in float64: second moments of 1e4 cancel to one part in a million."""
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(4000, 2)) * 1e-3 + 100.0
    corpus = corpus_of([torch.tensor(frames.astype(np.float32)).double()], [np.zeros(4000, np.int64)])
    state = partition_state(corpus, 1, skewed_prior(2, diagonal=True))
    single, double = _fisher(state, corpus), _fisher(state, corpus, torch.float64)
    assert float((single * single.abs() - double * double.abs()).abs().max()) < 1e-3


def test_the_shift_of_a_song_at_a_component_is_read_back(case: tuple[Corpus, State]):
    """sum_n r_nk (x_n - m_k), written out, up to one positive factor a song."""
    corpus, state = case
    found = fisher.mean_shifts(_fisher(state, corpus, torch.float64), state).numpy()
    mean = _gaussians(state)[0].numpy()
    comps, dim = mean.shape
    for frames, shifts in zip(corpus.songs, found, strict=True):
        shares, expected = _tempered(state, frames, dim / 3), np.zeros((comps, dim))
        for n, k in itertools.product(range(len(frames)), range(comps)):
            expected[k] += shares[n][k] * (frames[n].numpy() - mean[k])
        factor = np.abs(shifts).max() / np.abs(expected).max()
        np.testing.assert_allclose(shifts, factor * expected, atol=1e-5 * np.abs(shifts).max())


def test_fisher_vectors_have_length_one(case: tuple[Corpus, State]):
    corpus, state = case
    torch.testing.assert_close(_fisher(state, corpus).norm(dim=1), torch.ones(9))


def test_floored_log_is_the_logarithm_above_its_floor():
    shares = torch.tensor([0.0, 1e-12, 1e-8, 0.25, 1.0])
    expected = [np.log(1e-8)] * 3 + [np.log(0.25), 0.0]
    assert represent.floored_log(shares).tolist() == pytest.approx(expected, abs=1e-5)
