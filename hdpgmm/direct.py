"""The local step by direct assignment (Teh et al. 2006, section 5.3): a song's atoms are integrated out.

pi_j ~ Dirichlet(alpha0 beta) over the components themselves, where the stick-breaking form has atoms that name them
(hdpgmm.local). Songs use few components: each keeps its best-supported ones. beta enters through exp(E[log beta]):
log Gamma(a beta + n) - log Gamma(a beta) is convex in log beta for whole n, so that this is a lower bound. Its slope,
the draws from beta, is the expected tables of the Chinese restaurant franchise. With an expected count below one the
curve lies under its tangent, by at most d^2 / 8 nats at a change d of log beta.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hdpgmm.local import LocalOptions, Posterior

NEGLIGIBLE = 1e-9  # frames of a song: a component with less is not in use
LEAST = 1e-300  # exp(E[log beta]): the digamma of less overflows


@dataclass(frozen=True)
class _Work:
    """Songs under way: log_lik (song, frame, atom) and weight = alpha0 exp(E[log beta]) of comps (song, atom)."""

    comps: Tensor
    log_lik: Tensor
    weight: Tensor
    mask: Tensor
    zeta: Tensor
    counts: Tensor
    bound: Tensor

    def take(self, songs: Tensor) -> "_Work":
        return _Work(*(getattr(self, name)[songs] for name in self.__dataclass_fields__))


def infer_songs(
    log_lik: Tensor,
    mask: Tensor,
    log_beta: Tensor,
    alpha0: float,
    options: LocalOptions,
    start: Posterior | None = None,
) -> Posterior:
    """Coordinate ascent on each song until its own bound stands still; a finished song leaves the batch.

    Arguments as of hdpgmm.local.infer_songs. An atom is one of the song's components: varphi of the result is one-hot.
    """
    shaped = mask[:, :, None].to(log_lik.dtype)
    if start is None:
        share = (torch.softmax(log_lik + log_beta.to(log_lik.dtype), dim=2) * shaped).sum(
            1, dtype=torch.float64
        )
        counts, comps = share.topk(min(options.n_atoms, len(log_beta)))
        counts = counts * (share.sum(1) / counts.sum(1))[:, None]
    else:
        counts, comps = start.counts, start.varphi.argmax(2)
    named = log_lik.gather(2, comps[:, None, :].expand(-1, log_lik.shape[1], -1))
    named = named.masked_fill((counts <= 0.0)[:, None, :], -torch.inf)  # atoms of a start that name nothing
    work = _assign(comps, named, _weights(log_beta.double()[comps], alpha0), shaped, counts, alpha0)
    found = _Work(*(getattr(work, name).clone() for name in work.__dataclass_fields__))
    tolerance = options.tolerance * mask.sum(1, dtype=torch.float64)
    songs, rounds = torch.arange(len(mask), device=mask.device), torch.zeros_like(comps[:, 0])
    for number in range(1, options.max_refreshes + 1):
        new = _round(work, alpha0, options.sweeps)
        going = new.bound - work.bound >= tolerance[songs]
        finished = ~going if number < options.max_refreshes else torch.ones_like(going)
        _put(found, songs[finished], new.take(finished))
        rounds[songs] = number
        if bool(finished.all()):
            break
        work, songs = (new, songs) if bool(going.all()) else (new.take(going), songs[going])
    return _posterior(found, rounds, len(log_beta), alpha0)


def song_terms(
    log_lik: Tensor, mask: Tensor, log_beta: Tensor, alpha0: float, posterior: Posterior
) -> dict[str, Tensor]:
    """The bound's terms of each song, (song,) float64 nats; song_weights is minus KL(q(pi) || p(pi | beta))."""
    zeta = posterior.zeta.double() * mask.double()[:, :, None]
    used, comps = posterior.counts > 0.0, posterior.varphi.argmax(2)
    weight = _weights(log_beta.double()[comps], alpha0)
    log_pi = _expected_log_pi(weight, posterior.counts, alpha0).where(used, 0.0)
    total = posterior.counts.sum(1)
    own = (log_rising(weight, posterior.counts) - posterior.counts * log_pi).where(used, 0.0).sum(1)
    return {
        "data": (zeta.mT @ log_lik.double() * posterior.varphi.double()).sum((1, 2)),
        "assignments": (zeta.sum(1) * log_pi).sum(1),
        "assignment_entropy": -torch.xlogy(zeta, zeta).sum((1, 2)),
        "song_weights": own - log_rising(torch.full_like(total, alpha0), total),
    }


def log_rising(weight: Tensor, counts: Tensor) -> Tensor:
    """log Gamma(weight + counts) - log Gamma(weight): of counts draws from a component of that Dirichlet weight."""
    return torch.lgamma(weight + counts) - torch.lgamma(weight)


def tables(weight: Tensor, counts: Tensor) -> Tensor:
    """d log_rising / d log weight: expected tables of the franchise (Antoniak 1974), so draws from beta."""
    return weight * (torch.digamma(weight + counts) - torch.digamma(weight))


def _weights(log_beta: Tensor, alpha0: float) -> Tensor:
    """Weight in a song's Dirichlet prior of components of these E[log beta]."""
    return alpha0 * log_beta.exp().clamp(min=LEAST)


def _expected_log_pi(weight: Tensor, counts: Tensor, alpha0: float) -> Tensor:
    """E[log pi], (song, atom), under Dirichlet(weight + counts); what is left of alpha0 is on the other components."""
    return torch.digamma(weight + counts) - torch.digamma(alpha0 + counts.sum(1, keepdim=True))


def _assign(
    comps: Tensor, log_lik: Tensor, weight: Tensor, mask: Tensor, counts: Tensor, alpha0: float
) -> _Work:
    """zeta at its optimum for the counts of q(pi), and the songs' bound there."""
    log_pi = _expected_log_pi(weight, counts, alpha0)
    logits = log_lik + log_pi.to(log_lik.dtype)[:, None, :]
    zeta = torch.softmax(logits, dim=2)
    largest, atom = zeta.max(2, keepdim=True)
    data = ((logits.gather(2, atom) - largest.log()) * mask).sum((1, 2), dtype=torch.float64)
    total = torch.full_like(data, alpha0)
    kl = log_rising(total, counts.sum(1)) - (log_rising(weight, counts) - counts * log_pi).sum(1)
    return _Work(comps, log_lik, weight, mask, zeta * mask, counts, data - kl)


def _round(work: _Work, alpha0: float, sweeps: int) -> _Work:
    zeta = work.zeta
    for _ in range(sweeps - 1):
        log_pi = _expected_log_pi(work.weight, zeta.sum(1, dtype=torch.float64), alpha0)
        zeta = torch.softmax(work.log_lik + log_pi.to(zeta.dtype)[:, None, :], dim=2) * work.mask
    counts = zeta.sum(1, dtype=torch.float64)
    used = counts > NEGLIGIBLE
    most = int(used.sum(1).max())
    if most < counts.shape[1]:
        order = counts.argsort(dim=1, descending=True, stable=True)[:, :most]
        counts, weight, comps = (
            counts.gather(1, order),
            work.weight.gather(1, order),
            work.comps.gather(1, order),
        )
        log_lik = work.log_lik.gather(2, order[:, None, :].expand(-1, zeta.shape[1], -1))
        return _assign(comps, log_lik, weight, work.mask, counts, alpha0)
    return _assign(work.comps, work.log_lik, work.weight, work.mask, counts, alpha0)


def _put(found: _Work, songs: Tensor, work: _Work) -> None:
    n_atoms = work.counts.shape[1]
    found.zeta[songs, :, :n_atoms], found.zeta[songs, :, n_atoms:] = work.zeta, 0.0
    found.counts[songs, :n_atoms], found.counts[songs, n_atoms:] = work.counts, 0.0
    found.comps[songs, :n_atoms], found.weight[songs, :n_atoms] = work.comps, work.weight
    found.bound[songs] = work.bound


def _posterior(found: _Work, rounds: Tensor, n_comp: int, alpha0: float) -> Posterior:
    counts = found.counts.where(found.counts > NEGLIGIBLE, 0.0)
    order = counts.argsort(dim=1, descending=True, stable=True)[:, : max(1, int((counts > 0.0).sum(1).max()))]
    counts, weight, comps = (part.gather(1, order) for part in (counts, found.weight, found.comps))
    zeta = found.zeta.gather(2, order[:, None, :].expand(-1, found.zeta.shape[1], -1))
    varphi = (
        zeta.new_zeros(*counts.shape, n_comp).scatter_(2, comps[:, :, None], 1.0) * (counts > 0.0)[:, :, None]
    )
    draws = tables(weight, counts).where(counts > 0.0, 0.0)
    total = counts.sum(1)
    usage = torch.stack(
        [draws.sum(1), torch.digamma(alpha0 + total) - torch.digamma(torch.full_like(total, alpha0))], 1
    )
    return Posterior(zeta * (counts > 0.0)[:, None, :], varphi, counts, draws, usage, found.bound, rounds)


def merge_changes(
    posterior: Posterior, log_beta: Tensor, alpha0: float, song: Tensor, one: Tensor, two: Tensor
) -> tuple[Tensor, Tensor]:
    """When two atoms of a song become one: change of its Dirichlet terms, nats, and of its draws from beta, (meeting,).

    song, one, two (meeting,): a song and two of its atoms. The price of the draws, draws * log beta, is left to the
    corpus sticks, which set it.
    """
    counts, comps = posterior.zeta.sum(1, dtype=torch.float64), posterior.varphi.argmax(2)
    first, second = log_beta.double()[comps[song, one]], log_beta.double()[comps[song, two]]
    rest_one, draws_one = _without_price(first, counts[song, one], alpha0)
    rest_two, draws_two = _without_price(second, counts[song, two], alpha0)
    both = counts[song, one] + counts[song, two]
    rest_both, draws_both = _without_price(torch.logaddexp(first, second), both, alpha0)
    return rest_both - rest_one - rest_two, draws_both - draws_one - draws_two


def _without_price(log_weight: Tensor, counts: Tensor, alpha0: float) -> tuple[Tensor, Tensor]:
    """log_rising - draws * log beta, and the draws."""
    weight = _weights(log_weight, alpha0)
    draws = tables(weight, counts)
    return log_rising(weight, counts) - draws * log_weight, draws


def removal_changes(posterior: Posterior, log_beta: Tensor, alpha0: float) -> Tensor:
    """Change of a song's Dirichlet terms, (song, atom), without the price of draws, when q(pi) forgets an atom.

    What each frame gains where its other atoms share all of pi is in it.
    """
    log_weight = log_beta.double()[posterior.varphi.argmax(2)]
    weight = _weights(log_weight, alpha0)
    counts = posterior.counts
    own = log_rising(weight, counts) - counts * torch.digamma(weight + counts) - posterior.draws * log_weight
    left = alpha0 + counts.sum(1, keepdim=True) - counts
    rest = log_rising(left, counts) - counts * torch.digamma(left)
    return (rest - own).where(counts > 0.0, 0.0)
