"""Births, the moves that the closed forms cannot propose: a component that fits better as two is split.

Proposals come from one half of a probe's songs, or groups of songs. They are judged by the songs of the other: those
that use what is split are inferred again.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hdpgmm.components.prior import Prior
from hdpgmm.components.statistics import Statistics, contract, expand
from hdpgmm.data.kmeans import lloyd, nearest, plus_plus
from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model.bound import corpus_bound
from hdpgmm.model.expectations import prepare
from hdpgmm.model.inference import infer
from hdpgmm.model.state import State, family
from hdpgmm.moves.merge_delete import Judged, Move, Probe, best_together, log_evidence
from hdpgmm.moves.song_bounds import NEW, SongBounds, nothing, song_bounds, under_trial
from hdpgmm.schedule import component_frames

SPLIT_FRAMES = 2048  # of a component, to propose its halves from


@dataclass(frozen=True)
class _Proposal:
    """Two components instead of one: their statistics, scaled to the corpus, and what they promise, nats."""

    component: int
    stats: Statistics
    gain: float


def births(
    state: State, probe: Probe, options: LocalOptions, generator: torch.Generator, most: int = 16
) -> tuple[State, list[Move]]:
    """One round of births: components that fit better as two, proposed on one half of the probe, judged on the other.

    Of the `most` best proposals those are taken with which the other half's songs, inferred again, say that the bound
    of the corpus gains. Where the probe is the corpus, that has to be so of all songs, too. Songs that propose a
    component of their own always gain by it; on music of 130 tracks such births cost 0.3 nats a held-out frame.
    """
    halves = probe.half(0), probe.half(1)
    proposals, proposing = _proposals(state, halves[0], options, generator, most)
    if not proposals:
        return state, []
    judging = song_bounds(state, halves[1].songs, options)

    def judged(kept: list[_Proposal]) -> Judged:
        split = _with_births(state, kept)
        places, old = [p.component for p in kept], [*range(state.n_components), *([NEW] * len(kept))]

        def gain(half: Probe, before: SongBounds) -> float:
            after = under_trial(before, state, split, half.songs, options, places, old)
            return float((after.bound - before.bound).sum())

        components, others = corpus_bound(split) - corpus_bound(state), gain(halves[1], judging)
        songs = halves[1].scale * others
        if songs + components > 0.0 and len(probe.songs) == probe.corpus_songs:
            songs = min(songs, others + gain(halves[0], proposing))
        return Judged(split, songs + components)

    best, kept = best_together(Judged(state, 0.0), proposals, judged)
    return best.state, [Move("birth", (p.component,), best.bound / len(kept)) for p in kept]


def _with_births(state: State, proposals: list[_Proposal]) -> State:
    parts = [part.clone() for part in state.stats.tensors()[:-1]]
    for proposal in proposals:
        for i, new in enumerate(proposal.stats.tensors()[:-1]):
            parts[i][proposal.component] = new[0]
            parts[i] = torch.cat([parts[i], new[1:]])
    return replace(state, stats=Statistics(*[*parts, state.stats.sticks]))


def _proposals(
    state: State, probe: Probe, options: LocalOptions, generator: torch.Generator, most: int
) -> tuple[list[_Proposal], SongBounds]:
    """At most `most` components that promise to gain as two, best first, and the songs' bounds as they are.

    Each of the two has to have the frames that a component needs (`schedule.component_frames`), on average.
    """
    frames, labels, owners = [], [], []
    bounds = nothing(probe.songs, state.n_components)
    model = prepare(state, probe.songs.values.dtype)
    for group, posterior in infer(model, probe.songs, options):
        bounds.put(group, posterior)
        inside = group.mask.bool()
        frames.append(group.values[inside])
        comps = posterior.varphi.argmax(2).gather(1, posterior.zeta.argmax(2))
        labels.append(comps[inside])
        owners.append(group.songs.to(inside.device)[:, None].expand_as(inside)[inside])
    if not frames:
        return [], bounds
    labels = torch.cat(labels)
    order, sizes = labels.argsort(stable=True), torch.bincount(labels, minlength=state.n_components).tolist()
    parts = zip(torch.cat(frames)[order].split(sizes), torch.cat(owners)[order].split(sizes), strict=True)
    least = 2 * component_frames(state.prior.dependence, state.prior.dim)
    large, halves = (state.stats.count >= least).tolist(), []
    for k, (part, songs) in enumerate(parts):
        if large[k] and len(part) >= 4 * (state.prior.dim + 1):
            chosen = torch.randperm(len(part), generator=generator)[:SPLIT_FRAMES].to(part.device)
            halves += _halved(state, k, part[chosen], songs[chosen], generator)
    likeliest = sorted(halves, key=lambda half: -half.proposal.gain)[: 2 * most]
    settled = (_settled(state, half) for half in likeliest)
    best: dict[int, _Proposal] = {}
    for proposal in sorted((p for p in settled if p.gain > 0.0), key=lambda p: -p.gain):
        best.setdefault(proposal.component, proposal)
    return list(best.values())[:most], bounds


@dataclass(frozen=True)
class _Half:
    """A proposal under way: the component's frames as t(x), (expanded_size, frame), and how they choose, (frame, 2)."""

    expanded: Tensor
    resp: Tensor
    proposal: _Proposal


def _halved(state: State, k: int, frames: Tensor, songs: Tensor, generator: torch.Generator) -> list[_Half]:
    """The frames of a component in two, in the space where it is round: by two means, and by their songs."""
    whitened, expanded = _rounded(frames), expand(frames, state.prior.diagonal)
    centres = lloyd(whitened, plus_plus(whitened, 2, generator), iterations=5)
    halves = []
    for second in (nearest(whitened, centres)[0], _side_by_songs(whitened, songs)):
        resp = torch.nn.functional.one_hot(second, 2).to(frames.dtype)
        halves.append(_Half(expanded, resp, _proposal(state, k, expanded, resp)))
    return halves


def _side_by_songs(whitened: Tensor, songs: Tensor) -> Tensor:
    """On which side of the mean each frame lies, (frame,) 0 or 1, in the direction in which songs' means differ most.

    Two components in one have most of their difference there, since songs mix them differently. Two means of frames in
    many dimensions do not see it: where the component is round, no direction stands out.
    """
    _, place, counts = torch.unique(songs, return_inverse=True, return_counts=True)
    sums = whitened.new_zeros(len(counts), whitened.shape[1]).index_add_(0, place, whitened)
    between = (sums / counts[:, None]).T @ sums
    direction = torch.linalg.eigh(between.double()).eigenvectors[:, -1]
    return (whitened @ direction.to(whitened.dtype) > 0.0).long()


def _settled(state: State, half: _Half, rounds: int = 5) -> _Proposal:
    """The proposal after a few rounds of a mixture of the two."""
    components, prior, resp = family(state.prior), state.prior, half.resp
    scale = float(state.stats.count[half.proposal.component]) / len(resp)
    for _ in range(rounds):
        two = _contracted(half.expanded, resp, scale, prior)
        theta = components.log_density_coefficients(components.posterior(prior, two))
        log_share = ((1.0 + resp.sum(0)) / (2.0 + len(resp))).log()
        resp = torch.softmax(half.expanded.T @ theta.to(resp.dtype) + log_share, dim=1)
    return _proposal(state, half.proposal.component, half.expanded, resp)


def _contracted(expanded: Tensor, resp: Tensor, scale: float, prior: Prior) -> Statistics:
    sums = (resp.T @ expanded.T).double() * scale
    nothing = sums.new_zeros(2)
    return contract(sums, nothing[: len(sums)], nothing, prior.dim, prior.diagonal)


def _proposal(state: State, k: int, expanded: Tensor, resp: Tensor) -> _Proposal:
    """The two components and what they promise, songs left out: frames choose by the overall shares of the two."""
    n_frames = len(resp)
    scale = float(state.stats.count[k]) / n_frames
    two = _contracted(expanded, resp, scale, state.prior)
    one = _contracted(expanded, resp.sum(1, keepdim=True), scale, state.prior)
    share = resp.mean(0, dtype=torch.float64)
    choices = torch.special.entr(resp).sum(dtype=torch.float64) - n_frames * torch.special.entr(share).sum()
    gain = float(log_evidence(state, two).sum() - log_evidence(state, one).sum() + scale * choices)
    if float(share.min()) * n_frames < state.prior.dim + 1:
        gain = -float("inf")
    return _Proposal(k, replace(two, atoms=share * state.stats.atoms[k]), gain)


def _rounded(frames: Tensor) -> Tensor:
    """Frames with zero mean and unit covariance (a little ridge keeps directions without spread finite)."""
    centred = (frames - frames.mean(0)).double()
    covariance = centred.T @ centred / len(frames)
    ridge = 1e-6 * covariance.diagonal().mean() + 1e-30
    chol = torch.linalg.cholesky(covariance + ridge * torch.eye(len(covariance), device=frames.device))
    return torch.linalg.solve_triangular(chol, centred.T, upper=False).T.to(frames.dtype)
