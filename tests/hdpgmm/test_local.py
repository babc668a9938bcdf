"""The local step of one song against the oracle's bound, its gradient, and the exact evidence by enumeration."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from hdpgmm.local import LocalOptions, SongPosterior, infer_song
from tests.hdpgmm.corpora import oracle_song
from tests.oracles import elbo

ALPHA0 = 0.8
TO_THE_END = LocalOptions(
    n_atoms=4, tolerance=-1.0, max_refreshes=400
)  # a tolerance below zero never stops it


def _song(seed: int = 0, n_frames: int = 25, n_comp: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """log_lik (frame, comp) of frames between overlapping one-dimensional Gaussians, log_beta (comp,); float64."""
    rng = np.random.default_rng(seed)
    means = rng.normal(scale=2.5, size=n_comp)
    frames = means[rng.choice(n_comp, n_frames, p=rng.dirichlet(np.ones(n_comp)))] + rng.normal(size=n_frames)
    log_beta = np.log(rng.dirichlet(np.full(n_comp, 3.0))) - rng.uniform(
        0, 0.3, n_comp
    )  # E[log] sums below one
    return torch.tensor(stats.norm.logpdf(frames[:, None], means, 1.0)), torch.tensor(log_beta)


def _oracle_bound(log_lik: torch.Tensor, log_beta: torch.Tensor, song: SongPosterior, alpha0: float) -> float:
    return float(elbo.song_bound(oracle_song(log_lik, song, alpha0), log_lik, log_beta, alpha0))


@pytest.mark.parametrize(
    "options", [LocalOptions(4), LocalOptions(6, sweeps=1), LocalOptions(2, max_refreshes=1)]
)
@pytest.mark.parametrize("seed", range(4))
def test_bound_is_the_oracles_for_the_returned_posterior(seed: int, options: LocalOptions):
    log_lik, log_beta = _song(seed)
    song = infer_song(log_lik, log_beta, ALPHA0, options)
    assert song.bound == pytest.approx(_oracle_bound(log_lik, log_beta, song, ALPHA0), abs=1e-9)


@pytest.mark.parametrize("sweeps", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_bound_never_falls_over_refreshes(seed: int, sweeps: int):
    log_lik, log_beta = _song(seed)
    options = replace(TO_THE_END, sweeps=sweeps)
    bounds = [
        infer_song(log_lik, log_beta, ALPHA0, replace(options, max_refreshes=n)).bound for n in range(1, 25)
    ]
    assert bounds[-1] > bounds[0] + 1e-3  # there was something to gain
    assert np.diff(bounds).min() > -1e-10


@pytest.mark.parametrize("seed", range(3))
def test_gradient_of_the_oracle_vanishes_at_the_fixed_point(seed: int):
    """In every coordinate: zeta and varphi as softmax, a and b as exponentials."""
    log_lik, log_beta = _song(seed)
    song = infer_song(log_lik, log_beta, ALPHA0, TO_THE_END)
    q = oracle_song(log_lik, song, ALPHA0)
    raw = [part.clamp(min=1e-300).log().requires_grad_() for part in (q.zeta, q.varphi, q.a, q.b)]
    free = elbo.SongQ(log_lik, raw[0].softmax(1), raw[1].softmax(1), raw[2].exp(), raw[3].exp())
    for gradient in torch.autograd.grad(elbo.song_bound(free, log_lik, log_beta, ALPHA0), raw):
        assert float(gradient.abs().max()) < 1e-6


def _mixture_evidence(density: np.ndarray, log_beta: np.ndarray, alpha0: float) -> float:
    """log p(frames) of a song with two atoms: a sum over their components, an integral over the one stick."""

    def given_stick(v: float) -> float:
        total = 0.0
        for one, two in itertools.product(range(density.shape[1]), repeat=2):
            frames = v * density[:, one] + (1 - v) * density[:, two]
            total += np.exp(log_beta[one] + log_beta[two]) * frames.prod()
        return total * stats.beta.pdf(v, 1, alpha0)

    return float(np.log(integrate.quad(given_stick, 0, 1, epsabs=1e-14)[0]))


@pytest.mark.parametrize("seed", range(8))
def test_bound_is_below_the_exact_evidence(seed: int):
    log_lik, _ = _song(seed, n_frames=5, n_comp=2)
    log_beta = torch.tensor([0.3, 0.7], dtype=torch.float64).log()
    song = infer_song(log_lik, log_beta, 1.4, replace(TO_THE_END, n_atoms=2))
    exact = _mixture_evidence(log_lik.exp().numpy(), log_beta.numpy(), 1.4)
    assert exact - 3.0 < song.bound < exact


def test_bound_is_the_evidence_where_nothing_is_hidden():
    """One component: the evidence is the frames' density."""
    log_lik, _ = _song(0, n_frames=5, n_comp=1)
    song = infer_song(log_lik, torch.zeros(1, dtype=torch.float64), ALPHA0, LocalOptions(4))
    assert song.bound == pytest.approx(float(log_lik.sum()), abs=1e-12)
    assert song.responsibilities().tolist() == [[1.0]] * 5


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_posterior_is_a_distribution(dtype: torch.dtype):
    log_lik, log_beta = _song()
    song = infer_song(log_lik.to(dtype), log_beta.to(dtype), ALPHA0, LocalOptions(4))
    assert (song.zeta.dtype, song.varphi.dtype, song.counts.dtype) == (dtype, dtype, torch.float64)
    for rows in (song.zeta, song.varphi, song.responsibilities()):
        torch.testing.assert_close(rows.sum(1), torch.ones(len(rows), dtype=dtype), atol=1e-6, rtol=0)
        assert float(rows.min()) >= 0


def test_order_of_frames_does_not_matter():
    log_lik, log_beta = _song()
    order = torch.tensor(np.random.default_rng(3).permutation(25))
    plain, moved = (infer_song(x, log_beta, ALPHA0, TO_THE_END) for x in (log_lik, log_lik[order]))
    assert moved.bound == pytest.approx(plain.bound, abs=1e-9)
    torch.testing.assert_close(moved.zeta, plain.zeta[order], atol=1e-8, rtol=0)


def test_order_of_components_does_not_matter():
    log_lik, log_beta = _song()
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    plain = infer_song(log_lik, log_beta, ALPHA0, TO_THE_END)
    moved = infer_song(log_lik[:, order], log_beta[order], ALPHA0, TO_THE_END)
    assert moved.bound == pytest.approx(plain.bound, abs=1e-9)
    torch.testing.assert_close(
        moved.responsibilities(), plain.responsibilities()[:, order], atol=1e-8, rtol=0
    )


def test_float32_bound_is_float64s():
    """A thousand frames of log-densities around -1e2: to 1e-4 nats a frame."""
    log_lik, log_beta = _song(n_frames=1000)
    double = infer_song(log_lik - 100.0, log_beta, ALPHA0, LocalOptions(4))
    single = infer_song((log_lik - 100.0).float(), log_beta.float(), ALPHA0, LocalOptions(4))
    assert single.bound == pytest.approx(double.bound, abs=1e-4 * 1000)


def test_one_frame_is_a_song():
    log_lik, log_beta = _song(n_frames=1)
    song = infer_song(log_lik, log_beta, ALPHA0, TO_THE_END)
    assert song.bound == pytest.approx(_oracle_bound(log_lik, log_beta, song, ALPHA0), abs=1e-9)
    assert song.bound < float(torch.logsumexp(log_lik[0] + log_beta, 0))  # the evidence of a single frame


def test_more_atoms_than_components_is_as_many_atoms():
    log_lik, log_beta = _song(n_comp=3)
    song = infer_song(log_lik, log_beta, ALPHA0, LocalOptions(32))
    assert song.varphi.shape == (3, 3)


def test_separated_components_are_found_and_counted():
    """Frames 12 standard deviations apart: hard counts by label, largest first, without an error."""
    labels = np.repeat([3, 1, 4], [20, 5, 9])
    frames = 12.0 * labels + np.random.default_rng(0).normal(size=34)
    log_lik = torch.tensor(stats.norm.logpdf(frames[:, None], 12.0 * np.arange(6), 1.0))
    song = infer_song(log_lik, torch.full((6,), -np.log(6.0)), ALPHA0, LocalOptions(4))
    assert song.varphi.argmax(1).tolist()[:3] == [3, 4, 1]
    assert song.counts.tolist()[:3] == pytest.approx([20, 9, 5], abs=1e-6)
    assert song.responsibilities().argmax(1).tolist() == labels.tolist()


def test_rare_twins_do_not_take_the_atoms_of_common_components():
    """Components 0, 1 and 2, 3 are twins; the rare ones fit 0.01 nats better. Two atoms must go to 0 and to 2."""
    twins = np.array([[0.0, 0.01, -30.0, -29.99], [-30.0, -29.99, 0.0, 0.01]])
    log_lik = torch.tensor(np.repeat(twins, [30, 10], axis=0))
    log_beta = torch.tensor([0.49, 0.01, 0.49, 0.01], dtype=torch.float64).log()
    song = infer_song(log_lik, log_beta, ALPHA0, LocalOptions(2))
    assert song.varphi.argmax(1).tolist() == [0, 2]


@pytest.mark.parametrize("seed", range(3))
def test_stops_at_the_first_gain_below_the_tolerance_per_frame(seed: int):
    log_lik, log_beta = _song(seed, n_frames=40)
    runs = [infer_song(log_lik, log_beta, ALPHA0, replace(TO_THE_END, max_refreshes=n)) for n in range(1, 12)]
    gains = np.diff([run.bound for run in runs])
    tolerance = float(np.sqrt(gains[1] * gains[2])) / 40
    expected = 2 + int(np.argmax(gains < 40 * tolerance))
    stopped = infer_song(log_lik, log_beta, ALPHA0, replace(TO_THE_END, tolerance=tolerance))
    assert stopped.refreshes == expected
    assert stopped.bound == runs[expected - 1].bound


def test_stops_after_as_many_refreshes_as_allowed():
    log_lik, log_beta = _song()
    assert infer_song(log_lik, log_beta, ALPHA0, replace(TO_THE_END, max_refreshes=3)).refreshes == 3
