"""The bound of the direct form, written as it is read: a song's weights are Dirichlet over the components themselves.

pi_j ~ Dirichlet(alpha0 b), b_k = exp(E[log beta_k]); what the b of the components leave over is one more coordinate,
all that is unseen. q(pi_j) = Dirichlet(alpha0 b + counts). Every component is a coordinate of every song, and the
divergence is torch's. Differentiable float64 torch; the corpus level is that of `tests/oracles/elbo.py`.

Why it is a bound: given the frames' components, with whole counts n, log p(assignments | beta) has a term
log Gamma(alpha0 beta_k + n_k) - log Gamma(alpha0 beta_k) = sum_{i < n_k} log(alpha0 beta_k + i), convex in log beta_k.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from tests.oracles import elbo
from tests.oracles.elbo import ZERO, CorpusQ, Hyper


@dataclass(frozen=True)
class SongQ:
    """frames (frame, dim); zeta (frame, comp), zero where a component is not the song's; counts (comp,) of q(pi)."""

    frames: Tensor
    zeta: Tensor
    counts: Tensor


@dataclass(frozen=True)
class SongTerms:
    """Nats, to be added up; song_weights is minus the divergence of q(pi)."""

    data: Tensor = ZERO
    assignments: Tensor = ZERO
    assignment_entropy: Tensor = ZERO
    song_weights: Tensor = ZERO

    def total(self) -> Tensor:
        return sum(vars(self).values(), ZERO)


def bound(songs: list[SongQ], corpus: CorpusQ, hyper: Hyper) -> Tensor:
    """Of a corpus, nats."""
    return sum(terms(songs, corpus, hyper).values(), ZERO)


def terms(songs: list[SongQ], corpus: CorpusQ, hyper: Hyper) -> dict[str, Tensor]:
    """The songs' terms added up, and the four of the corpus."""
    total = {
        "corpus_sticks": -elbo.kl_sticks(corpus.u, corpus.v, hyper.gamma),
        "components": -hyper.dependence
        * sum((elbo.kl_component(corpus, k, hyper) for k in range(len(corpus.dof))), ZERO),
        "concentrations": elbo.log_hyperpriors(hyper),
        "prior": elbo.log_prior_hyperpriors(hyper),
    }
    log_beta = elbo.corpus_log_weights(corpus)
    for song in songs:
        log_lik = elbo.expected_log_gaussians(song.frames, corpus)
        for name, nats in vars(song_terms(song, log_lik, log_beta, hyper.alpha0)).items():
            total[name] = total.get(name, ZERO) + nats
    return total


def song_bound(song: SongQ, log_lik: Tensor, log_beta: Tensor, alpha0: float | Tensor) -> Tensor:
    """The sum of the terms of one song."""
    return song_terms(song, log_lik, log_beta, alpha0).total()


def song_terms(song: SongQ, log_lik: Tensor, log_beta: Tensor, alpha0: float | Tensor) -> SongTerms:
    """The terms of one song, given E[log p(x_n | phi_k)] (frame, comp) and E[log beta_k] (comp,)."""
    prior = song_prior(log_beta, alpha0)
    posterior = prior + torch.cat([song.counts, ZERO[None]])
    data, assignments, entropy = ZERO, ZERO, ZERO
    for zeta, frame_log_lik in zip(song.zeta, log_lik, strict=True):
        for k in range(len(log_beta)):
            if zeta[k] > 0:
                data = data + zeta[k] * frame_log_lik[k]
                assignments = assignments + zeta[k] * (
                    torch.digamma(posterior[k]) - torch.digamma(posterior.sum())
                )
                entropy = entropy - zeta[k] * zeta[k].log()
    return SongTerms(data, assignments, entropy, -kl_divergence(Dirichlet(posterior), Dirichlet(prior)))


def song_prior(log_beta: Tensor, alpha0: float | Tensor) -> Tensor:
    """alpha0 b of every component, and what is left of alpha0 for the unseen, (comp + 1,)."""
    b = log_beta.exp()
    return alpha0 * torch.cat([b, (1 - b.sum())[None]])
