"""The oracle's bound against Monte Carlo: the mean of log p - log q over draws from q, with scipy's densities."""

import numpy as np
import torch
from scipy import stats
from scipy.special import multigammaln

from tests.oracles import elbo

DRAWS = 100_000


def _t(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _case() -> tuple[list[elbo.SongQ], elbo.CorpusQ, elbo.Hyper]:
    """Two songs of three and two frames, two atoms, three components, two dimensions; q is arbitrary, not optimal."""
    rng = np.random.default_rng(5)
    songs = [
        elbo.SongQ(
            _t(rng.normal(size=(n, 2))),
            _t(rng.dirichlet([2, 2], n)),
            _t(rng.dirichlet([2, 2, 2], 2)),
            _t([1.7]),
            _t([2.3]),
        )
        for n in (3, 2)
    ]
    scatter = [[[9.0, 2.0], [2.0, 7.0]], [[8.0, -1.0], [-1.0, 9.0]], [[6.0, 0.5], [0.5, 9.0]]]
    corpus = elbo.CorpusQ(
        _t([2.5, 1.4]), _t([3.0, 2.2]), [2, 0, 1],
        _t(rng.normal(size=(3, 2))), _t([3.0, 4.5, 2.0]), _t([9.0, 11.0, 8.0]), _t(scatter),
    )  # fmt: skip
    hyper = elbo.Hyper(1.3, 0.8, _t([0.2, -0.1]), 0.9, 5.5, _t([[4.0, 0.6], [0.6, 5.0]]))
    return songs, corpus, hyper


class _Draws:
    """log p - log q of DRAWS joint draws from q, (draw,)."""

    def __init__(self, songs: list[elbo.SongQ], corpus: elbo.CorpusQ, hyper: elbo.Hyper) -> None:
        self.rng = np.random.default_rng(17)
        self.log_ratio = np.zeros(DRAWS)
        log_beta = self._sticks(corpus.u, corpus.v, hyper.gamma)[:, np.argsort(corpus.order)]
        gaussians = [self._component(corpus, k, hyper) for k in range(3)]
        for song in songs:
            self._song(song, log_beta, gaussians, hyper.alpha0)

    def _sticks(self, a: torch.Tensor, b: torch.Tensor, concentration: float) -> np.ndarray:
        v = self.rng.beta(a.numpy(), b.numpy(), size=(DRAWS, len(a)))
        self.log_ratio += (
            stats.beta.logpdf(v, 1, concentration) - stats.beta.logpdf(v, a.numpy(), b.numpy())
        ).sum(1)
        v = np.column_stack([v, np.ones(DRAWS)])
        rest = np.column_stack([np.ones(DRAWS), np.cumprod(1 - v[:, :-1], axis=1)])
        return np.log(v * rest)

    def _component(self, corpus: elbo.CorpusQ, k: int, hyper: elbo.Hyper) -> tuple[np.ndarray, np.ndarray]:
        dof, scale_inv = int(corpus.dof[k]), corpus.scale_inv[k].numpy()
        vectors = self.rng.normal(size=(DRAWS, dof, 2)) @ np.linalg.cholesky(np.linalg.inv(scale_inv)).T
        precision = np.swapaxes(vectors, 1, 2) @ vectors
        self.log_ratio += _log_wishart(precision, hyper.dof, hyper.scale_inv.numpy())
        self.log_ratio -= _log_wishart(precision, dof, scale_inv)
        strength, mean = float(corpus.strength[k]), corpus.mean[k].numpy()
        root = np.linalg.cholesky(np.linalg.inv(precision * strength))
        mu = mean + np.einsum("sij,sj->si", root, self.rng.normal(size=(DRAWS, 2)))
        self.log_ratio += _log_normal(mu, hyper.mean.numpy(), hyper.strength * precision)
        self.log_ratio -= _log_normal(mu, mean, strength * precision)
        return mu, precision

    def _song(self, song: elbo.SongQ, log_beta: np.ndarray, gaussians: list, alpha0: float) -> None:
        log_pi = self._sticks(song.a, song.b, alpha0)
        chosen = np.column_stack([self._choice(row.numpy(), log_beta) for row in song.varphi])
        for x, row in zip(song.frames.numpy(), song.zeta, strict=True):
            atom = self._choice(row.numpy(), log_pi)
            comp = chosen[np.arange(DRAWS), atom]
            density = np.stack([_log_normal(x, mu, precision) for mu, precision in gaussians], axis=1)
            self.log_ratio += density[np.arange(DRAWS), comp]

    def _choice(self, q: np.ndarray, log_p: np.ndarray) -> np.ndarray:
        drawn = self.rng.choice(len(q), DRAWS, p=q)
        self.log_ratio += log_p[np.arange(DRAWS), drawn] - np.log(q[drawn])
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


def test_oracle_bound_is_the_mean_of_log_p_minus_log_q():
    case = _case()
    drawn = _Draws(*case).log_ratio
    standard_error = drawn.std() / np.sqrt(DRAWS)
    assert standard_error < 0.05
    assert abs(float(elbo.bound(*case)) - drawn.mean()) < 4 * standard_error
