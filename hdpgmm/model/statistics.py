"""Sufficient statistics of a mini-batch: the local step of its songs, summed over them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hdpgmm.components.statistics import BLOCK, Statistics, blocks, contract, expand, expanded_size
from hdpgmm.local_step import direct_assignment
from hdpgmm.local_step.groups import Group, chunks
from hdpgmm.local_step.posterior import LocalOptions, Posterior
from hdpgmm.model.expectations import Globals, log_likelihoods, scratch_for
from hdpgmm.model.inference import on_gpu, posterior_of
from hdpgmm.model.threads import GROUP_FRAMES, by_group
from hdpgmm.ragged import Ragged

SLICE = 4096  # frames that are summed in float32 on a GPU


@dataclass(frozen=True)
class BatchInfo:
    """Worth logging, not state. bound: sum of the songs' local bounds, nats."""

    songs: int = 0
    frames: int = 0
    bound: float = 0.0
    refreshes: int = 0

    def __add__(self, other: "BatchInfo") -> "BatchInfo":
        return BatchInfo(
            self.songs + other.songs,
            self.frames + other.frames,
            self.bound + other.bound,
            self.refreshes + other.refreshes,
        )


def batch_statistics(
    model: Globals, songs: Ragged[Tensor], options: LocalOptions, splash: float = 0.0
) -> tuple[Statistics, BatchInfo]:
    """Sufficient statistics of a batch of songs (frame, dim), unscaled, and what to log.

    splash mixes that share of a uniform distribution over components into each responsibility (the paper's
    regulariser); 0 leaves the posterior alone.
    """
    values = songs.values
    n_comp, dim, device = model.theta.shape[1], values.shape[1], values.device
    total = _total_fused if on_gpu(model, device) else _total_by_group
    sums, atoms, used, info = total(model, songs, options)
    if splash:
        everything = torch.zeros(model.theta.shape[0], dtype=torch.float64, device=device)
        for block in blocks(len(values), BLOCK[device.type]):
            everything += expand(values[block], model.diagonal).sum(1, dtype=torch.float64)
        sums = (1.0 - splash) * sums + (splash / n_comp) * everything
    return contract(sums, atoms, used, dim, model.diagonal), info


Totals = tuple[Tensor, Tensor, Tensor, BatchInfo]


def _total_by_group(model: Globals, songs: Ragged[Tensor], options: LocalOptions) -> Totals:
    """R^T t(X) (comp, expanded_size), draws (comp,), usage (2,), all float64, and what to log, of a batch."""

    def one(group: Group) -> tuple[Tensor, Tensor, Tensor, BatchInfo]:
        scratch = scratch_for(model, group.values)
        posterior = posterior_of(model, group, options, scratch)
        n_frames, refreshes = int(group.mask.sum()), int(posterior.refreshes.sum())
        info = BatchInfo(len(group.songs), n_frames, float(posterior.bound.sum()), refreshes)
        draws, used = posterior.component_draws().sum(0), posterior.usage.sum(0)
        return products(group.values, posterior, model.diagonal, scratch), draws, used, info

    sums = torch.zeros(model.theta.T.shape, dtype=torch.float64, device=songs.values.device)
    atoms = torch.zeros_like(sums[:, 0])
    used, info = sums.new_zeros(2), BatchInfo()
    for part in by_group(one, songs):
        sums += part[0]
        atoms += part[1]
        used += part[2]
        info += part[3]
    return sums, atoms, used, info


def _total_fused(model: Globals, songs: Ragged[Tensor], options: LocalOptions) -> Totals:
    """`_total_by_group` on a GPU: chunks of whole songs one after the other, ragged as they are; nothing waits."""
    from hdpgmm.local_step import fused

    values = songs.values
    n_comp, most = len(model.log_beta), direct_assignment.n_named(options, len(model.log_beta))
    sums = torch.zeros(model.theta.T.shape, dtype=torch.float64, device=values.device)
    atoms, used, logged = torch.zeros_like(sums[:, 0]), sums.new_zeros(2), sums.new_zeros(2)
    filled = songs.lengths > 0
    starts, lengths = songs.starts[filled], songs.lengths[filled]
    scratch = scratch_for(model, values)
    for some in chunks(lengths.tolist(), GROUP_FRAMES["cuda"]):
        first = int(starts[some.start])
        frames = values[first : int(starts[some.stop - 1] + lengths[some.stop - 1])]
        log_lik = log_likelihoods(model, frames, scratch).T
        bounds = fused.Songs(*(part[some].to(values.device) for part in (starts - first, lengths)))
        shares, comps = fused.supported(log_lik, bounds, model.log_beta, most)
        responsibilities = torch.zeros_like(log_lik)
        places = comps * log_lik.stride(0) + bounds.start[:, None]
        found = fused.ascend(
            log_lik, bounds, comps, shares, model.log_beta, model.alpha0, options, responsibilities, places
        )
        draws, usage = direct_assignment.draws_and_usage(found.weight, found.counts, model.alpha0)
        sums += _weighted(responsibilities, frames, model.diagonal, scratch)
        atoms += atoms.new_zeros(len(comps), n_comp).scatter_(1, comps, draws).sum(0)
        used += usage.sum(0)
        logged += torch.stack([found.bound.sum(), found.rounds.sum().double()])
    bound, refreshes = logged.tolist()
    return sums, atoms, used, BatchInfo(len(lengths), int(lengths.sum()), bound, int(refreshes))


def _weighted(responsibilities: Tensor, frames: Tensor, diagonal: bool, scratch: Tensor) -> Tensor:
    """R^T t(X) of R^T (comp, frame), (comp, expanded_size) float64: float32 within SLICE frames, side by side."""
    total = torch.zeros(len(responsibilities), scratch.shape[0], dtype=torch.float64, device=frames.device)
    for block in blocks(len(frames), scratch.shape[1]):
        left, right = responsibilities[:, block], expand(frames[block], diagonal, scratch)
        whole = right.shape[1] // SLICE * SLICE
        if whole:
            slices = [part[:, :whole].unflatten(1, (-1, SLICE)) for part in (left, right)]
            products = torch.bmm(slices[0].transpose(0, 1), slices[1].permute(1, 2, 0))
            total += products.sum(0, dtype=torch.float64)
        total += left[:, whole:] @ right[:, whole:].T
    return total


def products(values: Tensor, posterior: Posterior, diagonal: bool, scratch: Tensor | None = None) -> Tensor:
    """R^T t(X) of a group, (comp, expanded_size), as varphi^T (zeta^T t(X)) song by song: T columns instead of K.

    Rows of zeta^T t(X) whose varphi is one-hot are added where they belong; a product is left to the others. Songs
    shorter than their atoms are many take R^T t(X) itself, which is less work for them.
    """
    n_songs, n_frames, dim = values.shape
    out = values.new_zeros(posterior.varphi.shape[2], expanded_size(dim, diagonal))
    used = (posterior.counts > 0.0).sum(1).tolist()
    most = BLOCK[values.device.type]
    for songs in blocks(n_songs, max(1, most // n_frames)):
        n_atoms = max([1, *used[songs]])
        zeta, varphi = posterior.zeta[songs, :, :n_atoms], posterior.varphi[songs, :n_atoms]
        if n_frames <= min(n_atoms, most):
            expanded = expand(values[songs].flatten(0, 1), diagonal, scratch)
            out.addmm_((zeta @ varphi).flatten(0, 1).T, expanded.T)
            continue
        moments = values.new_empty(*zeta.mT.shape[:2], out.shape[1])
        for block in blocks(n_frames, most):
            part = values[songs, block]
            expanded = expand(part.flatten(0, 1), diagonal, scratch).unflatten(1, part.shape[:2])
            keep = 0.0 if block.start == 0 else 1.0  # what is there counts from the second block on
            moments.baddbmm_(zeta[:, block].mT, expanded.permute(1, 2, 0), beta=keep)
        rows, (weight, comp) = moments.flatten(0, 1), varphi.flatten(0, 1).max(1)
        certain, soft = weight == 1.0, torch.nonzero((weight < 1.0) & (weight > 0.0))[:, 0]
        out.index_add_(0, comp[certain], rows[certain])
        if len(soft):
            out.addmm_(varphi.flatten(0, 1)[soft].T, rows[soft])
    return out
