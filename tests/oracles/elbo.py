"""The evidence lower bound of the infinite HDP Gaussian mixture, written as it is read, term by term and loop by loop.

q covers the atoms and components in use. The sticks beyond them keep their prior and add nothing, so they are absent.
Differentiable float64 torch, nothing of ours imported. The Kullback-Leibler divergences of Beta variables are torch's;
that of a Wishart is Penny (2001), "Kullback-Leibler divergences of Normal, Gamma, Dirichlet and Wishart densities".
A diagonal covariance is a product of one-dimensional normal-Wisharts that share their strength and dof.
`tests/hdpgmm/formulas/test_oracle.py` checks each term against Monte Carlo over the joint density.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Beta, Gamma, kl_divergence

ZERO = torch.zeros((), dtype=torch.float64)


@dataclass(frozen=True)
class Hyper:
    """gamma, alpha0, and the normal-Wishart prior: mean (dim,), strength, dof, scale_inv = W^-1, (dim, dim) or (dim,).

    The initial values are the modes of the concentrations' hyper-priors; None: the concentration is fixed. prior_modes:
    those of a learned prior's strength, scale (scale_inv = scale I) and dof - (dim - 1). dependence: frames that count
    for one, so many times is a component paid for.
    """

    gamma: float | Tensor
    alpha0: float | Tensor
    mean: Tensor
    strength: float | Tensor
    dof: float | Tensor
    scale_inv: Tensor
    gamma_initial: float | None = None
    alpha0_initial: float | None = None
    prior_modes: tuple[float, float, float] | None = None
    dependence: float = 1.0


@dataclass(frozen=True)
class SongQ:
    """frames (frame, dim), zeta (frame, atom), varphi (atom, comp), a and b (atom,), for every atom in use."""

    frames: Tensor
    zeta: Tensor
    varphi: Tensor
    a: Tensor
    b: Tensor


@dataclass(frozen=True)
class CorpusQ:
    """u, v (comp,) of the sticks; order[i] is the component of the i-th stick; normal-Wishart of each component."""

    u: Tensor
    v: Tensor
    order: list[int]
    mean: Tensor
    strength: Tensor
    dof: Tensor
    scale_inv: Tensor


@dataclass(frozen=True)
class BoundTerms:
    """Nats, to be added up: the entropies are of q, and the three divergences come with their minus."""

    data: Tensor = ZERO
    assignments: Tensor = ZERO
    assignment_entropy: Tensor = ZERO
    atoms: Tensor = ZERO
    atom_entropy: Tensor = ZERO
    song_sticks: Tensor = ZERO
    corpus_sticks: Tensor = ZERO
    components: Tensor = ZERO
    concentrations: Tensor = ZERO
    prior: Tensor = ZERO

    def __add__(self, other: "BoundTerms") -> "BoundTerms":
        return BoundTerms(**{name: value + vars(other)[name] for name, value in vars(self).items()})

    def total(self) -> Tensor:
        return sum(vars(self).values(), ZERO)


def bound(songs: list[SongQ], corpus: CorpusQ, hyper: Hyper) -> Tensor:
    """E_q[log p(frames, everything hidden) - log q(everything hidden)], nats."""
    return terms(songs, corpus, hyper).total()


def terms(songs: list[SongQ], corpus: CorpusQ, hyper: Hyper) -> BoundTerms:
    """The bound, term by term."""
    total = BoundTerms(
        corpus_sticks=-kl_sticks(corpus.u, corpus.v, hyper.gamma),
        components=-hyper.dependence
        * sum((kl_component(corpus, k, hyper) for k in range(len(corpus.dof))), ZERO),
        concentrations=log_hyperpriors(hyper),
        prior=log_prior_hyperpriors(hyper),
    )
    log_beta = corpus_log_weights(corpus)
    for song in songs:
        log_lik = expected_log_gaussians(song.frames, corpus)
        total = total + song_terms(song, log_lik, log_beta, hyper.alpha0)
    return total


def song_bound(song: SongQ, log_lik: Tensor, log_beta: Tensor, alpha0: float | Tensor) -> Tensor:
    """The sum of the terms of one song."""
    return song_terms(song, log_lik, log_beta, alpha0).total()


def song_terms(song: SongQ, log_lik: Tensor, log_beta: Tensor, alpha0: float | Tensor) -> BoundTerms:
    """The terms of one song, given E[log p(x_n | phi_k)] (frame, comp) and E[log beta_k] (comp,)."""
    log_pi = expected_log_sticks(song.a, song.b)
    total = BoundTerms(song_sticks=-kl_sticks(song.a, song.b, alpha0))
    for varphi in song.varphi:
        total = total + BoundTerms(atoms=_mean(varphi, log_beta), atom_entropy=_entropy(varphi))
    for zeta, frame_log_lik in zip(song.zeta, log_lik, strict=True):
        support = torch.stack([_mean(varphi, frame_log_lik) for varphi in song.varphi])
        total = total + BoundTerms(
            data=_mean(zeta, support),
            assignments=_mean(zeta, log_pi),
            assignment_entropy=_entropy(zeta),
        )
    return total


def _mean(q: Tensor, values: Tensor) -> Tensor:
    """sum_i q_i values_i."""
    return (q * values).sum()


def _entropy(q: Tensor) -> Tensor:
    """-sum_i q_i log q_i, with 0 log 0 = 0."""
    used = q > 0
    return -(q[used] * q[used].log()).sum()


def log_hyperpriors(hyper: Hyper) -> Tensor:
    """log p(gamma) + log p(alpha0) of those learned: Gamma, shape 2, rate 1 / initial."""
    total = ZERO
    for value, initial in ((hyper.gamma, hyper.gamma_initial), (hyper.alpha0, hyper.alpha0_initial)):
        if initial is not None:
            total = total + Gamma(2 + ZERO, 1 / initial + ZERO).log_prob(value + ZERO)
    return total


def log_prior_hyperpriors(hyper: Hyper) -> Tensor:
    """log p of a learned prior's strength, scale and excess dof: Gamma, shape 2, rate 1 / mode."""
    if hyper.prior_modes is None:
        return ZERO
    full = hyper.scale_inv.ndim == 2
    scale = hyper.scale_inv[0, 0] if full else hyper.scale_inv[0]
    values = (hyper.strength, scale, hyper.dof - (len(hyper.mean) - 1 if full else 0))
    parts = [
        Gamma(2 + ZERO, 1 / m + ZERO).log_prob(v + ZERO)
        for v, m in zip(values, hyper.prior_modes, strict=True)
    ]
    return sum(parts, ZERO)


def expected_log_sticks(a: Tensor, b: Tensor) -> Tensor:
    """E[log w_i], w_i = v_i prod_{j<i} (1 - v_j), v_i ~ Beta(a_i, b_i)."""
    rest, out = ZERO, []
    for a_i, b_i in zip(a, b, strict=True):
        out.append(rest + torch.digamma(a_i) - torch.digamma(a_i + b_i))
        rest = rest + torch.digamma(b_i) - torch.digamma(a_i + b_i)
    return torch.stack(out)


def corpus_log_weights(corpus: CorpusQ) -> Tensor:
    """E[log beta_k] in the order of components, not of sticks."""
    by_stick = expected_log_sticks(corpus.u, corpus.v)
    place = {component: i for i, component in enumerate(corpus.order)}
    return torch.stack([by_stick[place[k]] for k in range(len(corpus.order))])


def kl_sticks(a: Tensor, b: Tensor, concentration: float | Tensor) -> Tensor:
    """Sum of KL(Beta(a_i, b_i) || Beta(1, concentration))."""
    return kl_divergence(Beta(a, b), Beta(1 + ZERO, concentration + ZERO)).sum()


def expected_log_gaussians(frames: Tensor, corpus: CorpusQ) -> Tensor:
    """E[log N(x_n | mu_k, Lambda_k^-1)], (frame, comp)."""
    columns = []
    for k in range(len(corpus.dof)):
        blocks = [
            _expected_log_gaussian(
                frames[:, dims], corpus.mean[k, dims], corpus.strength[k], corpus.dof[k], scale_inv
            )
            for dims, scale_inv in _blocks(corpus.scale_inv[k])
        ]
        columns.append(sum(blocks, ZERO))
    return torch.stack(columns, dim=1)


def _blocks(scale_inv: Tensor) -> list[tuple[slice, Tensor]]:
    """(dimensions, their (dim, dim) scale_inv): all at once for a full matrix, one by one for a diagonal."""
    if scale_inv.ndim == 2:
        return [(slice(None), scale_inv)]
    return [(slice(i, i + 1), one.reshape(1, 1)) for i, one in enumerate(scale_inv)]


def _expected_log_gaussian(
    frames: Tensor, mean: Tensor, strength: Tensor, dof: Tensor, scale_inv: Tensor
) -> Tensor:
    """Of one normal-Wishart, (frame,)."""
    dim, shift = frames.shape[1], frames - mean
    mahalanobis = (shift * torch.linalg.solve(scale_inv, shift.T).T).sum(1) * dof
    log_det = expected_log_det(dof, scale_inv)
    return 0.5 * (log_det - dim * math.log(2 * math.pi) - dim / strength - mahalanobis)


def expected_log_det(dof: Tensor, scale_inv: Tensor) -> Tensor:
    """E[log |Lambda|], Lambda ~ Wishart(dof, scale_inv^-1)."""
    dim = scale_inv.shape[0]
    digammas = sum((torch.digamma((dof + 1 - i) / 2) for i in range(1, dim + 1)), ZERO)
    return digammas + dim * math.log(2) - torch.logdet(scale_inv)


def kl_component(corpus: CorpusQ, k: int, hyper: Hyper) -> Tensor:
    """KL of one normal-Wishart to the prior: of the Gaussian, averaged over precisions, and of the Wishart."""
    ratio, total = hyper.strength / corpus.strength[k], ZERO
    shift = corpus.mean[k] - hyper.mean
    for (dims, scale_inv), (_, prior) in zip(
        _blocks(corpus.scale_inv[k]), _blocks(hyper.scale_inv), strict=True
    ):
        away = corpus.dof[k] * (shift[dims] @ torch.linalg.solve(scale_inv, shift[dims]))
        gaussian = 0.5 * (len(scale_inv) * (ratio - 1 - torch.log(ratio)) + hyper.strength * away)
        total = total + gaussian + kl_wishart(corpus.dof[k], scale_inv, hyper.dof, prior)
    return total


def kl_wishart(dof: Tensor, scale_inv: Tensor, dof0: float | Tensor, scale_inv0: Tensor) -> Tensor:
    """KL(Wishart(dof, scale_inv^-1) || Wishart(dof0, scale_inv0^-1)) (Penny 2001, equation 22)."""
    dim = scale_inv.shape[0]
    log_det_ratio = torch.logdet(scale_inv0) - torch.logdet(scale_inv)
    gammas = _log_multi_gamma(dof0 + ZERO, dim) - _log_multi_gamma(dof, dim)
    digammas = sum((torch.digamma((dof + 1 - i) / 2) for i in range(1, dim + 1)), ZERO)
    trace = torch.trace(torch.linalg.solve(scale_inv, scale_inv0))
    return -0.5 * dof0 * log_det_ratio + 0.5 * dof * (trace - dim) + gammas + 0.5 * (dof - dof0) * digammas


def _log_multi_gamma(dof: Tensor, dim: int) -> Tensor:
    """log of the multivariate gamma function at dof / 2, without its power of pi, which cancels."""
    return sum((torch.lgamma((dof + 1 - i) / 2) for i in range(1, dim + 1)), ZERO)
