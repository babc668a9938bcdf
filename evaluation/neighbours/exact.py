"""Songs like a song: the largest cosines of centred vectors, exactly, in one pass over blocks of songs.

Vectors are centred, because what all songs have in common says nothing about which are alike; as in `recommend`.
A cosine is a sum over the numbers of the two vectors, so over components, each of which has some of them: these terms
say which components make it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

DECIMALS = 6  # of a cosine that float32 vectors have
PRODUCTS = 1e-5  # that a float32 product of blocks may be off, in an order that the blocks' sizes decide
Block = tuple[Sequence[str], np.ndarray]  # track ids and their vectors (song, dim)


@dataclass(frozen=True)
class Term:
    """What a component adds to the cosine of two songs; of all components together that is the cosine.

    more: whether both songs have more of it than the mean, or both less; None where it has more numbers than one.
    """

    component: int
    cosine: float
    more: bool | None


@dataclass(frozen=True)
class Neighbour:
    """A song and the cosine of its centred vector with the query's; terms: the largest, largest first, above 0."""

    track_id: str
    cosine: float
    terms: tuple[Term, ...] = ()


def mean_vector(blocks: Iterable[Block]) -> np.ndarray:
    """Mean over all songs, float64 (dim,). Raises ValueError where there are none."""
    total, songs = np.zeros(1), 0
    for ids, vectors in blocks:
        total, songs = total + vectors.sum(axis=0, dtype=np.float64), songs + len(ids)
    if not songs:
        raise ValueError("no song has a vector")
    return total / songs


def directions(vectors: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Centred rows of length 1, float32 (song, dim); a song that is the mean, but for rounding, has none: zeros."""
    centred = vectors.astype(np.float64) - mean
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    rounding = 1e-7 * np.linalg.norm(vectors, axis=1, keepdims=True)  # vectors are float32
    return np.where(length > rounding, centred / np.maximum(length, 1e-300), 0.0).astype(np.float32)


def nearest(
    queries: np.ndarray,
    blocks: Iterable[Block],
    mean: np.ndarray,
    k: int,
    without: Sequence[Collection[str]],
    components: np.ndarray | None = None,
    most: int = 0,
) -> list[list[Neighbour]]:
    """For each query (query, dim) the k songs with the largest cosines, largest first, ties by name.

    Songs of a query's `without` are passed over, and songs without a direction; a query without one has no neighbours.
    Cosines are of each pair by itself, in float64, and rounded to DECIMALS: the same vectors tie wherever in a block
    they lie. components: (dim,) of which component each number is; each neighbour tells its `most` largest terms. In
    memory: a block, its cosines with all queries, and k songs a query.
    """
    wanted = directions(queries, mean)
    best: list[list[tuple[Neighbour, np.ndarray]]] = [[] for _ in wanted]
    for ids, vectors in blocks:
        rows = directions(vectors, mean)
        cosines = wanted @ rows.T
        cosines[~np.outer(wanted.any(axis=1), rows.any(axis=1))] = -np.inf
        for q, row in enumerate(cosines):
            wide = min(k + len(without[q]), len(ids))
            edge = -np.partition(-row, wide - 1)[wide - 1] - PRODUCTS if wide else np.inf
            near = np.flatnonzero((row >= edge) & (row > -np.inf))
            found = [(Neighbour(ids[i], _cosine(wanted[q], rows[i])), rows[i]) for i in near.tolist()]
            best[q] = _ranked([*best[q], *found], k, without[q])
    return [
        [replace(song, terms=_terms(query, row, components, most)) for song, row in found]
        for query, found in zip(wanted, best, strict=True)
    ]


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    return round(min(1.0, max(-1.0, float(one.astype(np.float64) @ other.astype(np.float64)))), DECIMALS)


def _ranked(
    found: Iterable[tuple[Neighbour, np.ndarray]], k: int, without: Collection[str]
) -> list[tuple[Neighbour, np.ndarray]]:
    """The k best of some, largest cosine first, ties by name."""
    kept = [item for item in found if item[0].track_id not in without]
    return sorted(kept, key=lambda item: (-item[0].cosine, item[0].track_id))[:k]


def _terms(one: np.ndarray, other: np.ndarray, components: np.ndarray | None, most: int) -> tuple[Term, ...]:
    if components is None:
        return ()
    sums = np.bincount(components, one.astype(np.float64) * other).round(DECIMALS)
    alone = np.bincount(components) == 1
    positive = np.bincount(components, one) > 0
    return tuple(
        Term(k, float(sums[k]), bool(positive[k]) if alone[k] else None)
        for k in np.argsort(-sums, kind="stable")[:most].tolist()
        if sums[k] > 0
    )
