"""Which labels hold for a component, and how well those of one half of the songs do on the other.

Songs are halved by group. On one half each component is named after the label with the largest NPMI; the other
tests how well the component's share tells the songs with that label from those without. Both halves take both parts.
Beside it all is done with components whose songs are shuffled.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from evaluation.interpretation.association import npmi, permutation_p
from evaluation.interpretation.tally import tally


@dataclass(frozen=True)
class Named:
    """Names and how they hold, one row a component and half: (component, 2).

    label: its place, -1 where no label has songs enough; auroc, npmi: on the other half, nan where it lacks the label.
    """

    label: np.ndarray
    auroc: np.ndarray
    npmi: np.ndarray

    @property
    def mean_auroc(self) -> float:
        """Over components and halves."""
        return float(np.nanmean(self.auroc)) if not np.isnan(self.auroc).all() else float("nan")

    @property
    def coherence(self) -> float:
        """Mean held-out NPMI of a component with its name."""
        return float(np.nanmean(self.npmi)) if not np.isnan(self.npmi).all() else float("nan")

    @property
    def diversity(self) -> float:
        """Different names a component: 1 where no two share one."""
        known = [column[column >= 0] for column in self.label.T]
        return float(np.mean([len(set(column.tolist())) / max(1, len(column)) for column in known]))


def halves(n_songs: int, groups: np.ndarray | None, seed: int) -> np.ndarray:
    """bool (song,): about half of the songs, groups whole."""
    codes = np.arange(n_songs) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(codes)
    order = np.random.default_rng([seed, n_songs]).permutation(len(sizes))
    first = np.zeros(len(sizes), dtype=bool)
    first[order[: np.searchsorted(sizes[order].cumsum(), n_songs / 2) + 1]] = len(sizes) > 1
    return first[codes]


def name_and_check(shares: np.ndarray, members: np.ndarray, first: np.ndarray, min_songs: int) -> Named:
    """shares (song, component), members bool (label, song), first bool (song,).

    A label that fewer than `min_songs` songs of a half have gives no name there.
    """
    columns = [_check(shares, members, half, ~half, min_songs) for half in (first, ~first)]
    return Named(*(np.stack(parts, axis=1) for parts in zip(*columns, strict=True)))


def holding(
    shares: np.ndarray,
    members: np.ndarray,
    groups: np.ndarray | None,
    first: np.ndarray,
    permutations: int,
    seed: int,
    level: float = 0.05,
) -> np.ndarray:
    """Which labels hold for a component: bool (label, component), as a name that people may trust.

    Three things at once. Groups of songs, artists, are dealt to labels at random, `permutations` times: p of the label
    for the component, corrected for the best of all labels (`permutation_p`). Components: those p, of each one's best
    label, pass where at most `level` of the components named would be by chance (Benjamini, Hochberg 1995). And the
    label is true of both halves of the groups, each by itself at `level`: the component's share tells songs with it
    from those without (Mann-Whitney). The arguments are those of `permutation_p` and `name_and_check`.
    """
    p = permutation_p(shares, members, groups, permutations, seed)
    found = p <= discovered(p.min(axis=0, initial=1.0), level)
    for label, component in zip(*found.nonzero(), strict=True):
        ps = [mann_whitney(shares[half, component], members[label, half])[1] for half in (first, ~first)]
        found[label, component] = bool(np.all(np.nan_to_num(ps, nan=1.0) < level))
    return found


def discovered(p: np.ndarray, level: float) -> float:
    """The largest of these p that may be called a discovery at a false discovery rate of `level`; -1 where none may.

    The i-th smallest of n passes where it is at most level i / n (Benjamini, Hochberg 1995).
    """
    ordered = np.sort(p)
    passed = ordered <= level * np.arange(1, len(p) + 1) / len(p)
    return float(ordered[passed][-1]) if passed.any() else -1.0


def shuffled(shares: np.ndarray, seed: int) -> np.ndarray:
    """The same shares with the songs of each component permuted: what names and coherence chance gives."""
    return np.random.default_rng(seed).permuted(shares, axis=0)


def _check(
    shares: np.ndarray, members: np.ndarray, naming: np.ndarray, held_out: np.ndarray, min_songs: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    parts = [tally(shares[half], np.ones(half.sum()), members[:, half]) for half in (naming, held_out)]
    given, found = (npmi(part) for part in parts)
    usable = (parts[0].members >= min_songs) & (parts[0].members < naming.sum())
    label = (
        np.where(usable[:, None], given, -np.inf).argmax(0) if usable.any() else np.full(shares.shape[1], -1)
    )
    label = np.where(shares[naming].sum(0) > 0, label, -1)
    auroc = np.full(shares.shape[1], np.nan)
    held = np.full(shares.shape[1], np.nan)
    for component, place in enumerate(label):
        if place >= 0:
            auroc[component], _ = mann_whitney(shares[held_out, component], members[place, held_out])
            held[component] = found[place, component]
    return label, auroc, np.where(np.isnan(auroc), np.nan, held)


def mann_whitney(values: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """AUROC of values (song,) for positive bool (song,), and the one-sided p that it is above 1/2.

    Both are nan where there are not songs of both kinds.

    Ties count one half; the normal approximation with the tie correction and without continuity (Hollander 2014, 4.1).
    """
    n, n1 = len(values), int(positive.sum())
    if n1 in (0, n):
        return float("nan"), float("nan")
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2.0)[inverse]
    u = ranks[positive].sum() - n1 * (n1 + 1) / 2.0
    pairs = float(n1 * (n - n1))
    ties = float((counts.astype(np.float64) ** 3 - counts).sum())
    variance = pairs / 12.0 * (n + 1 - ties / (n * (n - 1.0)))
    z = (u - pairs / 2.0) / np.sqrt(variance) if variance > 0 else 0.0
    return u / pairs, float(norm.sf(z))
