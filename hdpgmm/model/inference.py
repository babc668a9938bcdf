"""The local step of ragged songs: q of each song's variables given a state, on the CPU or a GPU."""

import importlib.util
from collections.abc import Iterator
from types import ModuleType

import torch
from torch import Tensor

from hdpgmm.components.statistics import BLOCK, blocks
from hdpgmm.local_step import direct_assignment, stick_breaking
from hdpgmm.local_step.groups import Group
from hdpgmm.local_step.posterior import LocalOptions, Posterior, supported, take_named
from hdpgmm.model.expectations import Globals, log_likelihoods, scratch_for
from hdpgmm.model.threads import by_group
from hdpgmm.ragged import Ragged


def song_level(direct: bool) -> ModuleType:
    """The songs' inference: by direct assignment, or with atoms on sticks of their own."""
    return direct_assignment if direct else stick_breaking


def infer(model: Globals, songs: Ragged[Tensor], options: LocalOptions) -> Iterator[tuple[Group, Posterior]]:
    """The local step of every song with frames (frame, dim), group by group: (group, posterior).

    The groups follow from the songs' lengths, and on the CPU each is one thread's, so the result does not depend on the
    number of threads.
    """
    return by_group(lambda group: (group, posterior_of(model, group, options)), songs)


def posterior_of(
    model: Globals, group: Group, options: LocalOptions, scratch: Tensor | None = None
) -> Posterior:
    """q of a group's songs. Of the log-likelihoods only those of each song's best-supported components are kept."""
    if on_gpu(model, group.values.device):
        return posterior_given(model, group, log_likelihoods(model, group.values, scratch), options)
    level, n_frames = song_level(model.direct), group.values.shape[1]
    most = level.n_named(options, len(model.log_beta))
    at_once = max(1, BLOCK[group.values.device.type] // n_frames)
    named = group.values.new_empty(len(group.songs), most, n_frames)
    scratch = scratch_for(model, group.values) if scratch is None else scratch
    parts, room = [], group.values.new_empty(len(model.log_beta) * at_once * n_frames)
    for songs in blocks(len(group.songs), at_once):
        log_lik = log_likelihoods(model, group.values[songs], scratch, room)
        parts.append(supported(log_lik, group.mask[songs], model.log_beta, most))
        named[songs] = take_named(log_lik, parts[-1][1]).mT
    shares, comps = (torch.cat(part) for part in zip(*parts, strict=True))
    return level.ascend(named.mT, comps, shares, group.mask, model.log_beta, model.alpha0, options)


def posterior_given(model: Globals, group: Group, log_lik: Tensor, options: LocalOptions) -> Posterior:
    """q of a group's songs from their log-likelihoods, (song, frame, comp) as of `log_likelihoods`."""
    if not on_gpu(model, log_lik.device):
        level = song_level(model.direct)
        return level.infer_songs(log_lik, group.mask, model.log_beta, model.alpha0, options)
    from hdpgmm.local_step import fused

    n_songs, n_frames = group.mask.shape
    rows = log_lik.flatten(0, 1).T.contiguous()
    lengths = group.mask.sum(1).long()
    songs = fused.Songs(n_frames * torch.arange(n_songs, device=rows.device), lengths)
    shares, comps = fused.supported(
        rows, songs, model.log_beta, direct_assignment.n_named(options, len(model.log_beta))
    )
    zeta = rows.new_zeros(*comps.shape, n_frames)
    places = n_frames * torch.arange(comps.numel(), device=rows.device).view(comps.shape)
    found = fused.ascend(rows, songs, comps, shares, model.log_beta, model.alpha0, options, zeta, places)
    return direct_assignment.posterior(
        comps, found.weight, zeta, found.counts, found.bound, found.rounds, len(model.log_beta), model.alpha0
    )


def on_gpu(model: Globals, device: torch.device) -> bool:
    """Whether songs are inferred by the kernels of `fused`: by direct assignment, on CUDA with Triton."""
    return model.direct and device.type == "cuda" and importlib.util.find_spec("triton") is not None
