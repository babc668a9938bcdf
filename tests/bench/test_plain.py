"""The plain implementation against torch.distributions, sampling and loops, so that it can be compared with."""

import pytest
import torch
from torch.distributions import Beta, MultivariateNormal, Wishart, kl_divergence

from hdpgmm import model
from hdpgmm.local_step.posterior import LocalOptions
from tests.bench import engine, plain

F64 = torch.float64
ALPHA0 = 0.7
PRIOR = plain.Prior(
    1.5, ALPHA0, torch.tensor([0.2, -0.1], dtype=F64), 0.6, 3.7, torch.eye(2, dtype=F64) + 0.2
)


def case() -> tuple[plain.Batch, plain.Corpus]:
    """Four songs of 5 to 20 frames around three components, and a posterior near them."""
    generator = torch.Generator().manual_seed(0)
    means = torch.tensor([[-2.0, 0.0], [1.0, 1.0], [2.0, -2.0]], dtype=F64)
    songs = []
    for length in (5, 20, 8, 13):
        labels = torch.randint(3, (length,), generator=generator)
        songs.append(means[labels] + torch.randn(length, 2, generator=generator, dtype=F64))
    counts = torch.tensor([30.0, 20.0, 10.0], dtype=F64)
    second = counts[:, None, None] * (torch.eye(2, dtype=F64) + means[:, :, None] * means[:, None, :])
    atoms = torch.tensor([4.0, 3.0, 1.5], dtype=F64)
    stats = plain.Statistics(counts, counts[:, None] * means, second, atoms)
    return plain.pad(songs), plain.posterior(PRIOR, stats)


def start(kind: str, batch: plain.Batch, log_lik: torch.Tensor, log_beta: torch.Tensor) -> torch.Tensor:
    if kind == "random":
        return plain.random_start(batch, 3, torch.Generator().manual_seed(1))
    return plain.supported_start(batch, log_lik, log_beta, 3)


@pytest.mark.filterwarnings("ignore:Singular sample")
def test_likelihoods_are_the_mean_over_sampled_parameters():
    batch, corpus = case()
    log_lik = plain.log_likelihoods(batch, corpus)
    torch.manual_seed(0)
    for k in range(3):
        precision = Wishart(corpus.dof[k], precision_matrix=corpus.scale_inv[k]).sample((20000,))
        strength = corpus.strength[k]
        mean = MultivariateNormal(corpus.mean[k], precision_matrix=strength * precision).sample()
        frames = batch.values[3, :6, None, :]
        sampled = MultivariateNormal(mean, precision_matrix=precision).log_prob(frames)
        error = 5.0 * sampled.std(1) / 20000**0.5
        assert ((log_lik[3, :6, k] - sampled.mean(1)).abs() < error).all()
    assert (log_lik[0, 5:] == 0).all()


@pytest.mark.parametrize("kind", ["random", "data"])
def test_the_bound_of_no_song_falls(kind: str):
    batch, corpus = case()
    log_lik, log_beta = plain.log_likelihoods(batch, corpus), plain.expected_log_sticks(corpus.u, corpus.v)
    zeta, previous = start(kind, batch, log_lik, log_beta), torch.tensor(-torch.inf, dtype=F64)
    for _ in range(50):
        local = plain.local_iteration(batch, log_lik, log_beta, ALPHA0, zeta)
        zeta, bound = local.zeta, plain.local_bounds(log_lik, log_beta, ALPHA0, local)
        assert (bound >= previous - 1e-9).all()
        previous = bound


def test_the_bound_is_the_sum_of_its_terms_over_real_frames():
    batch, corpus = case()
    log_lik, log_beta = plain.log_likelihoods(batch, corpus), plain.expected_log_sticks(corpus.u, corpus.v)
    zeta = start("random", batch, log_lik, log_beta)
    local = plain.local_iteration(batch, log_lik, log_beta, ALPHA0, zeta)
    bounds = plain.local_bounds(log_lik, log_beta, ALPHA0, local)
    for song, length in enumerate((5, 20, 8, 13)):
        a, b, varphi = local.a[song], local.b[song], local.varphi[song]
        q_sticks = Beta(a, b)
        expected = -kl_divergence(q_sticks, Beta(torch.ones_like(a), torch.full_like(b, ALPHA0))).sum()
        sticks = q_sticks.sample((200000,)).double()
        rest = torch.cat([torch.ones_like(sticks[:, :1]), (1.0 - sticks).cumprod(1)[:, :-1]], dim=1)
        log_pi = (sticks * rest).log().mean(0)
        expected += (varphi * (log_beta - varphi.log())).sum()
        for n in range(length):
            for t in range(3):
                z = local.zeta[song, n, t]
                expected += z * ((varphi[t] * log_lik[song, n]).sum() + log_pi[t] - z.log())
        assert abs(bounds[song] - expected) < 0.01 * length  # the standard error of log_pi is about 0.003


def test_statistics_are_sums_over_frames():
    batch, corpus = case()
    log_lik, log_beta = plain.log_likelihoods(batch, corpus), plain.expected_log_sticks(corpus.u, corpus.v)
    zeta = start("data", batch, log_lik, log_beta)
    local = plain.local_iteration(batch, log_lik, log_beta, ALPHA0, zeta)
    stats = plain.statistics(batch, local)
    second = torch.zeros(3, 2, 2, dtype=F64)
    for song, length in enumerate((5, 20, 8, 13)):
        for n in range(length):
            x, resp = batch.values[song, n], local.zeta[song, n] @ local.varphi[song]
            second += resp[:, None, None] * torch.outer(x, x)
    torch.testing.assert_close(stats.second, second)
    assert float(stats.count.sum()) == pytest.approx(batch.frames) == 46
    assert float(stats.atoms.sum()) == pytest.approx(12)


def test_blending_with_the_whole_batch_is_its_posterior():
    batch, corpus = case()
    log_lik, log_beta = plain.log_likelihoods(batch, corpus), plain.expected_log_sticks(corpus.u, corpus.v)
    zeta = start("data", batch, log_lik, log_beta)
    local = plain.local_iteration(batch, log_lik, log_beta, ALPHA0, zeta)
    estimate = plain.posterior(PRIOR, plain.statistics(batch, local))
    blended = plain.blend(corpus, estimate, 1.0)
    for name, value in vars(estimate).items():
        torch.testing.assert_close(getattr(blended, name), value, msg=name)


def test_the_engine_reports_the_same_bound_of_the_same_posterior():
    size = engine.Size(songs=10, components=12, atoms=6, dim=3, seed=0)
    options = LocalOptions(n_atoms=size.atoms)
    corpus = engine.synthetic(size, torch.device("cpu"))
    state = engine.first_state(corpus, size, options, direct=False)
    prior, posterior = engine.in_plain(state, corpus.values.device, F64)
    log_beta = plain.expected_log_sticks(posterior.u, posterior.v)
    for group, found in model.infer(model.prepare(state), corpus, options):
        batch = plain.Batch(group.values.double(), group.mask.double())
        later = found.counts.sum(1, keepdim=True) - found.counts.cumsum(1)
        local = plain.Local(
            1.0 + found.counts, prior.alpha0 + later, found.zeta.double(), found.varphi.double()
        )
        bounds = plain.local_bounds(plain.log_likelihoods(batch, posterior), log_beta, prior.alpha0, local)
        torch.testing.assert_close(found.bound, bounds, rtol=0.0, atol=0.02)  # float32 over a thousand frames
