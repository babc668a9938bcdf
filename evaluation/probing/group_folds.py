"""Groups dealt to folds at random: as balanced as scikit-learn's StratifiedGroupKFold, and other folds each time.

StratifiedGroupKFold deals the most one-sided groups first, each to the fold that it suits best, so that its repeats are
nearly one split. Here an assignment is drawn with probability exp(-imbalance / temperature) by Gibbs sampling: groups
are dealt in random order, then each is taken back and dealt again, several times over.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

ROUNDS = 4  # how often every group is taken back and dealt again
LOOSENESS = (0.01, 0.03, 0.06, 0.12, 0.2, 0.3, 0.45, 0.7, 1.0, 1.5)  # tried in order
ATTEMPTS, FEW = 10, 200  # at each of them, with so many groups; fewer with more
FACTOR = 1.5  # how much more alike than folds drawn for each group alone repeats may be; equal folds cost some of it


def deal_repeats(counts: np.ndarray, sizes: np.ndarray, folds: int, seeds: Sequence[int]) -> np.ndarray:
    """The fold of each group in every repeat, int64 (repeat, group), a repeat for each seed.

    counts (group, label): a group's songs of each label; sizes (group,): all its songs. Repeats that are too much alike
    (FACTOR) are dealt again, then more loosely, as it takes with few groups or some large ones.
    """
    attempts = min(ATTEMPTS, 1 + ATTEMPTS * FEW // len(sizes))
    most, dealt = FACTOR * alike_alone(sizes, folds), np.zeros((len(seeds), len(sizes)), dtype=np.int64)
    for number, looseness in enumerate(np.repeat(LOOSENESS, attempts).tolist()):
        generators = [np.random.default_rng([seed, number]) for seed in seeds]
        dealt = np.array([deal(counts, sizes, folds, looseness, rng) for rng in generators])
        if len(seeds) < 2 or alike(dealt, sizes) <= most:
            break
    return dealt


def deal(
    counts: np.ndarray, sizes: np.ndarray, folds: int, looseness: float, rng: np.random.Generator
) -> np.ndarray:
    """The fold of each group, int64 (group,); no fold is empty where there are as many groups.

    imbalance = sum_fc (n_fc - N_c / folds)^2 / N_c over folds f and labels c: Pearson's chi-squared of folds and labels
    but for a factor; and of all songs, which weigh half as much as their labels together. looseness: the temperature in
    units of that at which folds drawn for each group alone have their imbalance: 0 would be the best balance, 1 half as
    unbalanced as they are. A draw with an empty fold is made again, half as loose.
    """
    songs = np.column_stack([counts, sizes]).astype(np.float64)
    share = songs / np.maximum(songs.sum(axis=0), 1.0)
    share[:, -1] *= 0.5 * max(float(counts.sum()), 1.0) / sizes.sum()
    # Of independent folds (folds - 1) / folds sum(songs share), half a temperature for each degree of freedom.
    unit = 2.0 * (songs * share).sum() / (folds * songs.shape[1])
    while True:
        found = _gibbs(songs, share / (looseness * unit), folds, rng)
        if len(np.unique(found)) == min(folds, len(songs)):
            return found
        looseness /= 2.0


def _gibbs(songs: np.ndarray, pull: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """In fold f with n_f songs a group of x songs adds 2 n_f x / N to the imbalance, and what is the same in all."""
    found, held = np.full(len(songs), -1), np.zeros((folds, songs.shape[1]))
    for _ in range(1 + ROUNDS):
        for group, draw in zip(rng.permutation(len(songs)), rng.random(len(songs)), strict=True):
            if found[group] >= 0:
                held[found[group]] -= songs[group]
            added = 2.0 * (held @ pull[group])
            likely = np.exp(added.min() - added).cumsum()
            fold = int(likely.searchsorted(draw * likely[-1], side="right"))
            found[group] = fold
            held[fold] += songs[group]
    return found


def alike(dealt: np.ndarray, sizes: np.ndarray) -> float:
    """Mean adjusted Rand index (Hubert, Arabie 1985) between repeats (repeat, group) over the groups' songs.

    1 where all are the same split, 0 where they agree no more than songs dealt one by one; nan for a single one.
    """
    found = list(_rand_indices(dealt, sizes.astype(np.float64)))
    return float(np.mean(found)) if found else float("nan")


def alike_alone(sizes: np.ndarray, folds: int) -> float:
    """What `alike` is, within some percent, of folds drawn for each group alone.

    Two songs of one group, p of all pairs, are in one fold in both repeats, two others with probability 1 / folds each.
    """
    p, q = _pairs(sizes.astype(np.float64)) / max(_pairs(sizes.sum(dtype=np.float64)), 1.0), 1.0 / folds
    return p * (1.0 - q) / (p + (1.0 - p) * q)


def _rand_indices(dealt: np.ndarray, sizes: np.ndarray) -> Iterator[float]:
    folds = int(dealt.max(initial=0)) + 1
    for one, other in combinations(dealt, 2):
        table = np.bincount(folds * one + other, sizes, minlength=folds**2).reshape(folds, folds)
        both, mine, theirs, all_ = map(_pairs, (table, table.sum(axis=1), table.sum(axis=0), table.sum()))
        expected, most = mine * theirs / max(all_, 1.0), 0.5 * (mine + theirs)
        yield (both - expected) / (most - expected) if most > expected else 1.0


def _pairs(songs: np.ndarray) -> float:
    return float((songs * (songs - 1.0)).sum()) / 2.0
