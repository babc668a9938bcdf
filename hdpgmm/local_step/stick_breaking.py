"""The local step with atoms on sticks, the paper's form: atoms and responsibilities of songs given the components.

Songs of similar length are inferred side by side. Start: each song's best-supported components, one per atom, largest
first. A random start ends about six nats a frame lower and uses half the components, even with the true components
given (shared measurements of the reference).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hdpgmm.components import sticks
from hdpgmm.local_step.posterior import LocalOptions, Posterior, of_songs, supported, take_named

NAMED = (
    2  # components that atoms may come to name, a multiple of the atoms; the others have no share worth one
)


@dataclass(frozen=True)
class _Work:
    """Songs that have not converged. Their components are those that varphi may name, comps (song, named), best
    supported first.

    log_lik (song, frame, named), log_beta (song, named), mask (song, frame, 1), support = log_lik varphi^T.
    """

    comps: Tensor
    log_lik: Tensor
    log_beta: Tensor
    mask: Tensor
    support: Tensor
    zeta: Tensor
    varphi: Tensor
    counts: Tensor
    bound: Tensor


def infer_songs(
    log_lik: Tensor,
    mask: Tensor,
    log_beta: Tensor,
    alpha0: float,
    options: LocalOptions,
    start: Posterior | None = None,
) -> Posterior:
    """Coordinate ascent on each song until its own bound has converged; a converged song leaves the batch.

    log_lik (song, frame, comp): E[log p(x_n | phi_k)]; mask (song, frame): one for frames, zero for padding; log_beta
    (comp,): E[log beta_k]; start: a posterior of the same songs to go on from. Each round updates zeta and pi `sweeps`
    times, drops atoms that cost the bound more than they give, and refreshes varphi. A round that would lower a song's
    bound is not taken. Without a `start`, varphi names components among the song's NAMED * n_atoms best supported.
    """
    if start is None:
        shares, comps = supported(log_lik, mask, log_beta, n_named(options, len(log_beta)))
        return ascend(take_named(log_lik, comps), comps, shares, mask, log_beta, alpha0, options)
    everything = torch.arange(len(log_beta), device=mask.device).expand(len(mask), -1)
    every_beta, shaped = log_beta.expand(len(mask), -1), mask[:, :, None].to(log_lik.dtype)
    work = _assign(everything, log_lik, every_beta, shaped, start.varphi, start.counts, alpha0)
    return _ascend(work, len(log_beta), alpha0, options)


def n_named(options: LocalOptions, n_comp: int) -> int:
    """Components of a song that atoms may come to name."""
    return min(NAMED * min(options.n_atoms, n_comp), n_comp)


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

    One atom for each of the components with the largest shares, which are its first counts.
    """
    n_atoms = min(options.n_atoms, comps.shape[1])
    varphi = torch.eye(comps.shape[1], dtype=log_lik.dtype, device=log_lik.device)[:n_atoms]
    varphi, shaped = varphi.expand(len(comps), -1, -1), mask[:, :, None].to(log_lik.dtype)
    work = _assign(comps, log_lik, log_beta[comps], shaped, varphi, shares[:, :n_atoms], alpha0)
    return _ascend(work, len(log_beta), alpha0, options)


def _ascend(work: _Work, n_comp: int, alpha0: float, options: LocalOptions) -> Posterior:
    found = Posterior(
        work.zeta.clone(),
        _dense(work, n_comp),
        work.counts.clone(),
        torch.zeros_like(work.counts),
        torch.zeros_like(work.counts[:, :2]),
        work.bound.clone(),
        torch.zeros_like(work.comps[:, 0]),
    )
    tolerance = options.tolerance * work.mask.sum((1, 2), dtype=torch.float64)
    songs = torch.arange(len(work.comps), device=work.comps.device)
    for refreshes in range(1, options.max_refreshes + 1):
        new = _round(work, alpha0, options.sweeps)
        gain = new.bound - work.bound
        better, going = gain > 0.0, gain >= tolerance[songs]
        finished = better & ~going if refreshes < options.max_refreshes else better
        _put(found, songs[finished], of_songs(new, finished), refreshes)
        worse = ~better
        if refreshes > 1 and bool(worse.any()):
            _put(found, songs[worse], of_songs(work, worse), refreshes - 1)
        if not bool(going.any()):
            break
        work, songs = (new, songs) if bool(going.all()) else (of_songs(new, going), songs[going])
    used = max(1, int((found.counts > 0.0).sum(1).max()))
    counts = found.counts[:, :used]
    return replace(
        found,
        zeta=found.zeta[..., :used],
        varphi=found.varphi[:, :used],
        counts=counts,
        draws=(counts > 0.0).double(),
        usage=torch.stack(sticks.usage(counts, alpha0), dim=1),
    )


def song_terms(
    log_lik: Tensor, mask: Tensor, log_beta: Tensor, alpha0: float, posterior: Posterior
) -> dict[str, Tensor]:
    """The bound's terms of each song, (song,) float64 nats; song_sticks is minus the sticks' KL.

    The arguments are those of `infer_songs`, and what it found.
    """
    zeta, varphi = posterior.zeta.double() * mask.double()[:, :, None], posterior.varphi.double()
    log_pi = sticks.expected_log_weights(posterior.counts, alpha0).masked_fill(posterior.counts <= 0.0, 0.0)
    return {
        "data": (zeta.mT @ log_lik.double() * varphi).sum((1, 2)),
        "assignments": (zeta.sum(1) * log_pi).sum(1),
        "assignment_entropy": -torch.xlogy(zeta, zeta).sum((1, 2)),
        "atoms": (varphi * log_beta.double()).sum((1, 2)),
        "atom_entropy": -torch.xlogy(varphi, varphi).sum((1, 2)),
        "song_sticks": -sticks.kl_to_prior(posterior.counts, alpha0),
    }


def merge_changes(
    posterior: Posterior, log_beta: Tensor, alpha0: float, song: Tensor, one: Tensor, two: Tensor
) -> tuple[Tensor, Tensor]:
    """When two atoms of a song become one: change of its stick evidence, nats, and of its draws from beta, (meeting,).

    song, one, two (meeting,): a song and two of its atoms.
    """
    counts = posterior.zeta.sum(1, dtype=torch.float64)
    before = sticks.evidence(counts.sort(dim=1, descending=True).values, alpha0)
    rows, merged = torch.arange(len(song), device=song.device), counts[song]
    merged[rows, one] += merged[rows, two]
    merged[rows, two] = 0.0
    after = sticks.evidence(merged.sort(dim=1, descending=True).values, alpha0)
    return after - before[song], torch.full_like(before[song], -1.0)


def removal_changes(posterior: Posterior, log_beta: Tensor, alpha0: float) -> Tensor:
    """Change of a song's sticks when an atom goes and q(pi) stays, (song, atom): none."""
    return torch.zeros_like(posterior.counts)


def _dense(work: _Work, n_comp: int) -> Tensor:
    """varphi over all components, (song, atom, comp)."""
    shape = (*work.varphi.shape[:2], n_comp)
    return work.varphi.new_zeros(shape).scatter_(
        2, work.comps[:, None, :].expand_as(work.varphi), work.varphi
    )


def _put(found: Posterior, songs: Tensor, work: _Work, refreshes: int) -> None:
    """Write what was found for some songs; atoms beyond those in use are cleared."""
    n_atoms = work.counts.shape[1]
    found.zeta[songs, :, :n_atoms], found.zeta[songs, :, n_atoms:] = work.zeta, 0.0
    found.varphi[songs, :n_atoms], found.varphi[songs, n_atoms:] = _dense(work, found.varphi.shape[2]), 0.0
    found.counts[songs, :n_atoms], found.counts[songs, n_atoms:] = work.counts, 0.0
    found.bound[songs], found.refreshes[songs] = work.bound, refreshes


def _assign(
    comps: Tensor,
    log_lik: Tensor,
    log_beta: Tensor,
    mask: Tensor,
    varphi: Tensor,
    counts: Tensor,
    alpha0: float,
) -> _Work:
    """zeta at its optimum for varphi and the counts of q(pi), and the songs' bound there.

    sum_n log sum_t exp(support + E[log pi]) is the data, assignment and entropy term at that optimum.
    """
    support = log_lik @ varphi.mT
    logits = support + _log_pi(counts, alpha0, support.dtype)
    zeta = torch.softmax(logits, dim=2)
    largest, atom = zeta.max(2, keepdim=True)
    log_sum = (logits.gather(2, atom) - largest.log()) * mask
    data = log_sum.sum((1, 2), dtype=torch.float64)
    bound = data - _naming_costs(varphi, log_beta).sum(1) - sticks.kl_to_prior(counts, alpha0)
    return _Work(comps, log_lik, log_beta, mask, support, zeta * mask, varphi, counts, bound)


def _round(work: _Work, alpha0: float, sweeps: int) -> _Work:
    zeta = work.zeta
    for _ in range(sweeps - 1):
        log_pi = _log_pi(zeta.sum(1, dtype=torch.float64), alpha0, zeta.dtype)
        zeta = torch.softmax(work.support + log_pi, dim=2) * work.mask
    zeta = _pruned(zeta, _naming_costs(work.varphi, work.log_beta))
    zeta, counts = _by_size(_joined(zeta, work.varphi))
    affinity = (zeta.mT @ work.log_lik).double() + work.log_beta.double()[:, None, :]
    varphi = torch.softmax(affinity, dim=2).to(zeta.dtype) * (counts > 0.0)[:, :, None]
    return _assign(work.comps, work.log_lik, work.log_beta, work.mask, varphi, counts, alpha0)


def _log_pi(counts: Tensor, alpha0: float, dtype: torch.dtype) -> Tensor:
    """E[log pi_t], (song, 1, atom); minus infinity for atoms that are not in use."""
    log_pi = sticks.expected_log_weights(counts, alpha0).masked_fill(counts <= 0.0, -torch.inf)
    return log_pi.to(dtype)[:, None, :]


def _naming_costs(varphi: Tensor, log_beta: Tensor) -> Tensor:
    """KL(q(c_t) || beta): what the bound pays to name each atom's component, (song, atom) float64.

    varphi (song, atom, named), log_beta (song, named).
    """
    dense = varphi.double()
    return (torch.xlogy(dense, dense) - dense * log_beta.double()[:, None, :]).sum(2)


def _pruned(zeta: Tensor, costs: Tensor) -> Tensor:
    """zeta without the atoms whose frames the others explain at a loss smaller than the cost of naming them.

    Taking atom t away changes the bound by sum_n log(1 - zeta_nt) + cost_t, with q(pi) as it is. Where taking all such
    atoms at once would lose, only the best one goes.
    """
    gain = costs + torch.log1p(-zeta).sum(1, dtype=torch.float64)
    gain = gain.masked_fill(zeta.sum(1) <= 0.0, 0.0)
    best = gain >= gain.max(1, keepdim=True).values
    several = gain > 0.0
    others = torch.where(zeta.sum(2) > 0.0, (zeta * ~several[:, None, :]).sum(2), 1.0)
    rest = others.log().clamp(max=0.0).sum(1, dtype=torch.float64)
    jointly = (costs * several).sum(1) + rest > 0.0
    dropped = several & (best | jointly[:, None])
    kept = zeta * ~dropped[:, None, :]
    return kept / kept.sum(2, keepdim=True).clamp(min=torch.finfo(zeta.dtype).tiny)


def _joined(zeta: Tensor, varphi: Tensor) -> Tensor:
    """zeta with the atoms of a song that name the same component made one: the first of them."""
    weight, comp = varphi.max(2)
    certain = weight > 0.99
    same = (comp[:, :, None] == comp[:, None, :]) & certain[:, :, None] & certain[:, None, :]
    own = torch.arange(comp.shape[1], device=comp.device)
    first = torch.where(certain, same.to(torch.uint8).argmax(2), own)
    if bool((first == own).all()):
        return zeta
    return torch.zeros_like(zeta).scatter_add_(2, first[:, None, :].expand_as(zeta), zeta)


def _by_size(zeta: Tensor) -> tuple[Tensor, Tensor]:
    """Atoms in order of falling count, without those that no song uses: zeta and its counts."""
    counts, order = zeta.sum(1, dtype=torch.float64).sort(dim=1, descending=True, stable=True)
    used = max(1, int((counts > 0.0).sum(1).max()))
    index = order[:, None, :used].expand(-1, zeta.shape[1], -1)
    return zeta.gather(2, index), counts[:, :used]
