"""The exact evidence of a tiny corpus under the infinite HDP Gaussian mixture: its Chinese restaurant franchise, whole.

With the sticks integrated out, the frames of a song sit at tables, a partition from the Chinese restaurant process of
alpha0, and the tables of all songs share dishes, a partition from that of gamma (Teh, Jordan, Beal, Blei 2006, section
4.1). Every pair of partitions is written down, so six frames are about the limit: 203 ways to serve six tables.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import stats

from tests.oracles.elbo import Hyper

Blocks = list[list[int]]


def log_evidence(songs: Sequence[np.ndarray], hyper: Hyper) -> float:
    """log p(frames | gamma, alpha0), nats; songs: the one-dimensional frames of each, (frame,)."""
    frames = np.concatenate(songs)
    ends = np.cumsum([len(song) for song in songs]).tolist()
    starts = [0, *ends[:-1]]

    @functools.cache
    def dish(own: tuple[int, ...]) -> float:
        return marginal(frames[list(own)].tolist(), hyper)

    seatings = [partitions(range(a, b)) for a, b in zip(starts, ends, strict=True)]
    return float(
        np.logaddexp.reduce([_seated(seated, hyper, dish) for seated in itertools.product(*seatings)])
    )


def _seated(seated: tuple[Blocks, ...], hyper: Hyper, dish: Callable[[tuple[int, ...]], float]) -> float:
    """log of the probability of one seating of every song, times its frames' over every choice of dishes."""
    tables = [table for song in seated for table in song]
    terms = []
    for served in partitions(range(len(tables))):
        shared = [tuple(sorted(itertools.chain(*(tables[t] for t in block)))) for block in served]
        terms.append(log_partition(served, float(hyper.gamma)) + sum(map(dish, shared)))
    seats = sum(log_partition(song, float(hyper.alpha0)) for song in seated)
    return float(seats + np.logaddexp.reduce(terms))


def partitions(items: Sequence[int]) -> list[Blocks]:
    """Every partition of the items into blocks."""
    return list(_partitions(list(items)))


def _partitions(items: list[int]) -> Iterator[Blocks]:
    if not items:
        yield []
        return
    for blocks in _partitions(items[:-1]):
        yield [*blocks, items[-1:]]
        for i, block in enumerate(blocks):
            yield [*blocks[:i], [*block, items[-1]], *blocks[i + 1 :]]


def log_partition(blocks: Blocks, concentration: float) -> float:
    """log of concentration^blocks prod (size - 1)! Gamma(concentration) / Gamma(concentration + items)."""
    items = sum(map(len, blocks))
    sizes = sum(math.lgamma(len(block)) for block in blocks)
    rest = math.lgamma(concentration) - math.lgamma(concentration + items)
    return len(blocks) * math.log(concentration) + sizes + rest


def marginal(frames: Sequence[float], hyper: Hyper) -> float:
    """log p(frames) of one component, mean and precision integrated out: Student-t after Student-t (Murphy 2007)."""
    mean, strength = float(hyper.mean[0]), hyper.strength
    dof, scale_inv, total = hyper.dof, hyper.scale_inv.item(), 0.0
    for x in frames:
        total += stats.t.logpdf(x, dof, mean, np.sqrt(scale_inv * (strength + 1) / (strength * dof)))
        scale_inv += strength / (strength + 1) * (x - mean) ** 2
        mean += (x - mean) / (strength + 1)
        strength, dof = strength + 1, dof + 1
    return float(total)
