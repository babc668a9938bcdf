"""Moves the natural gradient cannot make, and what judges them: components merge or are deleted.

Each is accepted only when the bound of the corpus gains, estimated on a probe: some of its songs, or all.
Merges and deletions have a closed form given the songs' posteriors (after Hughes, Kim, Sudderth 2015). Components
split in two in hdpgmm.moves.births.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from hdpgmm.components import sticks
from hdpgmm.components.statistics import Statistics
from hdpgmm.local_step.posterior import LocalOptions, Posterior
from hdpgmm.model.bound import component_costs, corpus_bound
from hdpgmm.model.expectations import prepare
from hdpgmm.model.inference import infer, song_level
from hdpgmm.model.state import EMPTY, State, family
from hdpgmm.moves.song_bounds import SongBounds, nothing
from hdpgmm.ragged import Ragged

PAIRS = 512  # scored at once, each with a pooled scatter
ATTEMPTS = 4  # to find moves of a round that raise the bound together

J = TypeVar("J", bound="Judged")
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
    """Songs (frame, dim) the moves are judged on. corpus_songs: how many songs they stand for.

    groups: int64 (song,) on the CPU, whose songs are whose (an artist's, an album's); None: every song is its own.
    """

    songs: Ragged[Tensor]
    corpus_songs: int
    groups: Tensor | None = None

    @property
    def scale(self) -> float:
        return self.corpus_songs / len(self.songs)

    def take(self, songs: Tensor) -> "Probe":
        """The songs at `songs` (int64, on the CPU), which stand for the same corpus."""
        groups = None if self.groups is None else self.groups[songs]
        return replace(self, songs=self.songs.take(songs), groups=groups)

    @property
    def group_numbers(self) -> Tensor:
        """0, 1, ... of the groups, int64 (song,), in the order in which their first songs come."""
        if self.groups is None:
            return torch.arange(len(self.songs))
        numbers: dict[int, int] = {}
        return torch.tensor([numbers.setdefault(group, len(numbers)) for group in self.groups.tolist()])

    def half(self, odd: int) -> "Probe":
        """The songs of every second group, from the first or the second on; of one group every second song.

        Of one song both halves are that song.
        """
        numbers = self.group_numbers
        if not bool((numbers > 0).any()):
            numbers = torch.arange(len(self.songs))
        return self.take(torch.nonzero(numbers % 2 == odd % min(2, len(self.songs)))[:, 0])


@dataclass(frozen=True)
class Judged:
    """A state and its bound, nats: of the corpus, from the songs of a probe inferred again."""

    state: State
    bound: float


@dataclass(frozen=True)
class Surveyed(Judged):
    """With it, what its pairs and components would change if they were merged or deleted."""

    pairs: Tensor
    songs: "SongChanges"


def best_together(before: J, moves: list[M], judged: Callable[[list[M]], J]) -> tuple[J, list[M]]:
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


def survey(state: State, probe: Probe, options: LocalOptions, neighbours: int = 8) -> Surveyed:
    """What merging a component with each of its nearest `neighbours`, or deleting it, would change in the songs."""
    pairs = near_pairs(state, neighbours)
    songs = song_changes(state, probe, options, pairs)
    return Surveyed(state, songs.bound + corpus_bound(state), pairs, songs)


def reduce(state: State, probe: Probe, options: LocalOptions, rounds: int = 1) -> tuple[Surveyed, list[Move]]:
    """Rounds of merges and deletions, until one has few: of those that promise a gain, no component in two of them.

    The promises are closed forms, for songs that keep their posteriors in a state that has their statistics, and those
    of two moves that meet in a song do not add up. What counts is the bound of the probe, inferred again.
    """
    state, made = _without_empty(state)
    here = survey(state, probe, options)
    for _ in range(rounds):
        here, accepted = best_together(
            here, _promising(here), lambda moves, of=here.state: survey(reduced(of, moves), probe, options)
        )
        made += accepted
        if 10 * len(accepted) < here.state.n_components:
            break
    return here, made


def _without_empty(state: State) -> tuple[State, list[Move]]:
    """Components without frames go at once: all a deletion would gain is their divergence from the prior, about 0."""
    empty = state.stats.count < EMPTY
    empty[state.stats.count.argmax()] = False
    costs = component_costs(state).clamp(min=0.0)
    moves = [Move("delete", (k,), float(costs[k])) for k in torch.nonzero(empty).flatten().tolist()]
    return reduced(state, moves), moves


def _promising(here: Surveyed) -> list[Move]:
    """Merges and deletions whose closed form gains, best first, no component in two of them."""
    state, pairs = here.state, here.pairs
    merges, deletions = merge_gains(state, pairs, here.songs), delete_gains(state, here.songs)
    candidates = [
        Move("merge", tuple(pair), gain) for pair, gain in zip(pairs.tolist(), merges.tolist(), strict=True)
    ]
    candidates += [Move("delete", (k,), gain) for k, gain in enumerate(deletions.tolist())]
    near = neighbours_of(pairs, state.n_components)
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
    bound: of the songs as they are; each: song by song, of the probe.
    """

    merge: Tensor
    shared: Tensor
    loss: Tensor
    bound: float
    each: SongBounds


def song_changes(state: State, probe: Probe, options: LocalOptions, pairs: Tensor) -> SongChanges:
    """The songs' part of `merge_gains` and `delete_gains`. pairs (pair, 2)."""
    values = probe.songs.values
    model, level, device = prepare(state, values.dtype), song_level(state.prior.direct), values.device
    merge, shared = (torch.zeros(len(pairs), dtype=torch.float64, device=device) for _ in range(2))
    loss, bound = torch.zeros(state.n_components, dtype=torch.float64, device=device), 0.0
    each = nothing(probe.songs, state.n_components)
    for group, posterior in infer(model, probe.songs, options):
        bound += float(posterior.bound.sum())
        each.put(group, posterior)
        comps = _named(posterior)
        forgotten = level.removal_changes(posterior, model.log_beta, state.alpha0)
        loss += song_losses(posterior, group.mask, forgotten, state.n_components).sum(0)
        song, pair, one, two = _meetings(comps, pairs, state.n_components)
        change, draws = level.merge_changes(posterior, model.log_beta, state.alpha0, song, one, two)
        merge.index_add_(0, pair, change + _entropy_changes(posterior.zeta, song, one, two))
        shared.index_add_(0, pair, -draws)
    scale = probe.scale
    return SongChanges(scale * merge, scale * shared, scale * loss, scale * bound, each)


def _named(posterior: Posterior) -> Tensor:
    """The component each atom is certain of, (song, atom); -1 for atoms that are not in use or not certain."""
    weight, comps = posterior.varphi.max(2)
    return torch.where((weight > 0.99) & (posterior.counts > 0.0), comps, -1)


def song_losses(posterior: Posterior, mask: Tensor, forgotten: Tensor, n_comp: int) -> Tensor:
    """Fall of each song's bound when it loses its atoms of a component and keeps the others, (song, comp) nats.

    -sum_n log(1 - zeta_nt) - forgotten_t by the component of t. Uncertain atoms: where they weigh most.

    1 - zeta of the frame's largest atom is summed from the others: it may be 1e-30.
    """
    zeta = posterior.zeta
    largest = zeta.max(2, keepdim=True)
    others = zeta.scatter(2, largest.indices, 0.0).sum(2, keepdim=True)
    left = torch.log1p(-zeta).scatter(2, largest.indices, others.log()) * mask[:, :, None].bool()
    lost = (
        -torch.where(zeta > 0.0, left, 0.0).nan_to_num(nan=0.0, neginf=-torch.inf).sum(1, dtype=torch.float64)
    )
    names = posterior.varphi.argmax(2)
    lost = torch.where(posterior.counts > 0.0, lost - forgotten, 0.0)
    return lost.new_zeros(len(names), n_comp).scatter_add_(1, names, lost)


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
    return deletion_gains(state, songs.loss)


def deletion_gains(state: State, loss: Tensor) -> Tensor:
    """The same with what the songs lose, (comp,) nats, given."""
    n_comp = state.n_components
    if n_comp < 2:
        return torch.full((n_comp,), -torch.inf, dtype=torch.float64)
    atoms = state.stats.atoms.repeat(n_comp, 1)
    atoms.fill_diagonal_(0.0)
    return component_costs(state) + _stick_gain(state, atoms) - loss


def log_evidence(state: State, stats: Statistics) -> Tensor:
    """log of the marginal likelihood of the frames of each component, up to the 2 pi of the data, (comp,) nats.

    At its optimum, q(mu, Lambda) contributes E[log p(x)] - KL = log Z(posterior) - log Z(prior); for every independent
    frame's worth of them, where frames depend on each other.
    """
    components, prior = family(state.prior), state.prior
    own = components.log_normaliser(components.posterior(prior, stats))
    return prior.dependence * (own - components.log_normaliser(components.prior_record(prior, own.device)))


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


def neighbours_of(pairs: Tensor, n_comp: int) -> list[set[int]]:
    """The components that each one makes a pair (pair, 2) with."""
    near: list[set[int]] = [set() for _ in range(n_comp)]
    for one, two in pairs.tolist():
        near[one].add(two)
        near[two].add(one)
    return near


def symmetric_divergence(state: State) -> Tensor:
    """Kullback-Leibler divergence between the expected Gaussians, both ways, (comp, comp), up to a constant."""
    components = family(state.prior)
    posterior = components.posterior(state.prior, state.stats)
    cross = components.expected_moments(posterior) @ components.log_density_coefficients(posterior)
    own = cross.diagonal()
    return own[:, None] + own[None, :] - cross - cross.T
