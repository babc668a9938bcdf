"""The local step by direct assignment (Teh et al. 2006, section 5.3): a song's atoms are integrated out.

pi_j ~ Dirichlet(alpha0 beta) over the components themselves, where the stick-breaking form has atoms that name them
(hdpgmm.local_step.stick_breaking). Songs use few components: each keeps its best-supported ones. beta enters through
exp(E[log beta]): log Gamma(a beta + n) - log Gamma(a beta) is convex in log beta for whole n, so that this is a lower
bound. Its slope, the draws from beta, is the expected tables of the Chinese restaurant franchise. With an expected
count below one the curve lies under its tangent, by at most d^2 / 8 nats at a change d of log beta.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hdpgmm.local_step.posterior import LOWEST, LocalOptions, Posterior, of_songs, supported, take_named

NEGLIGIBLE = 1e-9  # frames of a song: a component with less is not in use
LEAST = 1e-300  # exp(E[log beta]): the digamma of less overflows
STEEPEST = -40.0  # of a change of log pi between two softmaxes, below the largest: the sums stay above zero


@dataclass(frozen=True)
class _Work:
    """Songs that have not converged. comps, weight = alpha0 exp(E[log beta]), log_pi, counts of q(pi) (song, atom);
    log_lik and zeta, the optimum for those counts, (song, atom, frame): sums over atoms run along contiguous frames;
    mask (song, 1, frame); bound (song,).
    """

    comps: Tensor
    log_lik: Tensor
    weight: Tensor
    mask: Tensor
    log_pi: Tensor
    zeta: Tensor
    counts: Tensor
    bound: Tensor


_FOUND = ("comps", "weight", "zeta", "counts", "bound")


def infer_songs(
    log_lik: Tensor,
    mask: Tensor,
    log_beta: Tensor,
    alpha0: float,
    options: LocalOptions,
    start: Posterior | None = None,
) -> Posterior:
    """Coordinate ascent on each song until its own bound has converged; a converged song leaves the batch.

    Arguments as of hdpgmm.local_step.stick_breaking.infer_songs. An atom is one of the song's components: varphi of the
    result is one-hot.
    """
    if start is None:
        shares, comps = supported(log_lik, mask, log_beta, n_named(options, len(log_beta)))
    else:
        shares, comps = start.counts, start.varphi.argmax(2)
    return ascend(take_named(log_lik, comps), comps, shares, mask, log_beta, alpha0, options)


def n_named(options: LocalOptions, n_comp: int) -> int:
    """Components of a song that inference begins with."""
    return min(options.n_atoms, n_comp)


def ascend(
    log_lik: Tensor,
    comps: Tensor,
    shares: Tensor,
    mask: Tensor,
    log_beta: Tensor,
    alpha0: float,
    options: LocalOptions,
) -> Posterior:
    """`infer_songs` from chosen components: log_lik (song, frame, named) of comps, with shares in frames (song, named).

    The first counts are the shares, made to add up to the song's frames. A component without a share stays out.
    """
    n_songs = len(comps)
    counts = shares * (mask.sum(1, dtype=torch.float64) / shares.sum(1))[:, None]
    counts = counts.where(counts > NEGLIGIBLE, 0.0)
    named = log_lik.mT.masked_fill((counts <= 0.0)[:, :, None], -torch.inf)
    shaped = mask[:, None, :].to(log_lik.dtype)
    work = _assign(comps, named, _weights(log_beta.double()[comps], alpha0), shaped, counts, alpha0)
    found = replace(work, **{name: getattr(work, name).clone() for name in _FOUND})
    tolerance = options.tolerance * mask.sum(1, dtype=torch.float64)
    songs, rounds = torch.arange(n_songs, device=mask.device), torch.zeros_like(comps[:, 0])
    for number in range(1, options.max_refreshes + 1):
        new = _round(work, alpha0, options.sweeps)
        going = new.bound - work.bound >= tolerance[songs]
        finished = ~going if number < options.max_refreshes else torch.ones_like(going)
        _put(found, songs[finished], new, finished)
        rounds[songs] = number
        if bool(finished.all()):
            break
        work, songs = (new, songs) if bool(going.all()) else (of_songs(new, going), songs[going])
    return posterior(
        found.comps, found.weight, found.zeta, found.counts, found.bound, rounds, len(log_beta), alpha0
    )


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
    logits = log_lik + log_pi.to(log_lik.dtype)[:, :, None]
    largest = logits.amax(1, keepdim=True)
    zeta = torch.threshold_(logits.sub_(largest).clamp_(min=LOWEST).exp_(), 1.01 * math.exp(LOWEST), 0.0)
    total_density = zeta.sum(1, keepdim=True)
    zeta *= mask / total_density
    log_sum = (largest + total_density.log()) * mask
    total = torch.full_like(counts[:, 0], alpha0)
    kl = log_rising(total, counts.sum(1)) - (log_rising(weight, counts) - counts * log_pi).sum(1)
    bound = log_sum.sum((1, 2), dtype=torch.float64) - kl
    return _Work(comps, log_lik, weight, mask, log_pi, zeta, counts, bound)


def _round(work: _Work, alpha0: float, sweeps: int) -> _Work:
    """Sweeps of q(pi) and zeta in turn, then atoms without frames go.

    As log pi moves, zeta is the old one times ratio = exp(change), normalised: a sweep is two products of zeta with a
    vector, without exponentials of frames. The clamp keeps the sums above zero; the bound is taken from new logits.
    """
    counts, room = work.zeta.sum(2).double(), torch.empty_like(work.zeta)
    for _ in range(sweeps - 1):
        change = _expected_log_pi(work.weight, counts, alpha0) - work.log_pi
        change = change - change.amax(1, keepdim=True)
        ratio = change.clamp(min=STEEPEST).exp().to(work.zeta.dtype)
        total = torch.bmm(ratio[:, None, :], work.zeta) + (1.0 - work.mask)
        counts = torch.div(work.zeta, total, out=room).sum(2).double() * ratio
    used = counts > NEGLIGIBLE
    most = int(used.sum(1).max())
    if most == counts.shape[1]:
        return _assign(work.comps, work.log_lik, work.weight, work.mask, counts, alpha0)
    order = counts.argsort(dim=1, descending=True, stable=True)[:, :most]
    counts, weight, comps = (part.gather(1, order) for part in (counts, work.weight, work.comps))
    return _assign(comps, _atoms(work.log_lik, order), weight, work.mask, counts, alpha0)


def _atoms(frames: Tensor, order: Tensor) -> Tensor:
    """Rows `order` (song, atom) of (song, atom, frame)."""
    return frames.flatten(0, 1)[
        order + frames.shape[1] * torch.arange(len(order), device=order.device)[:, None]
    ]


def _put(found: _Work, songs: Tensor, work: _Work, finished: Tensor) -> None:
    """Write the finished songs of `work` into their places; atoms beyond those in use are cleared."""
    n_atoms = work.counts.shape[1]
    for name in _FOUND:
        part, new = getattr(found, name), getattr(work, name)[finished]
        if part.ndim == 1:
            part[songs] = new
        else:
            part[songs, :n_atoms] = new
    found.zeta[songs, n_atoms:], found.counts[songs, n_atoms:] = 0.0, 0.0


def posterior(
    comps: Tensor,
    weight: Tensor,
    zeta: Tensor,
    counts: Tensor,
    bound: Tensor,
    rounds: Tensor,
    n_comp: int,
    alpha0: float,
) -> Posterior:
    """What was found as a record: comps, weight, counts (song, atom), zeta (song, atom, frame), bound, rounds (song,).

    Atoms in order of falling count, as many as the song with the most has in use.
    """
    counts = counts.where(counts > NEGLIGIBLE, 0.0)
    order = counts.argsort(dim=1, descending=True, stable=True)[:, : max(1, int((counts > 0.0).sum(1).max()))]
    counts, weight, comps = (part.gather(1, order) for part in (counts, weight, comps))
    used = (counts > 0.0)[:, :, None]
    zeta = _atoms(zeta, order)
    varphi = zeta.new_zeros(*counts.shape, n_comp).scatter_(2, comps[:, :, None], used.to(zeta.dtype))
    draws, usage = draws_and_usage(weight, counts, alpha0)
    return Posterior((zeta * used).mT, varphi, counts, draws, usage, bound, rounds)


def draws_and_usage(weight: Tensor, counts: Tensor, alpha0: float) -> tuple[Tensor, Tensor]:
    """Draws from beta (song, atom) of atoms of these weights and counts, and what alpha0 is learned from (song, 2)."""
    draws, total = tables(weight, counts).where(counts > 0.0, 0.0), counts.sum(1)
    log_rest = torch.digamma(alpha0 + total) - torch.digamma(torch.full_like(total, alpha0))
    return draws, torch.stack([draws.sum(1), log_rest], 1)


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
