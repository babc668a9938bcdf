"""Moves the natural gradient cannot make: components merge, are deleted, or are split in two (a birth).

Each is accepted only when the bound of the corpus gains, estimated on a probe: some of its songs, or all.
Merges and deletions have a closed form given the songs' posteriors (after Hughes, Kim, Sudderth 2015); births
are judged by inferring songs again that did not help to propose them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from hdpgmm import sticks
from hdpgmm.initialise import lloyd, nearest, plus_plus
from hdpgmm.local import LocalOptions, Posterior
from hdpgmm.model import State, corpus_bound, family, infer, prepare, song_level
from hdpgmm.prior import Prior
from hdpgmm.statistics import Statistics, contract, expand

PAIRS = 512  # scored at once, each with a pooled scatter
SPLIT_FRAMES = 2048  # of a component, to propose its halves from
ATTEMPTS = 4  # to find moves of a round that raise the bound together
EMPTY = 1e-3  # frames of the corpus: a component with fewer changes no bound by as much as its rounding

J = TypeVar("J", bound="_Judged")
M = TypeVar("M")


@dataclass(frozen=True)
class Move:
    """kind: merge (the second component into the first), delete, or birth (one into two).

    components: their places in the state that the round began with. gain: nats of the corpus, the closed form's of a
    merge or deletion; a birth has its share of what its round gained.
    """

    kind: str
    components: tuple[int, ...]
    gain: float


@dataclass(frozen=True)
class Probe:
    """Songs the moves are judged on. corpus_songs: how many songs they stand for."""

    values: Tensor
    offsets: Tensor
    corpus_songs: int

    @property
    def songs(self) -> int:
        return len(self.offsets) - 1

    @property
    def scale(self) -> float:
        return self.corpus_songs / self.songs

    def take(self, songs: Tensor) -> "Probe":
        """The songs at `songs` (int64, on the CPU), which stand for as large a share of the corpus as they are here."""
        lengths = self.offsets.diff()[songs]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        starts = torch.repeat_interleave(self.offsets[songs] - offsets[:-1], lengths)
        frames = torch.arange(int(offsets[-1])) + starts
        return Probe(self.values[frames.to(self.values.device)], offsets, self.corpus_songs)

    def half(self, odd: int) -> "Probe":
        """Every second song; the whole probe where it is the whole corpus."""
        if self.songs == self.corpus_songs or self.songs < 2:
            return self
        lengths = self.offsets.diff()
        chosen = torch.arange(self.songs) % 2 == odd
        offsets = torch.cat([self.offsets[:1] * 0, lengths[chosen].cumsum(0)])
        values = self.values[torch.repeat_interleave(chosen, lengths).to(self.values.device)]
        return Probe(values, offsets, self.corpus_songs)


@dataclass(frozen=True)
class _Judged:
    """A state and its bound, nats: of the corpus, from the songs of a probe inferred again."""

    state: State
    bound: float


@dataclass(frozen=True)
class _Surveyed(_Judged):
    """With it, what its pairs and components would change if they were merged or deleted."""

    pairs: Tensor
    songs: "SongChanges"


def _best(before: J, moves: list[M], judged: Callable[[list[M]], J]) -> tuple[J, list[M]]:
    """The moves, in order of falling promise, that raise the bound together, and where they lead.

    All of them, or those halves of them that do, the more promising half first, in ATTEMPTS.
    """
    best, kept, parts = before, [], [moves] if moves else []
    for _ in range(ATTEMPTS):
        if not parts:
            break
        part = parts.pop()
        found = judged(kept + part)
        if found.bound > best.bound:
            best, kept = found, kept + part
        elif len(part) > 1:
            parts += [part[len(part) // 2 :], part[: len(part) // 2]]
    return best, kept


def reduce(
    state: State, probe: Probe, options: LocalOptions, rounds: int = 1, neighbours: int = 8
) -> tuple[State, list[Move]]:
    """Rounds of merges and deletions, until one has few: of those that promise a gain, no component in two of them.

    The promises are closed forms, for songs that keep their posteriors in a state that has their statistics, and those
    of two moves that meet in a song do not add up. What counts is the bound of the probe, inferred again.
    """

    def survey(trial: State) -> _Surveyed:
        pairs = near_pairs(trial, neighbours)
        songs = song_changes(trial, probe, options, pairs)
        return _Surveyed(trial, songs.bound + corpus_bound(trial), pairs, songs)

    state, made = _without_empty(state)
    here = survey(state)
    for _ in range(rounds):
        here, accepted = _best(
            here, _promising(here), lambda moves, of=here.state: survey(reduced(of, moves))
        )
        made += accepted
        if 10 * len(accepted) < here.state.n_components:
            break
    return here.state, made


def _without_empty(state: State) -> tuple[State, list[Move]]:
    """Components without frames go at once: all a deletion would gain is their divergence from the prior, about 0."""
    empty = state.stats.count < EMPTY
    empty[state.stats.count.argmax()] = False
    components = family(state.prior)
    kl = components.kl_to_prior(components.posterior(state.prior, state.stats), state.prior).clamp(min=0.0)
    moves = [Move("delete", (k,), float(kl[k])) for k in torch.nonzero(empty).flatten().tolist()]
    return reduced(state, moves), moves


def _promising(here: _Surveyed) -> list[Move]:
    """Merges and deletions whose closed form gains, best first, no component in two of them."""
    state, pairs = here.state, here.pairs
    merges, deletions = merge_gains(state, pairs, here.songs), delete_gains(state, here.songs)
    candidates = [
        Move("merge", tuple(pair), gain) for pair, gain in zip(pairs.tolist(), merges.tolist(), strict=True)
    ]
    candidates += [Move("delete", (k,), gain) for k, gain in enumerate(deletions.tolist())]
    near = [set() for _ in range(state.n_components)]
    for one, two in pairs.tolist():
        near[one].add(two)
        near[two].add(one)
    touched: set[int] = set()
    chosen: list[Move] = []
    for move in sorted(candidates, key=lambda move: -move.gain):
        if move.gain <= 0.0 or touched & set(move.components):
            continue
        if move.kind == "delete" and len(touched) + 1 >= state.n_components:
            continue
        chosen.append(move)
        touched |= set(move.components)
        if move.kind == "delete":
            touched |= near[move.components[0]]
    return chosen


def reduced(state: State, moves: list[Move]) -> State:
    """The state after merges and deletions of different components: statistics pooled, what is gone left out."""
    parts = [part.clone() for part in state.stats.tensors()]
    gone: list[int] = []
    for move in moves:
        gone.append(move.components[-1])
        if move.kind == "merge":
            for part in parts[:-1]:
                part[move.components[0]] += part[move.components[1]]
    kept = torch.tensor([k for k in range(state.n_components) if k not in set(gone)], device=parts[0].device)
    return replace(state, stats=Statistics(*parts).take(kept))


@dataclass(frozen=True)
class SongChanges:
    """What merges and deletions change in the songs of a corpus, estimated on a probe, nats.

    merge (pair,): change of the songs' weights and assignments; shared (pair,): draws from beta that songs with atoms
    of both save; loss (comp,): fall of the songs' bounds when each loses its atoms of a component and keeps the others;
    bound: of the songs as they are.
    """

    merge: Tensor
    shared: Tensor
    loss: Tensor
    bound: float


def song_changes(state: State, probe: Probe, options: LocalOptions, pairs: Tensor) -> SongChanges:
    """The songs' part of `merge_gains` and `delete_gains`. pairs (pair, 2)."""
    model, level = prepare(state, probe.values.dtype), song_level(state.prior.direct)
    device = probe.values.device
    merge, shared = (torch.zeros(len(pairs), dtype=torch.float64, device=device) for _ in range(2))
    loss, bound = torch.zeros(state.n_components, dtype=torch.float64, device=device), 0.0
    for group, posterior in infer(model, probe.values, probe.offsets, options):
        bound += float(posterior.bound.sum())
        comps = _named(posterior)
        forgotten = level.removal_changes(posterior, model.log_beta, state.alpha0)
        loss += _losses(posterior, comps, group.mask, forgotten, state.n_components)
        song, pair, one, two = _meetings(comps, pairs, state.n_components)
        change, draws = level.merge_changes(posterior, model.log_beta, state.alpha0, song, one, two)
        merge.index_add_(0, pair, change + _entropy_changes(posterior.zeta, song, one, two))
        shared.index_add_(0, pair, -draws)
    scale = probe.scale
    return SongChanges(scale * merge, scale * shared, scale * loss, scale * bound)


def _named(posterior: Posterior) -> Tensor:
    """The component each atom is certain of, (song, atom); -1 for atoms that are not in use or not certain."""
    weight, comps = posterior.varphi.max(2)
    return torch.where((weight > 0.99) & (posterior.counts > 0.0), comps, -1)


def _losses(posterior: Posterior, comps: Tensor, mask: Tensor, forgotten: Tensor, n_comp: int) -> Tensor:
    """-sum_n log(1 - zeta_nt) - forgotten_t by the component of t, (comp,). Uncertain atoms: where they weigh most.

    1 - zeta of the frame's largest atom is summed from the others: it may be 1e-30.
    """
    zeta = posterior.zeta
    largest = zeta.max(2, keepdim=True)
    others = zeta.scatter(2, largest.indices, 0.0).sum(2, keepdim=True)
    left = torch.log1p(-zeta).scatter(2, largest.indices, others.log()) * mask[:, :, None].bool()
    lost = (
        -torch.where(zeta > 0.0, left, 0.0).nan_to_num(nan=0.0, neginf=-torch.inf).sum(1, dtype=torch.float64)
    )
    names = torch.where(comps >= 0, comps, posterior.varphi.argmax(2))
    lost = torch.where(posterior.counts > 0.0, lost - forgotten, 0.0)
    return lost.new_zeros(n_comp).index_add_(0, names.flatten(), lost.flatten())


def _meetings(comps: Tensor, pairs: Tensor, n_comp: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where both components of a pair have an atom in one song: (song, pair, atom of one, atom of the other)."""
    n_songs, n_atoms = comps.shape
    place = comps.new_full((n_songs, n_comp + 1), -1)
    place.scatter_(
        1, comps.where(comps >= 0, n_comp), torch.arange(n_atoms, device=comps.device).expand_as(comps)
    )
    one, two = place[:, pairs[:, 0]], place[:, pairs[:, 1]]
    song, pair = torch.nonzero((one >= 0) & (two >= 0), as_tuple=True)
    return song, pair, one[song, pair], two[song, pair]


def _entropy_changes(zeta: Tensor, song: Tensor, one: Tensor, two: Tensor, block: int = 1024) -> Tensor:
    """Change of a song's assignment entropy when frames no longer choose between two of its atoms, (meeting,)."""
    changes = [zeta.new_zeros(0, dtype=torch.float64)]
    for start in range(0, len(song), block):
        s, a, b = (index[start : start + block] for index in (song, one, two))
        first, second = zeta[s, :, a], zeta[s, :, b]
        both = first + second
        entropy = torch.xlogy(both, both) - torch.xlogy(first, first) - torch.xlogy(second, second)
        changes.append(-entropy.sum(1, dtype=torch.float64))
    return torch.cat(changes)


def merge_gains(state: State, pairs: Tensor, songs: SongChanges) -> Tensor:
    """Change of the bound when the components of each pair are pooled and songs that have both join the atoms, (pair,).

    Components: the evidence of the pooled statistics against the two. Corpus sticks: atoms add, less those joined.
    """
    one, two = pairs.T
    own = log_evidence(state, state.stats)
    blocks = zip(one.split(PAIRS), two.split(PAIRS), strict=True)
    pooled = torch.cat([log_evidence(state, state.stats.take(a) + state.stats.take(b)) for a, b in blocks])
    atoms = state.stats.atoms.repeat(len(pairs), 1)
    row = torch.arange(len(pairs), device=atoms.device)
    joined = atoms[row, one] + atoms[row, two] - songs.shared
    atoms[row, one] = torch.maximum(joined, torch.maximum(atoms[row, one], atoms[row, two]))
    atoms[row, two] = 0.0
    return pooled - own[one] - own[two] + _stick_gain(state, atoms) + songs.merge


def delete_gains(state: State, songs: SongChanges) -> Tensor:
    """Change of the bound when a component goes and each song keeps its other atoms, (comp,). A last one never goes."""
    components = family(state.prior)
    kl = components.kl_to_prior(components.posterior(state.prior, state.stats), state.prior)
    n_comp = state.n_components
    if n_comp < 2:
        return torch.full((n_comp,), -torch.inf, dtype=torch.float64)
    atoms = state.stats.atoms.repeat(n_comp, 1)
    atoms.fill_diagonal_(0.0)
    return kl + _stick_gain(state, atoms) - songs.loss


def log_evidence(state: State, stats: Statistics) -> Tensor:
    """log of the marginal likelihood of the frames of each component, up to the 2 pi of the data, (comp,) nats.

    At its optimum, q(mu, Lambda) contributes E[log p(x)] - KL = log Z(posterior) - log Z(prior).
    """
    components = family(state.prior)
    own = components.log_normaliser(components.posterior(state.prior, stats))
    return own - components.log_normaliser(components.prior_record(state.prior, own.device))


def _stick_gain(state: State, atoms: Tensor) -> Tensor:
    """Change of the corpus sticks' evidence when the atom counts become those of each row of (row, comp)."""
    ordered = torch.cat([state.stats.atoms[None], atoms]).sort(dim=1, descending=True).values
    evidence = sticks.evidence(ordered, state.gamma)
    return evidence[1:] - evidence[0]


def near_pairs(state: State, neighbours: int) -> Tensor:
    """Pairs (pair, 2) of each component and its nearest, by the evidence their pooled statistics would lose."""
    n_comp = state.n_components
    if n_comp < 2:
        return torch.zeros(0, 2, dtype=torch.int64, device=state.stats.count.device)
    divergence = symmetric_divergence(state)
    divergence.fill_diagonal_(torch.inf)
    near = divergence.topk(min(neighbours, n_comp - 1), largest=False).indices
    own = torch.arange(n_comp, device=near.device)[:, None].expand_as(near)
    pairs = torch.stack([torch.minimum(own, near), torch.maximum(own, near)], dim=-1).flatten(0, 1)
    return pairs.unique(dim=0)


def symmetric_divergence(state: State) -> Tensor:
    """Kullback-Leibler divergence between the expected Gaussians, both ways, (comp, comp), up to a constant."""
    components = family(state.prior)
    posterior = components.posterior(state.prior, state.stats)
    cross = components.expected_moments(posterior) @ components.log_density_coefficients(posterior)
    own = cross.diagonal()
    return own[:, None] + own[None, :] - cross - cross.T


def births(
    state: State, probe: Probe, options: LocalOptions, generator: torch.Generator, most: int = 16
) -> tuple[State, list[Move]]:
    """One round of births: components that fit better as two, proposed on one half of the probe, judged on the other.

    Of the `most` best proposals those are taken with which the other half's songs, inferred again, say that the bound
    of the corpus gains.
    """
    proposals = _proposals(state, probe.half(0), options, generator, most)
    if not proposals:
        return state, []
    judges = probe.half(1)

    def judged(kept: list[_Proposal]) -> _Judged:
        split = _with_births(state, kept)
        return _Judged(split, _bound(split, judges, options))

    before = judged([])
    best, kept = _best(before, proposals, judged)
    return best.state, [Move("birth", (p.component,), (best.bound - before.bound) / len(kept)) for p in kept]


@dataclass(frozen=True)
class _Proposal:
    """Two components instead of one: their statistics, scaled to the corpus, and what they promise, nats."""

    component: int
    stats: Statistics
    gain: float


def _bound(state: State, probe: Probe, options: LocalOptions) -> float:
    """Of the corpus, nats, from the songs of the probe."""
    model = prepare(state, probe.values.dtype)
    songs = infer(model, probe.values, probe.offsets, options)
    return probe.scale * sum(float(posterior.bound.sum()) for _, posterior in songs) + corpus_bound(state)


def _with_births(state: State, proposals: list[_Proposal]) -> State:
    parts = [part.clone() for part in state.stats.tensors()[:-1]]
    for proposal in proposals:
        for i, new in enumerate(proposal.stats.tensors()[:-1]):
            parts[i][proposal.component] = new[0]
            parts[i] = torch.cat([parts[i], new[1:]])
    return replace(state, stats=Statistics(*[*parts, state.stats.sticks]))


def _proposals(
    state: State, probe: Probe, options: LocalOptions, generator: torch.Generator, most: int
) -> list[_Proposal]:
    """At most `most` components that promise to gain as two, best first."""
    frames, labels = [], []
    model = prepare(state, probe.values.dtype)
    for group, posterior in infer(model, probe.values, probe.offsets, options):
        inside = group.mask.bool()
        frames.append(group.values[inside])
        comps = posterior.varphi.argmax(2).gather(1, posterior.zeta.argmax(2))
        labels.append(comps[inside])
    if not frames:
        return []
    values, labels = torch.cat(frames), torch.cat(labels)
    order = labels.argsort(stable=True)
    parts = values[order].split(torch.bincount(labels, minlength=state.n_components).tolist())
    halves = []
    for k, part in enumerate(parts):
        if len(part) >= 4 * (state.prior.dim + 1):
            chosen = torch.randperm(len(part), generator=generator)[:SPLIT_FRAMES].to(part.device)
            halves.append(_halved(state, k, part[chosen], generator))
    likeliest = sorted(halves, key=lambda half: -half.proposal.gain)[:most]
    found = [_settled(state, half) for half in likeliest]
    return sorted((p for p in found if p.gain > 0.0), key=lambda p: -p.gain)


@dataclass(frozen=True)
class _Half:
    """A proposal under way: the component's frames as t(x), (expanded_size, frame), and how they choose, (frame, 2)."""

    expanded: Tensor
    resp: Tensor
    proposal: _Proposal


def _halved(state: State, k: int, frames: Tensor, generator: torch.Generator) -> _Half:
    """The frames of a component in two by two means in the space where it is round."""
    whitened = _rounded(frames)
    centres = lloyd(whitened, plus_plus(whitened, 2, generator), iterations=5)
    resp = torch.nn.functional.one_hot(nearest(whitened, centres)[0], 2).to(frames.dtype)
    expanded = expand(frames, state.prior.diagonal)
    return _Half(expanded, resp, _proposal(state, k, expanded, resp))


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
