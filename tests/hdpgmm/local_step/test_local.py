"""The local step of songs against the oracle's bound, its gradient, and the exact evidence by enumeration."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor

from hdpgmm.local_step.posterior import LocalOptions, Posterior, supported
from hdpgmm.local_step.stick_breaking import infer_songs, song_terms
from tests.hdpgmm.corpora import F64, oracle_song
from tests.oracles import elbo, evidence

ALPHA0 = 0.8
TO_THE_END = LocalOptions(
    n_atoms=4, tolerance=1e-15, max_refreshes=400
)  # until rounding alone moves the bound
LENGTHS = (25, 1, 9, 24)


def _song(seed: int = 0, n_frames: int = 25, n_comp: int = 6) -> tuple[Tensor, Tensor]:
    """log_lik (frame, comp) of frames between overlapping one-dimensional Gaussians, log_beta (comp,); float64."""
    rng = np.random.default_rng(seed)
    means = rng.normal(scale=2.5, size=n_comp)
    frames = means[rng.choice(n_comp, n_frames, p=rng.dirichlet(np.ones(n_comp)))] + rng.normal(size=n_frames)
    log_beta = np.log(rng.dirichlet(np.full(n_comp, 3.0))) - rng.uniform(
        0, 0.3, n_comp
    )  # E[log] sums below one
    return torch.tensor(stats.norm.logpdf(frames[:, None], means, 1.0)), torch.tensor(log_beta)


def _songs(seed: int = 0) -> tuple[list[Tensor], Tensor]:
    """Songs of LENGTHS frames over the same six components."""
    songs = [_song(seed, n_frames) for n_frames in LENGTHS]
    return [log_lik for log_lik, _ in songs], songs[0][1]


def _padded(songs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """log_lik (song, frame, comp) and mask. What stands in the padding must not matter: -3.7."""
    longest = max(map(len, songs))
    log_lik = torch.full((len(songs), longest, songs[0].shape[1]), -3.7, dtype=songs[0].dtype)
    mask = torch.zeros(len(songs), longest, dtype=songs[0].dtype)
    for i, song in enumerate(songs):
        log_lik[i, : len(song)], mask[i, : len(song)] = song, 1.0
    return log_lik, mask


def _infer(
    songs: Sequence[Tensor], log_beta: Tensor, options: LocalOptions, start: Posterior | None = None
) -> Posterior:
    return infer_songs(*_padded(songs), log_beta, ALPHA0, options, start)


def _oracle_terms(log_lik: Tensor, log_beta: Tensor, found: Posterior, i: int = 0) -> elbo.BoundTerms:
    return elbo.song_terms(oracle_song(log_lik, found, i, ALPHA0), log_lik, log_beta, ALPHA0)


EVERY_OPTION = [LocalOptions(4), LocalOptions(6, sweeps=1), LocalOptions(2, max_refreshes=1)]


@pytest.mark.parametrize("options", EVERY_OPTION)
@pytest.mark.parametrize("seed", range(4))
def test_every_term_is_the_oracles_for_the_returned_posterior(seed: int, options: LocalOptions):
    """Of songs side by side, and their sum is the bound."""
    songs, log_beta = _songs(seed)
    found = _infer(songs, log_beta, options)
    terms = song_terms(*_padded(songs), log_beta, ALPHA0, found)
    torch.testing.assert_close(sum(terms.values()), found.bound, atol=1e-10, rtol=0)
    for i, log_lik in enumerate(songs):
        expected = _oracle_terms(log_lik, log_beta, found, i)
        assert float(found.bound[i]) == pytest.approx(float(expected.total()), abs=1e-9)
        for name, nats in terms.items():
            assert float(nats[i]) == pytest.approx(float(vars(expected)[name]), abs=1e-9), name


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("sweeps", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_bound_never_falls_over_refreshes(seed: int, sweeps: int, dtype: torch.dtype):
    """Not by a rounding error: a round that does not gain is not taken."""
    songs, log_beta = _songs(seed)
    songs, log_beta = [song.to(dtype) for song in songs], log_beta.to(dtype)
    options = replace(TO_THE_END, sweeps=sweeps)
    bounds = [_infer(songs, log_beta, replace(options, max_refreshes=n)).bound for n in range(1, 25)]
    assert float(bounds[-1].sum()) > float(bounds[0].sum()) + 1e-6  # there was something to gain
    assert float(torch.stack(bounds).diff(dim=0).min()) >= 0.0


@pytest.mark.parametrize("n_frames", [1, 2, 25])
@pytest.mark.parametrize("seed", range(3))
def test_gradient_of_the_oracle_vanishes_at_the_fixed_point(seed: int, n_frames: int):
    """In every coordinate: zeta and varphi as softmax, a and b as exponentials."""
    log_lik, log_beta = _song(seed, n_frames)
    q = oracle_song(log_lik, _infer([log_lik], log_beta, TO_THE_END), 0, ALPHA0)
    raw = [part.clamp(min=1e-300).log().requires_grad_() for part in (q.zeta, q.varphi, q.a, q.b)]
    free = elbo.SongQ(log_lik, raw[0].softmax(1), raw[1].softmax(1), raw[2].exp(), raw[3].exp())
    for gradient in torch.autograd.grad(elbo.song_bound(free, log_lik, log_beta, ALPHA0), raw):
        assert float(gradient.abs().max()) < 1e-6


@pytest.mark.parametrize("refreshes", [1, 2, 5])
def test_zeta_is_at_its_optimum_long_before(refreshes: int):
    """After any number of refreshes: what the bound's closed form of zeta's terms stands on."""
    log_lik, log_beta = _song()
    found = _infer([log_lik], log_beta, replace(TO_THE_END, max_refreshes=refreshes))
    q = oracle_song(log_lik, found, 0, ALPHA0)
    raw = q.zeta.log().requires_grad_()
    total = elbo.song_bound(replace(q, zeta=raw.softmax(1)), log_lik, log_beta, ALPHA0)
    assert float(torch.autograd.grad(total, raw)[0].abs().max()) < 1e-12


def _mixture_evidence(log_lik: np.ndarray, beta: np.ndarray, alpha0: float) -> float:
    """log p(frames) of a song: a sum over the tables of its Chinese restaurant, each with any component."""
    total = -np.inf
    for tables in evidence.partitions(range(len(log_lik))):
        served = [np.log(beta @ np.exp(log_lik[table].sum(0))) for table in tables]
        total = np.logaddexp(total, evidence.log_partition(tables, alpha0) + sum(served))
    return float(total)


@pytest.mark.parametrize("seed", range(8))
def test_bound_is_below_the_exact_evidence(seed: int):
    """With two known components whose weights sum to one. Measured: 1.3 to 1.9 nats below."""
    log_lik, _ = _song(seed, n_frames=5, n_comp=2)
    beta = np.array([0.3, 0.7])
    found = _infer([log_lik], torch.tensor(beta).log(), TO_THE_END)
    exact = _mixture_evidence(log_lik.numpy(), beta, ALPHA0)
    assert exact - 2.5 < float(found.bound) < exact


def test_evidence_of_a_song_with_one_atom_is_a_sum_over_components():
    """The enumeration above as alpha0 nears zero, where all frames share a table."""
    log_lik, _ = _song(0, n_frames=4, n_comp=2)
    beta = np.array([0.3, 0.7])
    expected = np.log(beta @ np.exp(log_lik.numpy().sum(0)))
    assert _mixture_evidence(log_lik.numpy(), beta, 1e-9) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("n_frames", [1, 5])
def test_one_component_pays_for_its_stick_alone(n_frames: int):
    """All frames on the first stick: log of B(1 + n, alpha0) / B(1, alpha0)."""
    log_lik, _ = _song(0, n_frames=n_frames, n_comp=1)
    found = _infer([log_lik], torch.zeros(1, dtype=F64), LocalOptions(4))
    stick = special.betaln(1 + n_frames, ALPHA0) - special.betaln(1, ALPHA0)
    assert float(found.bound) == pytest.approx(float(log_lik.sum() + stick), abs=1e-12)
    assert found.responsibilities().tolist() == [[[1.0]] * n_frames]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_posterior_is_a_distribution_over_the_atoms_in_use(dtype: torch.dtype):
    """And zero in the padding and in atoms out of use."""
    songs, log_beta = _songs()
    found = _infer([song.to(dtype) for song in songs], log_beta.to(dtype), LocalOptions(4))
    assert (found.zeta.dtype, found.varphi.dtype, found.counts.dtype) == (dtype, dtype, F64)
    mask, used = _padded(songs)[1], (found.counts > 0).double()
    for part, rows in ((found.zeta, mask), (found.responsibilities(), mask), (found.varphi, used)):
        torch.testing.assert_close(part.double().sum(2), rows, atol=1e-6, rtol=0)
        assert float(part.min()) >= 0
        assert float(part.abs().sum(2)[rows == 0].sum()) == 0
    assert float((found.zeta.sum(1) * (1 - used)).abs().max()) == 0
    assert set(used.sum(1).tolist()) == {1.0, 2.0}  # so some songs have atoms out of use
    assert float(found.counts.diff(dim=1).max()) <= 0
    torch.testing.assert_close(found.shares(), found.responsibilities().double().sum(1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(4))
def test_songs_side_by_side_are_as_if_alone(seed: int):
    """They stop after different numbers of refreshes, each by its own frames, with different numbers of atoms."""
    songs, log_beta = _songs(seed)
    for order, tolerance in itertools.product(([0, 1, 2, 3], [2, 3, 1, 0]), np.geomspace(1e-1, 1e-9, 17)):
        options = replace(TO_THE_END, tolerance=tolerance)
        together = _infer([songs[i] for i in order], log_beta, options)
        for place, i in enumerate(order):
            alone = _infer([songs[i]], log_beta, options)
            atoms = alone.counts.shape[1]
            assert int(together.refreshes[place]) == int(alone.refreshes)
            assert float(together.bound[place]) == pytest.approx(float(alone.bound), abs=1e-10)
            torch.testing.assert_close(together.varphi[place, :atoms], alone.varphi[0], atol=1e-10, rtol=0)
            torch.testing.assert_close(
                together.zeta[place, : LENGTHS[i], :atoms], alone.zeta[0], atol=1e-10, rtol=0
            )


def test_order_of_frames_does_not_matter():
    log_lik, log_beta = _song()
    order = torch.tensor(np.random.default_rng(3).permutation(25))
    plain, moved = (_infer([x], log_beta, TO_THE_END) for x in (log_lik, log_lik[order]))
    torch.testing.assert_close(moved.bound, plain.bound, atol=1e-9, rtol=0)
    torch.testing.assert_close(moved.zeta, plain.zeta[:, order], atol=1e-6, rtol=0)


def test_order_of_components_does_not_matter():
    log_lik, log_beta = _song()
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    plain = _infer([log_lik], log_beta, TO_THE_END)
    moved = _infer([log_lik[:, order]], log_beta[order], TO_THE_END)
    torch.testing.assert_close(moved.bound, plain.bound, atol=1e-9, rtol=0)
    torch.testing.assert_close(
        moved.responsibilities(), plain.responsibilities()[:, :, order], atol=1e-6, rtol=0
    )


def test_frames_twice_as_many_are_shared_out_alike():
    """Every frame twice: both copies have the same responsibilities."""
    log_lik, log_beta = _song()
    resp = _infer([log_lik.repeat(2, 1)], log_beta, TO_THE_END).responsibilities()[0]
    torch.testing.assert_close(resp[:25], resp[25:], atol=1e-12, rtol=0)


def test_float32_bound_is_float64s():
    """A thousand frames of log-densities around -1e2: to 1e-5 nats a frame. Measured over eight
    songs: 6e-7 to 3e-6."""
    log_lik, log_beta = _song(n_frames=1000)
    double = _infer([log_lik - 100.0], log_beta, LocalOptions(4))
    single = _infer([(log_lik - 100.0).float()], log_beta.float(), LocalOptions(4))
    assert float(single.bound) == pytest.approx(float(double.bound), abs=1e-5 * 1000)


def test_one_frame_is_a_song():
    log_lik, log_beta = _song(n_frames=1)
    found = _infer([log_lik], log_beta, TO_THE_END)
    assert float(found.bound) < float(torch.logsumexp(log_lik[0] + log_beta, 0))  # the evidence of a frame


def test_more_atoms_than_components_is_as_many_atoms():
    log_lik, log_beta = _song(n_comp=3)
    many, three = (_infer([log_lik], log_beta, LocalOptions(n)) for n in (32, 3))
    assert torch.equal(many.varphi, three.varphi)
    assert many.varphi.shape[1] <= 3


def _separated() -> tuple[Tensor, Tensor, np.ndarray]:
    """Frames of three of six components 12 standard deviations apart: log_lik, log_beta, labels."""
    labels = np.repeat([3, 1, 4], [20, 5, 9])
    frames = 12.0 * labels + np.random.default_rng(0).normal(size=34)
    log_lik = torch.tensor(stats.norm.logpdf(frames[:, None], 12.0 * np.arange(6), 1.0))
    return log_lik, torch.full((6,), -np.log(6.0), dtype=F64), labels


def test_separated_components_are_found_and_counted():
    """Hard counts by label, largest first, without an error, and not an atom more."""
    log_lik, log_beta, labels = _separated()
    found = _infer([log_lik], log_beta, LocalOptions(6))
    assert found.varphi[0].argmax(1).tolist() == [3, 4, 1]
    assert found.counts[0].tolist() == pytest.approx([20, 9, 5], abs=1e-6)
    assert found.responsibilities()[0].argmax(1).tolist() == labels.tolist()


def test_atoms_certain_of_the_same_component_become_one():
    """At once, where coordinate ascent would move frames from one twin to the other little by little."""
    log_lik, log_beta, _ = _separated()
    found = _infer([log_lik], log_beta, LocalOptions(6))
    twice = replace(
        found,
        zeta=torch.cat([found.zeta, found.zeta], dim=2) / 2,
        varphi=torch.cat([found.varphi, found.varphi], dim=1),
        counts=torch.cat([found.counts, found.counts], dim=1) / 2,
    )
    again = _infer([log_lik], log_beta, LocalOptions(6, max_refreshes=1), twice)
    assert again.varphi[0].argmax(1).tolist() == [3, 4, 1]
    torch.testing.assert_close(again.bound, found.bound, atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", range(6))
def test_no_atom_is_better_left_out(seed: int):
    """Its frames left to the others by Bayes' rule, the oracle's bound falls, for every atom but a song's only one."""
    log_lik, log_beta = _song(seed, n_frames=40)
    q = oracle_song(log_lik, _infer([log_lik], log_beta, TO_THE_END), 0, ALPHA0)
    best = elbo.song_bound(q, log_lik, log_beta, ALPHA0)
    for t in range(len(q.a)) if len(q.a) > 1 else []:
        others = (torch.arange(len(q.a)) != t).double()
        zeta, varphi = q.zeta * others, q.varphi * others[:, None]
        fewer = replace(q, zeta=zeta / zeta.sum(1, keepdim=True), varphi=varphi)
        assert float(elbo.song_bound(fewer, log_lik, log_beta, ALPHA0)) < float(best)


def test_rare_twins_do_not_take_the_atoms_of_common_components():
    """Components 0, 1 and 2, 3 are twins; the rare ones fit 0.01 nats better. Two atoms must go to 0 and to 2."""
    twins = np.array([[0.0, 0.01, -30.0, -29.99], [-30.0, -29.99, 0.0, 0.01]])
    log_lik = torch.tensor(np.repeat(twins, [30, 10], axis=0))
    log_beta = torch.tensor([0.49, 0.01, 0.49, 0.01], dtype=F64).log()
    found = _infer([log_lik], log_beta, LocalOptions(2))
    assert found.varphi[0].argmax(1).tolist() == [0, 2]


def test_components_far_below_the_best_leave_no_trace():
    """Densities 1e4 nats apart underflow to weights of zero: no atom of theirs is paid for."""
    log_lik, log_beta, _ = _separated()
    found = _infer([(1e4 * log_lik).float()], log_beta.float(), LocalOptions(6, max_refreshes=1))
    assert bool(torch.isfinite(found.bound).all())
    assert int((found.counts > 0).sum()) == 3
    assert found.varphi.shape[1] == 3


@pytest.mark.parametrize("seed", range(3))
def test_stops_at_the_first_gain_below_the_tolerance_per_frame(seed: int):
    log_lik, log_beta = _song(seed, n_frames=40)
    runs = [_infer([log_lik], log_beta, replace(TO_THE_END, max_refreshes=n)) for n in range(1, 12)]
    gains = np.diff([float(run.bound) for run in runs])
    tolerance = float(np.sqrt(gains[1] * gains[2])) / 40
    expected = 2 + int(np.argmax(gains < 40 * tolerance))
    stopped = _infer([log_lik], log_beta, replace(TO_THE_END, tolerance=tolerance))
    assert int(stopped.refreshes) == expected
    assert float(stopped.bound) == float(runs[expected - 1].bound)


def test_stops_after_as_many_refreshes_as_allowed():
    log_lik, log_beta = _song()
    assert int(_infer([log_lik], log_beta, replace(TO_THE_END, max_refreshes=3)).refreshes) == 3


@pytest.mark.parametrize("seed", range(2))
def test_going_on_from_a_posterior_never_lowers_its_bound(seed: int):
    """From an early stop it reaches the end; from the end it stays. Under other components it starts from its atoms."""
    songs, log_beta = _songs(seed)
    early = _infer(songs, log_beta, replace(TO_THE_END, max_refreshes=1))
    end = _infer(songs, log_beta, TO_THE_END)
    on = _infer(songs, log_beta, TO_THE_END, early)
    torch.testing.assert_close(on.bound, end.bound, atol=1e-7, rtol=0)
    again = _infer(songs, log_beta, TO_THE_END, end)
    torch.testing.assert_close(again.bound, end.bound, atol=1e-12, rtol=0)
    others = [song + 0.3 * torch.sin(7 * song) for song in songs]
    moved = _infer(others, log_beta, TO_THE_END, end)
    for i, log_lik in enumerate(others):
        q = oracle_song(log_lik, end, i, ALPHA0)
        assert float(moved.bound[i]) > float(elbo.song_bound(q, log_lik, log_beta, ALPHA0)) - 1e-10


def test_arguments_are_left_alone():
    songs, log_beta = _songs()
    log_lik, mask = _padded(songs)
    start = infer_songs(log_lik, mask, log_beta, ALPHA0, LocalOptions(4, max_refreshes=1))
    given = (log_lik, mask, log_beta, start.zeta, start.varphi, start.counts, start.bound)
    kept = [part.clone() for part in given]
    infer_songs(log_lik, mask, log_beta, ALPHA0, TO_THE_END, start)
    assert all(torch.equal(a, b) for a, b in itertools.zip_longest(kept, given))


def test_supported_is_the_softmax_with_log_beta():
    songs, log_beta = _songs()
    log_lik, mask = _padded(songs)
    shares, comps = supported(log_lik, mask, log_beta, 6)
    expected = (torch.softmax(log_lik + log_beta, dim=2) * mask[:, :, None]).sum(1)
    torch.testing.assert_close(shares, expected.gather(1, comps), atol=1e-12, rtol=1e-9)
    assert bool((shares.diff(dim=1) <= 0.0).all())


def test_components_of_hardly_any_weight_keep_their_order():
    """Two of e^-109 and e^-209 that explain the frames alike: the first one has them all."""
    log_lik = torch.zeros(1, 6, 5, dtype=F64)
    log_lik[..., 0] = -300.0
    log_beta = torch.tensor([-1.0, -300.0, -109.0, -209.0, -400.0], dtype=F64)
    shares, comps = supported(log_lik, torch.ones(1, 6, dtype=F64), log_beta, 2)
    assert int(comps[0, 0]) == 2
    assert float(shares[0, 0]) == pytest.approx(6.0, abs=1e-9)
