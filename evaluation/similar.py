"""Songs that sound alike: exact cosines of centred vectors, for one query against many songs, part by part."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Centre:
    """What cosines are taken about: the mean vector of a corpus, (dim,) float64, and how many songs it is of."""

    n_songs: int
    mean: np.ndarray


@dataclass(frozen=True)
class Neighbour:
    """A song and the cosine of its centred vector with the query's."""

    track_id: str
    cosine: float


Part = tuple[list[str], np.ndarray]  # track ids, vectors (song, dim)


def centre_of(parts: Iterable[Part]) -> Centre:
    """One pass. Raises ValueError where there is no song."""
    total, count = 0.0, 0
    for ids, vectors in parts:
        total, count = total + vectors.sum(axis=0, dtype=np.float64), count + len(ids)
    if not count:
        raise ValueError("similar: no songs to compare with")
    return Centre(count, np.asarray(total) / count)


def nearest(
    query: np.ndarray, parts: Iterable[Part], centre: Centre, k: int, but: str | None = None
) -> list[Neighbour]:
    """The k songs with the largest cosine to query (dim,), largest first, of equals the first by name; without `but`.

    A song at the centre has no direction: cosine 0. Cost: one product a song; memory: a part and k songs.
    """
    mean = centre.mean.astype(np.float32)
    wanted = query.astype(np.float64) - centre.mean
    length = float(np.linalg.norm(wanted))
    direction = (wanted / length if length > 0 else wanted).astype(np.float32)
    best: list[Neighbour] = []
    for ids, vectors in parts:
        cosines = _cosines(vectors, mean, direction)
        found = (Neighbour(ids[i], float(cosines[i])) for i in _candidates(cosines, k + 1) if ids[i] != but)
        best = sorted([*best, *found], key=lambda one: (-one.cosine, one.track_id))[:k]
    return best


def _candidates(cosines: np.ndarray, k: int) -> Iterator[int]:
    """Places of the k largest and of all equal to the last of them."""
    edge = np.partition(cosines, -k)[-k] if len(cosines) > k else -np.inf
    return (int(i) for i in np.flatnonzero(cosines >= edge))


def _cosines(vectors: np.ndarray, mean: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Of the rows about the mean with a direction of length one, (song,) float32."""
    rows = vectors - mean
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return np.where(length > 0, (rows @ direction) / np.where(length > 0, length, 1.0), 0.0).astype(
        np.float32
    )
