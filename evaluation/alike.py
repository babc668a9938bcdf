"""Songs like a song: the largest cosines of centred vectors, over a corpus that passes in parts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Alike:
    """A neighbour of a query: its cosine, and the dimensions of which both have more than usual, strongest first."""

    track_id: str
    cosine: float
    dims: tuple[int, ...]


def alike(
    queries: np.ndarray,
    query_ids: Sequence[str],
    parts: Iterable[tuple[Sequence[str], np.ndarray]],
    mean: np.ndarray,
    k: int,
    dims: int = 2,
) -> list[list[Alike]]:
    """For each query (query, dim) its k most alike other tracks, nearest first; exact, one pass over the parts.

    parts: (track ids, vectors (song, dim)); mean (dim,) of all vectors is taken off first. Ties go to the smaller id.
    Memory: a part, its cosines with the queries, and k vectors a query.
    """
    asked = _unit(queries, mean)
    best: list[list[tuple[float, str, np.ndarray]]] = [[] for _ in query_ids]
    for track_ids, vectors in parts:
        unit = _unit(vectors, mean)
        cosines = asked @ unit.T
        for q, own in enumerate(query_ids):
            row = cosines[q]
            found = range(len(row)) if len(row) <= k + 1 else _at_least(row, k + 1)
            best[q] += [(float(row[i]), track_ids[i], unit[i]) for i in found if track_ids[i] != own]
            best[q] = sorted(best[q], key=lambda item: (-item[0], item[1]))[:k]
    return [
        [Alike(track, cosine, _shared(asked[q], unit, dims)) for cosine, track, unit in found]
        for q, found in enumerate(best)
    ]


def _at_least(row: np.ndarray, k: int) -> list[int]:
    """Places of the k largest of a row and of all that equal the last of them."""
    edge = -np.partition(-row, k - 1)[k - 1]
    return np.flatnonzero(row >= edge).tolist()


def _unit(vectors: np.ndarray, mean: np.ndarray) -> np.ndarray:
    centred = vectors.astype(np.float64) - mean
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)


def _shared(one: np.ndarray, other: np.ndarray, limit: int) -> tuple[int, ...]:
    product = np.where((one > 0) & (other > 0), one * other, 0.0)
    return tuple(int(i) for i in np.argsort(-product, kind="stable")[:limit] if product[i] > 0)
