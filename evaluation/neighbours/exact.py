"""Songs like a song: the largest cosines of centred vectors, exactly, in one pass over blocks of songs.

Vectors are centred, because what all songs have in common says nothing about which are alike; as in `recommend`.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

DECIMALS = 6  # of a cosine that float32 vectors have
Block = tuple[Sequence[str], np.ndarray]  # track ids and their vectors (song, dim)


@dataclass(frozen=True)
class Neighbour:
    """A song and the cosine of its centred vector with the query's.

    dims: the dimensions of which both have more than the mean, those first that make most of the cosine.
    """

    track_id: str
    cosine: float
    dims: tuple[int, ...] = ()


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
    dims: int = 0,
) -> list[list[Neighbour]]:
    """For each query (query, dim) the k songs with the largest cosines, largest first, ties by name.

    Songs of a query's `without` are passed over, and songs without a direction; a query without one has no neighbours.
    Cosines are rounded to DECIMALS, so that the same vectors tie wherever in a block they lie. Each neighbour names at
    most `dims` dimensions. In memory: a block, its cosines with all queries, and k songs a query.
    """
    wanted = directions(queries, mean)
    best: list[list[tuple[Neighbour, np.ndarray]]] = [[] for _ in wanted]
    for ids, vectors in blocks:
        rows = directions(vectors, mean)
        cosines = (wanted @ rows.T).clip(-1.0, 1.0).astype(np.float64).round(DECIMALS)
        cosines[~np.outer(wanted.any(axis=1), rows.any(axis=1))] = -np.inf
        for q, row in enumerate(cosines):
            most = min(k + len(without[q]), len(ids))
            edge = -np.partition(-row, most - 1)[most - 1] if most else np.inf
            found = [
                (Neighbour(ids[i], float(row[i])), rows[i]) for i in np.flatnonzero(row >= edge).tolist()
            ]
            best[q] = _ranked([*best[q], *found], k, without[q])
    return [
        [Neighbour(song.track_id, song.cosine, _shared(query, row, dims)) for song, row in found]
        for query, found in zip(wanted, best, strict=True)
    ]


def _ranked(
    found: Iterable[tuple[Neighbour, np.ndarray]], k: int, without: Collection[str]
) -> list[tuple[Neighbour, np.ndarray]]:
    """The k best of some, largest cosine first, ties by name."""
    kept = [item for item in found if item[0].track_id not in without and item[0].cosine > -np.inf]
    return sorted(kept, key=lambda item: (-item[0].cosine, item[0].track_id))[:k]


def _shared(one: np.ndarray, other: np.ndarray, limit: int) -> tuple[int, ...]:
    product = np.where((one > 0) & (other > 0), one * other, 0.0)
    return tuple(int(i) for i in np.argsort(-product, kind="stable")[:limit] if product[i] > 0)
