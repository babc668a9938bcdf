"""Songs like a song: the largest cosines of centred vectors, exactly, in one pass over blocks of songs.

Vectors are centred, because what all songs have in common says nothing about which are alike; as in `recommend`.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

Block = tuple[Sequence[str], np.ndarray]  # track ids and their vectors (song, dim)


@dataclass(frozen=True)
class Neighbour:
    """A song and the cosine of its centred vector with the query's."""

    track_id: str
    cosine: float


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
    query: np.ndarray, blocks: Iterable[Block], mean: np.ndarray, k: int, without: Collection[str] = ()
) -> list[Neighbour]:
    """The k songs with the largest cosines, largest first, ties by name; query (dim,).

    A block and k songs are in memory. Songs of `without` are passed over, and songs without a direction.
    """
    (wanted,) = directions(query[None], mean)
    best: list[Neighbour] = []
    for ids, vectors in blocks:
        rows = directions(vectors, mean)
        cosines = np.where(rows.any(axis=1), rows @ wanted, -np.inf)
        most = min(k + len(without), len(ids))
        edge = -np.partition(-cosines, most - 1)[most - 1] if most else np.inf
        found = [Neighbour(ids[i], float(cosines[i])) for i in np.flatnonzero(cosines >= edge).tolist()]
        best = ranked([*best, *found], k, without)
    return best


def ranked(found: Iterable[Neighbour], k: int, without: Collection[str] = ()) -> list[Neighbour]:
    """The k best of some, largest cosine first, ties by name."""
    kept = [song for song in found if song.track_id not in without and song.cosine > -np.inf]
    return sorted(kept, key=lambda song: (-song.cosine, song.track_id))[:k]
