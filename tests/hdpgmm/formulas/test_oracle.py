"""The oracles against Monte Carlo.

Each term of the bound is the mean of its part of log p - log q over draws from q, with scipy's densities. The exact
evidence is the mean likelihood of the frames over draws from the generative model, stick by stick.
"""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import multigammaln  # pyright: ignore[reportAttributeAccessIssue]

from tests.oracles import elbo, evidence

DRAWS = 100_000
FRAMES = [np.array([0.3, 0.6, 2.9]), np.array([2.7, 0.1])]


def _t(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _case(diagonal: bool) -> tuple[list[elbo.SongQ], elbo.CorpusQ, elbo.Hyper]:
    """Two songs of three and two frames, two atoms, three components, two dimensions; q is arbitrary, not optimal."""
    rng = np.random.default_rng(5)
    songs = [
        elbo.SongQ(
            _t(rng.normal(size=(n, 2))),
            _t(rng.dirichlet([2, 2], n)),
            _t(rng.dirichlet([2, 2, 2], 2)),
            _t([1.7, 3.1]),
            _t([2.3, 0.9]),
        )
        for n in (3, 2)
    ]
    scatter = _t([[[9.0, 2.0], [2.0, 7.0]], [[8.0, -1.0], [-1.0, 9.0]], [[6.0, 0.5], [0.5, 9.0]]])
    prior_scatter = _t([[4.0, 0.6], [0.6, 5.0]])
    if diagonal:
        scatter, prior_scatter = scatter.diagonal(dim1=1, dim2=2), prior_scatter.diagonal()
    corpus = elbo.CorpusQ(
        _t([2.5, 1.4, 1.9]), _t([3.0, 2.2, 1.6]), [2, 0, 1],
        _t(rng.normal(size=(3, 2))), _t([3.0, 4.5, 2.0]), _t([9.0, 11.0, 8.0]), scatter,
    )  # fmt: skip
    hyper = elbo.Hyper(1.3, 0.8, _t([0.2, -0.1]), 0.9, 5.5, prior_scatter, 0.7, 1.9)
    return songs, corpus, hyper


class _Draws:
    """The parts of log p - log q at DRAWS joint draws from q, (draw,) each, under the names of the terms.

    Atoms and components beyond those in use are never drawn, and their sticks have the same density under p and q.
    """

    def __init__(self, songs: list[elbo.SongQ], corpus: elbo.CorpusQ, hyper: elbo.Hyper) -> None:
        self.rng = np.random.default_rng(17)
        self.parts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(DRAWS))
        log_beta = self._sticks("corpus_sticks", corpus.u, corpus.v, hyper.gamma)[:, np.argsort(corpus.order)]
        gaussians = [self._component(corpus, k, hyper) for k in range(3)]
        for song in songs:
            self._song(song, log_beta, gaussians, hyper.alpha0)
        self.parts["concentrations"] += stats.gamma.logpdf(hyper.gamma, 2, scale=hyper.gamma_initial)
        self.parts["concentrations"] += stats.gamma.logpdf(hyper.alpha0, 2, scale=hyper.alpha0_initial)
        self.parts["prior"] += 0.0  # a fixed one has no density

    def _sticks(self, part: str, a: torch.Tensor, b: torch.Tensor, concentration) -> np.ndarray:
        v = self.rng.beta(a.numpy(), b.numpy(), size=(DRAWS, len(a)))
        log_p, log_q = stats.beta.logpdf(v, 1, concentration), stats.beta.logpdf(v, a.numpy(), b.numpy())
        self.parts[part] += (log_p - log_q).sum(1)
        rest = np.column_stack([np.ones(DRAWS), np.cumprod(1 - v[:, :-1], axis=1)])
        return np.log(v * rest)

    def _component(self, corpus: elbo.CorpusQ, k: int, hyper: elbo.Hyper) -> tuple[np.ndarray, np.ndarray]:
        draw = self._diagonal_precision if corpus.scale_inv.ndim == 2 else self._full_precision
        precision = draw(float(corpus.dof[k]), corpus.scale_inv[k].numpy(), hyper)
        strength, mean = float(corpus.strength[k]), corpus.mean[k].numpy()
        root = np.linalg.cholesky(np.linalg.inv(precision * strength))
        mu = mean + np.einsum("sij,sj->si", root, self.rng.normal(size=(DRAWS, 2)))
        self.parts["components"] += _log_normal(mu, hyper.mean.numpy(), hyper.strength * precision)
        self.parts["components"] -= _log_normal(mu, mean, strength * precision)
        return mu, precision

    def _full_precision(self, dof: float, scale_inv: np.ndarray, hyper: elbo.Hyper) -> np.ndarray:
        """Wishart draws as sums of outer products."""
        root = np.linalg.cholesky(np.linalg.inv(scale_inv))
        vectors = self.rng.normal(size=(DRAWS, int(dof), 2)) @ root.T
        precision = np.swapaxes(vectors, 1, 2) @ vectors
        self.parts["components"] += _log_wishart(precision, hyper.dof, hyper.scale_inv.numpy())
        self.parts["components"] -= _log_wishart(precision, dof, scale_inv)
        return precision

    def _diagonal_precision(self, dof: float, scale_inv: np.ndarray, hyper: elbo.Hyper) -> np.ndarray:
        """Gamma draws for each dimension."""
        diagonal = self.rng.gamma(dof / 2, 2 / scale_inv, size=(DRAWS, 2))
        log_p = stats.gamma.logpdf(diagonal, hyper.dof / 2, scale=2 / hyper.scale_inv.numpy())
        log_q = stats.gamma.logpdf(diagonal, dof / 2, scale=2 / scale_inv)
        self.parts["components"] += (log_p - log_q).sum(1)
        return diagonal[:, :, None] * np.eye(2)

    def _song(self, song: elbo.SongQ, log_beta: np.ndarray, gaussians: list, alpha0) -> None:
        log_pi = self._sticks("song_sticks", song.a, song.b, alpha0)
        rows = np.arange(DRAWS)
        chosen = np.column_stack(
            [self._choice("atoms", "atom_entropy", row.numpy(), log_beta) for row in song.varphi]
        )
        for x, row in zip(song.frames.numpy(), song.zeta, strict=True):
            atom = self._choice("assignments", "assignment_entropy", row.numpy(), log_pi)
            density = np.stack([_log_normal(x, mu, precision) for mu, precision in gaussians], axis=1)
            self.parts["data"] += density[rows, chosen[rows, atom]]

    def _choice(self, part: str, entropy: str, q: np.ndarray, log_p: np.ndarray) -> np.ndarray:
        drawn = self.rng.choice(len(q), DRAWS, p=q)
        self.parts[part] += log_p[np.arange(DRAWS), drawn]
        self.parts[entropy] -= np.log(q[drawn])
        return drawn


def _log_normal(x: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    shift = np.broadcast_to(x - mean, (len(precision), 2))
    quadratic = np.einsum("si,sij,sj->s", shift, precision, shift)
    return 0.5 * (np.linalg.slogdet(precision)[1] - 2 * np.log(2 * np.pi) - quadratic)


def _log_wishart(x: np.ndarray, dof: float, scale_inv: np.ndarray) -> np.ndarray:
    log_z = dof * np.log(2) - 0.5 * dof * np.linalg.slogdet(scale_inv)[1] + multigammaln(0.5 * dof, 2)
    return 0.5 * (dof - 3) * np.linalg.slogdet(x)[1] - 0.5 * np.einsum("ij,sji->s", scale_inv, x) - log_z


def test_wishart_density_is_scipys():
    x = stats.wishart(7.5, np.eye(2)).rvs(5, random_state=np.random.default_rng(3))
    scale_inv = np.array([[4.0, 0.6], [0.6, 5.0]])
    expected = [stats.wishart(6.3, np.linalg.inv(scale_inv)).logpdf(one) for one in x]
    np.testing.assert_allclose(_log_wishart(x, 6.3, scale_inv), expected, rtol=1e-12)


@pytest.mark.parametrize("diagonal", [False, True])
def test_each_term_of_the_bound_is_the_mean_of_its_part_of_log_p_minus_log_q(diagonal: bool):
    case = _case(diagonal)
    parts = _Draws(*case).parts
    terms = vars(elbo.terms(*case))
    assert terms.keys() == parts.keys()
    for name, drawn in parts.items():
        standard_error = drawn.std() / np.sqrt(DRAWS)
        assert standard_error < 0.05, name
        assert abs(float(terms[name]) - drawn.mean()) < 4 * standard_error + 1e-9, name
    assert float(elbo.bound(*case)) == pytest.approx(sum(map(float, terms.values())), abs=1e-12)


def test_a_fixed_concentration_has_no_term():
    songs, corpus, learned = _case(diagonal=False)
    fixed = elbo.Hyper(
        learned.gamma, learned.alpha0, learned.mean, learned.strength, learned.dof, learned.scale_inv
    )
    assert float(elbo.terms(songs, corpus, fixed).concentrations) == 0.0


def test_a_component_out_of_use_changes_no_term():
    """Its posterior the prior, no atom on it: the bound of those in use."""
    songs, corpus, hyper = _case(diagonal=False)
    padded = [
        replace(song, varphi=torch.cat([song.varphi, torch.zeros(2, 1, dtype=torch.float64)], dim=1))
        for song in songs
    ]
    more = elbo.CorpusQ(
        torch.cat([corpus.u, _t([1.0])]),
        torch.cat([corpus.v, _t([hyper.gamma])]),
        [*corpus.order, 3],
        torch.cat([corpus.mean, hyper.mean[None]]),
        torch.cat([corpus.strength, _t([hyper.strength])]),
        torch.cat([corpus.dof, _t([hyper.dof])]),
        torch.cat([corpus.scale_inv, hyper.scale_inv[None]]),
    )
    before, after = vars(elbo.terms(songs, corpus, hyper)), vars(elbo.terms(padded, more, hyper))
    for name, value in before.items():
        assert float(after[name]) == pytest.approx(float(value), abs=1e-12), name


def _scalar_hyper(gamma: float = 1.5, alpha0: float = 0.7) -> elbo.Hyper:
    return elbo.Hyper(gamma, alpha0, _t([-0.3]), 0.6, 2.7, _t([[0.96]]))


@pytest.mark.parametrize("concentration", [0.3, 1.0, 4.0])
def test_partition_probabilities_sum_to_one(concentration: float):
    for items, number in enumerate([1, 1, 2, 5, 15, 52, 203]):  # Bell numbers
        every = evidence.partitions(range(items))
        assert len({tuple(sorted(map(tuple, blocks))) for blocks in every}) == len(every) == number
        total = sum(np.exp(evidence.log_partition(blocks, concentration)) for blocks in every)
        assert total == pytest.approx(1.0, abs=1e-12)


def test_marginal_of_one_component_is_an_integral():
    """The chain of Student-ts against a sum over a grid of mean and log precision."""
    means, logs = np.linspace(-20, 20, 2001)[:, None], np.linspace(-10, 5, 401)[None]
    precision = np.exp(logs)
    log_joint = stats.norm.logpdf(means, -0.3, (0.6 * precision) ** -0.5) + logs
    log_joint = log_joint + stats.gamma.logpdf(precision, 2.7 / 2, scale=2 / 0.96)
    for x in FRAMES[0]:
        log_joint = log_joint + stats.norm.logpdf(x, means, precision**-0.5)
    expected = np.log(np.exp(log_joint).sum() * 0.02 * 15 / 400)
    assert evidence.marginal(FRAMES[0].tolist(), _scalar_hyper()) == pytest.approx(expected, abs=1e-6)


def test_evidence_of_a_frame_has_one_seating():
    expected = evidence.marginal([1.3], _scalar_hyper())
    assert evidence.log_evidence([np.array([1.3])], _scalar_hyper()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("gamma", "alpha0"), [(1.5, 0.7), (0.4, 3.0)])
def test_evidence_is_the_mean_likelihood_under_the_generative_model(gamma: float, alpha0: float):
    """Sticks, atoms and assignments drawn; only the components integrated out, which spares nine tenths of the error.

    30 sticks at either level: what lies beyond weighs (c / (1 + c))^30, below 2e-4.
    """
    rng, hyper = np.random.default_rng(23), _scalar_hyper(gamma, alpha0)
    beta, comps = _stick_weights(rng, gamma), []
    for song in FRAMES:
        pi = _stick_weights(rng, alpha0)
        comp_of_atom = _picks(rng, beta, pi.shape[1])
        comps.append(np.take_along_axis(comp_of_atom, _picks(rng, pi, len(song)), axis=1))
    comp = np.concatenate(comps, axis=1)
    leader = (comp[:, :, None] == comp[:, None, :]).argmax(2)  # the first frame of the same component
    patterns, counts = np.unique(leader, axis=0, return_counts=True)
    values = np.exp([_likelihood(np.concatenate(FRAMES), pattern, hyper) for pattern in patterns])
    mean = values @ counts / DRAWS
    relative_error = np.sqrt((values - mean) ** 2 @ counts) / DRAWS / mean
    assert relative_error < 0.01
    assert abs(evidence.log_evidence(FRAMES, hyper) - np.log(mean)) < 4 * relative_error
    swapped = evidence.log_evidence(FRAMES, _scalar_hyper(alpha0, gamma))
    assert abs(swapped - np.log(mean)) > 8 * relative_error  # so the draws can tell


def _likelihood(frames: np.ndarray, labels: np.ndarray, hyper: elbo.Hyper) -> float:
    """log p(frames) of given components."""
    return sum(evidence.marginal(frames[labels == label].tolist(), hyper) for label in np.unique(labels))


def test_the_best_bound_is_below_the_exact_evidence():
    """By gradient ascent on q, atoms and components to spare. Of seven starts the best ended 3.4 nats below."""
    hyper, raw = _scalar_hyper(), [_t(values).requires_grad_() for values in _start_of_ascent()]
    optimiser = torch.optim.Adam(raw, lr=0.1)
    for _ in range(120):
        optimiser.zero_grad()
        loss = -elbo.bound(*_free_posterior(raw), hyper)
        loss.backward()
        optimiser.step()
    assert 0.0 < evidence.log_evidence(FRAMES, hyper) - elbo.bound(*_free_posterior(raw), hyper).item() < 4.0


def _start_of_ascent() -> list[np.ndarray]:
    """Unconstrained values: per song zeta, varphi and sticks, then corpus sticks and three components."""
    rng, out = np.random.default_rng(3), []
    for frames in FRAMES:
        out += [rng.normal(size=(len(frames), 2)), rng.normal(size=(2, 3)), np.zeros((2, 2))]
    return [*out, np.zeros((2, 3)), rng.normal(size=(3, 1)), np.ones((3, 3))]


def _free_posterior(raw: list[torch.Tensor]) -> tuple[list[elbo.SongQ], elbo.CorpusQ]:
    songs = []
    for j, frames in enumerate(FRAMES):
        zeta, varphi, (a, b) = raw[3 * j].softmax(1), raw[3 * j + 1].softmax(1), raw[3 * j + 2].exp()
        songs.append(elbo.SongQ(_t(frames)[:, None], zeta, varphi, a, b))
    (u, v), mean, (strength, dof, scale_inv) = raw[-3].exp(), raw[-2], raw[-1].exp()
    return songs, elbo.CorpusQ(u, v, [0, 1, 2], mean, strength, dof, scale_inv[:, None, None])


def test_diagonal_and_full_agree_in_one_dimension():
    raw, hyper = [_t(values) for values in _start_of_ascent()], _scalar_hyper()
    songs, full = _free_posterior(raw)
    diagonal = replace(full, scale_inv=full.scale_inv[:, 0])
    expected = elbo.bound(songs, full, hyper)
    found = elbo.bound(songs, diagonal, replace(hyper, scale_inv=hyper.scale_inv[0]))
    torch.testing.assert_close(found, expected)


def _stick_weights(rng: np.random.Generator, concentration: float) -> np.ndarray:
    v = rng.beta(1, concentration, size=(DRAWS, 30))
    v[:, -1] = 1.0
    return v * np.column_stack([np.ones(DRAWS), np.cumprod(1 - v[:, :-1], axis=1)])


def _picks(rng: np.random.Generator, weights: np.ndarray, n: int) -> np.ndarray:
    """n choices by each row of weights, (draw, n)."""
    ends = weights.cumsum(1)
    picks = [(rng.random((DRAWS, 1)) > ends[:, :-1]).sum(1) for _ in range(n)]
    return np.column_stack(picks)
