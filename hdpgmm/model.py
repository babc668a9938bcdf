"""State of the model and its two steps over ragged batches: state in, state and info out."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hdpgmm import normal_wishart, sticks
from hdpgmm.local import LocalOptions, SongPosterior, infer_song
from hdpgmm.normal_wishart import Predictive
from hdpgmm.prior import Prior
from hdpgmm.statistics import Statistics, add_products, contract, expand, zero_sums


@dataclass(frozen=True)
class State:
    """All that must persist: the prior and the averaged, corpus-scaled statistics; the posterior follows from them."""

    prior: Prior
    stats: Statistics
    step: int = 0

    @property
    def n_components(self) -> int:
        return self.stats.count.shape[0]


@dataclass(frozen=True)
class Globals:
    """What the local step and the scores need of a state: theta (expanded_size, comp), log_beta (comp,)."""

    predictive: Predictive
    theta: Tensor
    log_beta: Tensor
    alpha0: float


@dataclass(frozen=True)
class BatchInfo:
    """Worth logging, not state. bound: sum of the songs' local bounds, nats."""

    songs: int
    frames: int
    bound: float
    refreshes: int

    def __add__(self, other: "BatchInfo") -> "BatchInfo":
        return BatchInfo(
            self.songs + other.songs,
            self.frames + other.frames,
            self.bound + other.bound,
            self.refreshes + other.refreshes,
        )


def corpus_sticks(stats: Statistics, gamma: float) -> Tensor:
    """E[log beta_k], (comp,), with the sticks broken in order of falling atom count."""
    order = sticks.size_order(stats.atoms)
    log_beta = torch.empty_like(stats.atoms)
    log_beta[order] = sticks.expected_log_weights(stats.atoms[order], gamma)
    return log_beta


def prepare(state: State, dtype: torch.dtype = torch.float32) -> Globals:
    """Expectations under q of the corpus-level variables."""
    nw = normal_wishart.posterior(state.prior, state.stats)
    theta = normal_wishart.log_density_coefficients(nw).to(dtype)
    log_beta = corpus_sticks(state.stats, state.prior.gamma).to(dtype)
    return Globals(normal_wishart.predictive(nw), theta, log_beta, state.prior.alpha0)


def log_likelihoods(model: Globals, values: Tensor, block: int = 2048) -> Tensor:
    """E[log p(x_n | phi_k)]: (frame, dim) -> (frame, comp), through blocks of the expanded frames."""
    out = values.new_empty(values.shape[0], model.theta.shape[1])
    for start in range(0, values.shape[0], block):
        torch.mm(expand(values[start : start + block]), model.theta, out=out[start : start + block])
    return out


def infer(
    model: Globals, values: Tensor, offsets: Tensor, options: LocalOptions
) -> Iterator[tuple[slice, SongPosterior]]:
    """The local step of every song with frames, in order: (frames of the song, its posterior).

    values (frame, dim) of all songs one after the other; offsets (song + 1,) int64.
    """
    for chunk in _song_chunks(offsets.tolist()):
        log_lik = log_likelihoods(model, values[chunk[0] : chunk[-1]])
        for first, last in itertools.pairwise(chunk):
            if last > first:
                part = log_lik[first - chunk[0] : last - chunk[0]]
                yield slice(first, last), infer_song(part, model.log_beta, model.alpha0, options)


def batch_statistics(
    model: Globals, values: Tensor, offsets: Tensor, options: LocalOptions, splash: float = 0.0
) -> tuple[Statistics, BatchInfo]:
    """Sufficient statistics of a ragged batch, unscaled, and what to log.

    splash mixes that share of a uniform distribution over components into each responsibility (the paper's
    regulariser); 0 leaves the posterior alone.
    """
    n_comp, dim = model.theta.shape[1], values.shape[1]
    sums = zero_sums(n_comp, dim, values.device)
    atoms = torch.zeros(n_comp, dtype=torch.float64, device=values.device)
    info = BatchInfo(0, 0, 0.0, 0)
    for frames, song in infer(model, values, offsets, options):
        resp = song.responsibilities()
        if splash:
            resp = (1.0 - splash) * resp + splash / n_comp
        add_products(sums, resp, values[frames])
        atoms += song.varphi.sum(0, dtype=torch.float64)
        info += BatchInfo(1, frames.stop - frames.start, song.bound, song.refreshes)
    return contract(sums, atoms, dim), info


def blend(state: State, batch: Statistics, scale: float, rho: float) -> State:
    """Natural-gradient step (Hoffman et al. 2013, section 2.4): the statistics move by rho towards scale * batch.

    scale = songs of the corpus / songs of the batch. rho = 1 with the whole corpus is the batch update. Averaging
    statistics, not means and covariances, leaves a component absent from the batch where it is.
    """
    if not 0.0 < rho <= 1.0:
        raise ValueError(f"rho must be in (0, 1], found {rho}")
    return replace(
        state, stats=state.stats.scaled(1.0 - rho) + batch.scaled(rho * scale), step=state.step + 1
    )


def step_size(step: int, tau0: float, kappa: float) -> float:
    """rho_t = (tau0 + t)^-kappa, t from 1 (Hoffman et al. 2013, equation 26), at most 1."""
    return min(1.0, (tau0 + step) ** -kappa)


def corpus_kl(state: State) -> float:
    """KL of all corpus-level variables to their priors, nats: sticks and components."""
    order = sticks.size_order(state.stats.atoms)
    kl = sticks.kl_to_prior(state.stats.atoms[order], state.prior.gamma)
    nw = normal_wishart.posterior(state.prior, state.stats)
    return float(kl + normal_wishart.kl_to_prior(nw, state.prior).sum())


def effective_components(weights: Tensor, mass: float = 0.99) -> int:
    """How many of the largest components carry `mass` of the weight."""
    shares = torch.sort(weights / weights.sum(), descending=True).values.cumsum(0)
    return int((shares < mass - 1e-12).sum()) + 1


def _song_chunks(offsets: list[int], max_frames: int = 16384) -> Iterator[list[int]]:
    """Consecutive songs whose frames are scored together: lists of offsets."""
    chunk = [offsets[0]]
    for end in offsets[1:]:
        if len(chunk) > 1 and end - chunk[0] > max_frames:
            yield chunk
            chunk = [chunk[-1]]
        chunk.append(end)
    if len(chunk) > 1:
        yield chunk
