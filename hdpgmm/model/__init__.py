"""State of the model and its two steps over ragged batches: state in, state and info out."""

import importlib.util
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from hdpgmm.components import normal_gamma, normal_wishart, sticks
from hdpgmm.components.prior import Prior, log_hyperpriors, relearned
from hdpgmm.components.statistics import BLOCK, Statistics, blocks, contract, expand, expanded_size
from hdpgmm.local_step import direct_assignment as direct
from hdpgmm.local_step import stick_breaking as local
from hdpgmm.local_step.groups import Group, chunks, gather, partition
from hdpgmm.local_step.stick_breaking import LocalOptions, Posterior, supported, take_named

GROUP_FRAMES = {"cpu": 8192, "cuda": 1 << 17}  # of the songs inferred side by side
EMPTY = 1e-3  # frames of the corpus: a component with fewer changes no bound by as much as its rounding
SLICE = 4096  # frames that are summed in float32 on a GPU


@dataclass(frozen=True)
class State:
    """All that must persist: the prior, the averaged corpus-scaled statistics, and the two concentrations."""

    prior: Prior
    stats: Statistics
    gamma: float
    alpha0: float
    step: int = 0

    @property
    def n_components(self) -> int:
        return self.stats.count.shape[0]

    def to(self, device: torch.device | str) -> "State":
        """The prior stays on the CPU, where it always is."""
        return replace(self, stats=self.stats.to(device))


@dataclass(frozen=True)
class Globals:
    """What the local step and the scores need of a state.

    theta (expanded_size, comp); log_beta (comp,) = E[log beta_k]; beta (comp,) float64 = E[beta_k], of which the
    components not seen so far have what is missing to one; predictive: log_density(values, log_lik); prior_theta
    (expanded_size, 1) and prior_predictive: the same of a component never seen.
    """

    theta: Tensor
    log_beta: Tensor
    beta: Tensor
    alpha0: float
    predictive: normal_wishart.Predictive | normal_gamma.Predictive
    prior_theta: Tensor
    prior_predictive: normal_wishart.Predictive | normal_gamma.Predictive
    diagonal: bool
    direct: bool


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


def family(prior: Prior) -> ModuleType:
    """The components' conjugate family: normal-Wishart, or normal-gamma with diagonal covariances."""
    return normal_gamma if prior.diagonal else normal_wishart


def song_level(direct_assignment: bool) -> ModuleType:
    """The songs' inference: by direct assignment, or with atoms on sticks of their own."""
    return direct if direct_assignment else local


def corpus_weights(atoms: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """E[log beta_k] and E[beta_k], (comp,) each, with the sticks broken in order of falling atom count."""
    order = sticks.size_order(atoms)
    log_beta, beta = torch.empty_like(atoms), torch.empty_like(atoms)
    log_beta[order] = sticks.expected_log_weights(atoms[order], gamma)
    beta[order] = sticks.expected_weights(atoms[order], gamma)
    return log_beta, beta


def prepare(state: State, dtype: torch.dtype = torch.float32) -> Globals:
    """Expectations under q of the corpus-level variables."""
    components = family(state.prior)
    posterior = components.posterior(state.prior, state.stats)
    theta = components.log_density_coefficients(posterior).to(dtype)
    log_beta, beta = corpus_weights(state.stats.atoms, state.gamma)
    unseen = components.prior_record(state.prior, theta.device)
    return Globals(
        theta,
        log_beta.to(dtype),
        beta,
        state.alpha0,
        components.predictive(posterior),
        components.log_density_coefficients(unseen).to(dtype),
        components.predictive(unseen),
        state.prior.diagonal,
        state.prior.direct,
    )


def log_likelihoods(
    model: Globals, values: Tensor, scratch: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """E[log p(x_n | phi_k)]: (frame..., dim) -> (frame..., comp), through blocks of the expanded frames.

    In memory the frames of a component are side by side. scratch: as `scratch_for` gives, to be written over; it has
    room for a block. out: room for the result, comp times the frames at least.
    """
    flat = values.reshape(-1, values.shape[-1])
    n_comp = model.theta.shape[1]
    out = values.new_empty(n_comp * len(flat)) if out is None else out[: n_comp * len(flat)]
    out = out.view(n_comp, len(flat))
    scratch = scratch_for(model, flat) if scratch is None else scratch
    for block in blocks(len(flat), scratch.shape[1]):
        torch.mm(model.theta.T, expand(flat[block], model.diagonal, scratch), out=out[:, block])
    return out.T.unflatten(0, values.shape[:-1])


def unseen_log_density(model: Globals, values: Tensor) -> Tensor:
    """log p(x_n | prior), (..., dim) -> (...) float64 nats: of a frame of a component never seen."""
    log_lik = log_likelihoods(replace(model, theta=model.prior_theta), values)
    return model.prior_predictive.log_density(values, log_lik)[..., 0]


def scratch_for(model: Globals, values: Tensor) -> Tensor:
    """Room for a block of expanded frames, (expanded_size, frame). Memory once written is much faster to write."""
    block_frames = BLOCK[values.device.type]
    return values.new_empty(model.theta.shape[0], max(1, min(block_frames, values.shape[:-1].numel())))


def infer(
    model: Globals, values: Tensor, offsets: Tensor, options: LocalOptions
) -> Iterator[tuple[Group, Posterior]]:
    """The local step of every song with frames, group by group: (group, posterior).

    values (frame, dim) of all songs one after the other; offsets (song + 1,) int64, on the CPU. The groups follow from
    the songs' lengths, and on the CPU each is one thread's, so the result does not depend on the number of threads.
    """
    return by_group(lambda group: (group, posterior_of(model, group, options)), values, offsets)


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
    shares, comps = fused.supported(rows, songs, model.log_beta, direct.n_named(options, len(model.log_beta)))
    zeta = rows.new_zeros(*comps.shape, n_frames)
    places = n_frames * torch.arange(comps.numel(), device=rows.device).view(comps.shape)
    found = fused.ascend(rows, songs, comps, shares, model.log_beta, model.alpha0, options, zeta, places)
    return direct.posterior(
        comps, found.weight, zeta, found.counts, found.bound, found.rounds, len(model.log_beta), model.alpha0
    )


def on_gpu(model: Globals, device: torch.device) -> bool:
    """Whether songs are inferred by the kernels of `fused`: by direct assignment, on CUDA with Triton."""
    return model.direct and device.type == "cuda" and importlib.util.find_spec("triton") is not None


def batch_statistics(
    model: Globals, values: Tensor, offsets: Tensor, options: LocalOptions, splash: float = 0.0
) -> tuple[Statistics, BatchInfo]:
    """Sufficient statistics of a ragged batch, unscaled, and what to log.

    splash mixes that share of a uniform distribution over components into each responsibility (the paper's
    regulariser); 0 leaves the posterior alone.
    """
    n_comp, dim, device = model.theta.shape[1], values.shape[1], values.device
    total = _total_fused if on_gpu(model, device) else _total_by_group
    sums, atoms, used, info = total(model, values, offsets, options)
    if splash:
        everything = torch.zeros(model.theta.shape[0], dtype=torch.float64, device=device)
        for block in blocks(len(values), BLOCK[device.type]):
            everything += expand(values[block], model.diagonal).sum(1, dtype=torch.float64)
        sums = (1.0 - splash) * sums + (splash / n_comp) * everything
    return contract(sums, atoms, used, dim, model.diagonal), info


Totals = tuple[Tensor, Tensor, Tensor, BatchInfo]


def _total_by_group(model: Globals, values: Tensor, offsets: Tensor, options: LocalOptions) -> Totals:
    """R^T t(X) (comp, expanded_size), draws (comp,), usage (2,), all float64, and what to log, of a batch."""

    def one(group: Group) -> tuple[Tensor, Tensor, Tensor, BatchInfo]:
        scratch = scratch_for(model, group.values)
        posterior = posterior_of(model, group, options, scratch)
        n_frames, refreshes = int(group.mask.sum()), int(posterior.refreshes.sum())
        info = BatchInfo(len(group.songs), n_frames, float(posterior.bound.sum()), refreshes)
        draws, used = posterior.component_draws().sum(0), posterior.usage.sum(0)
        return products(group.values, posterior, model.diagonal, scratch), draws, used, info

    sums = torch.zeros(model.theta.T.shape, dtype=torch.float64, device=values.device)
    atoms = torch.zeros_like(sums[:, 0])
    used, info = sums.new_zeros(2), BatchInfo()
    for part in by_group(one, values, offsets):
        sums += part[0]
        atoms += part[1]
        used += part[2]
        info += part[3]
    return sums, atoms, used, info


def _total_fused(model: Globals, values: Tensor, offsets: Tensor, options: LocalOptions) -> Totals:
    """`_total_by_group` on a GPU: chunks of whole songs one after the other, ragged as they are; nothing waits."""
    from hdpgmm.local_step import fused

    n_comp, most = len(model.log_beta), direct.n_named(options, len(model.log_beta))
    sums = torch.zeros(model.theta.T.shape, dtype=torch.float64, device=values.device)
    atoms, used, logged = torch.zeros_like(sums[:, 0]), sums.new_zeros(2), sums.new_zeros(2)
    lengths = offsets.diff()
    starts, lengths = offsets[:-1][lengths > 0], lengths[lengths > 0]
    scratch = scratch_for(model, values)
    for some in chunks(lengths.tolist(), GROUP_FRAMES["cuda"]):
        first = int(starts[some.start])
        frames = values[first : int(starts[some.stop - 1] + lengths[some.stop - 1])]
        log_lik = log_likelihoods(model, frames, scratch).T
        songs = fused.Songs(*(part[some].to(values.device) for part in (starts - first, lengths)))
        shares, comps = fused.supported(log_lik, songs, model.log_beta, most)
        responsibilities = torch.zeros_like(log_lik)
        places = comps * log_lik.stride(0) + songs.start[:, None]
        found = fused.ascend(
            log_lik, songs, comps, shares, model.log_beta, model.alpha0, options, responsibilities, places
        )
        draws, usage = direct.draws_and_usage(found.weight, found.counts, model.alpha0)
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


def blend(state: State, batch: Statistics, scale: float, rho: float) -> State:
    """Natural-gradient step (Hoffman et al. 2013, section 2.4): the statistics move by rho towards scale * batch.

    scale = songs of the corpus / songs of the batch. rho = 1 with the whole corpus is the batch update. Averaging
    statistics, not means and covariances, leaves a component absent from the batch where it is. Learned concentrations
    and a learned prior then move to their optimum given the averaged sticks and components.
    """
    if not 0.0 < rho <= 1.0:
        raise ValueError(f"rho must be in (0, 1], found {rho}")
    stats = state.stats.scaled(1.0 - rho) + batch.scaled(rho * scale)
    return with_hyperparameters(replace(state, stats=stats, step=state.step + 1))


def with_hyperparameters(state: State) -> State:
    """The state with its concentrations and its prior at their optimum, where they are learned."""
    return with_prior(with_concentrations(state))


def with_prior(state: State) -> State:
    """The prior at its optimum given the components that have frames, where it is learned."""
    if not state.prior.learned:
        return state
    components = family(state.prior)
    used = state.stats.take(torch.nonzero(state.stats.count >= EMPTY)[:, 0])
    spread = components.spread(components.posterior(state.prior, used), state.prior)
    return replace(state, prior=relearned(state.prior, spread))


def with_concentrations(state: State) -> State:
    """gamma and alpha0 at their optimum given the sticks' posteriors, where they are learned."""
    prior, gamma, alpha0 = state.prior, state.gamma, state.alpha0
    if prior.gamma.learned:
        atoms = state.stats.atoms.sort(descending=True).values
        used, log_rest = sticks.usage(atoms, gamma)
        gamma = sticks.learned(float(used), float(log_rest), prior.gamma.initial)
    if prior.alpha0.learned:
        used, log_rest = state.stats.sticks.tolist()
        alpha0 = sticks.learned(used, log_rest, prior.alpha0.initial)
    return replace(state, gamma=gamma, alpha0=alpha0)


def step_size(step: int, tau0: float, kappa: float, share: float = 1.0) -> float:
    """rho_t = (tau0 + t)^-kappa, t from 1 (Hoffman et al. 2013, equation 26), at most 1.

    A mini-batch that is only a `share` of the songs a step should rest on counts as that share of a step.
    """
    return share * min(1.0, (tau0 + share * step) ** -kappa)


def corpus_terms(state: State) -> dict[str, float]:
    """The corpus level's part of the bound, nats: minus the divergences of sticks and components from their priors.

    And the log densities of what is learned of the priors.
    """
    atoms = state.stats.atoms.sort(descending=True).values
    learned = [
        (c, v) for c, v in ((state.prior.gamma, state.gamma), (state.prior.alpha0, state.alpha0)) if c.learned
    ]
    return {
        "corpus_sticks": -float(sticks.kl_to_prior(atoms, state.gamma)),
        "components": -float(component_costs(state).sum()),
        "concentrations": math.fsum(sticks.log_hyperprior(value, c.initial) for c, value in learned),
        "prior": log_hyperpriors(state.prior),
    }


def component_costs(state: State) -> Tensor:
    """What the bound pays for each component, (comp,) nats: its divergence from the prior.

    Where frames depend on each other, it is paid as many times as frames count for one: nats of the bound are those of
    frames as they are.
    """
    components = family(state.prior)
    posterior = components.posterior(state.prior, state.stats)
    return state.prior.dependence * components.kl_to_prior(posterior, state.prior)


def corpus_bound(state: State) -> float:
    """Sum of `corpus_terms`: add it to the songs' bounds for the bound of a corpus."""
    return math.fsum(corpus_terms(state).values())


def bound_terms(state: State, values: Tensor, offsets: Tensor, options: LocalOptions) -> dict[str, float]:
    """The bound of a corpus by name, nats: `song_terms` summed over its songs, and `corpus_terms`."""
    model = prepare(state, values.dtype)
    total, level = corpus_terms(state), song_level(state.prior.direct)
    for group, posterior in infer(model, values, offsets, options):
        log_lik = log_likelihoods(model, group.values)
        terms = level.song_terms(log_lik, group.mask, model.log_beta, model.alpha0, posterior)
        for name, nats in terms.items():
            total[name] = total.get(name, 0.0) + float(nats.sum())
    return total


def effective_components(weights: Tensor, mass: float = 0.99) -> int:
    """How many of the largest components carry `mass` of the weight."""
    shares = torch.sort(weights / weights.sum(), descending=True).values.cumsum(0)
    return int((shares < mass - 1e-12).sum()) + 1


def by_group(task: Callable[[Group], Any], values: Tensor, offsets: Tensor) -> Iterator[Any]:
    """task(group) of every group of the songs, in order. A group is put together by the thread that has the task."""
    songs = partition(offsets.diff().tolist(), GROUP_FRAMES[values.device.type])
    run = in_threads if values.device.type == "cpu" else map  # a GPU has one queue
    return iter(run(lambda some: task(gather(values, offsets, some)), songs))


def in_threads(task: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """task(item) of each, in order; on as many threads as torch has, each with single-threaded products.

    Small tensor operations lose more by forking than they gain: a group on one thread runs near the core's limit, and
    two groups on two threads run at twice that. At most two results a thread are kept waiting. MKL's number of threads
    is each thread's own: a new one would begin with as many as there are cores.
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1:
        yield from map(task, items)
        return
    torch.set_num_threads(1)
    waiting: deque[Any] = deque()
    try:
        with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for item in items:
                waiting.append(pool.submit(task, item))
                if len(waiting) >= 2 * n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(n_threads)
