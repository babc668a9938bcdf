"""Recommendation from song vectors: item-kNN on the cosine.

Beside it the rows that know the plays alone: popularity, and EASE, what is there to be had.

A user's score for a song is the sum of the cosines of the user's known songs that have it among their k nearest. Songs
that nobody's neighbours reach tie at zero.
"""

from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri  # pyright: ignore[reportAttributeAccessIssue]
from scipy.sparse import csr_matrix

BLOCK = 1 << 25  # cosines held at once


def neighbours(vectors: np.ndarray, k: int) -> csr_matrix:
    """Each song's k nearest others by the cosine of centred vectors: (song, song) float32, each row's nearest first.

    vectors (song, dim), finite. Centred, because logarithms of shares differ little from song to song beside what all
    have in common. A vector equal to the mean has no direction and no neighbours. Of equal cosines at the edge the
    songs first in order are taken. O(song^2 dim) time; memory is a block of cosines and k a song.
    Raises ValueError for k < 1 or vectors that are not finite.
    """
    if k < 1 or not np.isfinite(vectors).all():
        raise ValueError(f"neighbours: k is {k}, needs at least 1, and every vector must be finite")
    unit = _unit(vectors)
    songs = len(unit)
    k = min(k, songs - 1)
    columns, values, counts = [], [], np.zeros(songs, dtype=np.int64)
    rows = max(1, BLOCK // max(1, songs))
    for start in range(0, songs if k else 0, rows):
        cosines = unit[start : start + rows] @ unit.T
        here = np.arange(len(cosines))
        cosines[here, start + here] = -np.inf
        found = _largest(cosines, k)
        found[~unit[start : start + rows].any(1)] = False
        found[:, ~unit.any(1)] = False
        counts[start + here] = found.sum(1)
        row, column = found.nonzero()
        near = cosines[found]
        order = np.argsort(4.0 * row - near, kind="stable")  # cosines are within 1 of 0
        columns.append(column[order].astype(np.int32))
        values.append(near[order])
    edges = np.concatenate([[0], counts.cumsum()])
    data = np.concatenate(values or [np.zeros(0, np.float32)])
    return csr_matrix((data, np.concatenate(columns or [np.zeros(0, np.int32)]), edges), (songs, songs))


def nearest_of(near: csr_matrix, k: int) -> csr_matrix:
    """The k nearest of each row, of `neighbours` with a larger k."""
    return _kept(near, np.arange(near.nnz) - np.repeat(near.indptr[:-1], np.diff(near.indptr)) < k)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Centred rows of length 1, float32; rows that are the mean, but for rounding, are zero."""
    exact = vectors.astype(np.float64)
    centred = exact - exact.mean(axis=0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    rounding = 1e-12 * np.linalg.norm(exact, axis=1, keepdims=True)
    return np.where(length > rounding, centred / np.maximum(length, 1e-300), 0.0).astype(np.float32)


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """bool (row, column): the k largest of each row; of those equal to the last of them, the first ones."""
    edge = np.partition(values, values.shape[1] - k, axis=1)[:, -k, None]
    found = values >= edge
    for row in np.flatnonzero(np.count_nonzero(found, axis=1) > k):
        tied = np.flatnonzero(values[row] == edge[row])
        found[row, tied[k - np.count_nonzero(values[row] > edge[row]) :]] = False
    return found


def hold_out(plays: csr_matrix, share: float, seed: int) -> tuple[csr_matrix, csr_matrix]:
    """What is known of each user and what is held out: about `share` of the songs known, one at least on each side.

    plays (user, song), any non-zero entry is a song played. A user's draw depends on the seed and the user's row alone.
    A user with fewer than two songs keeps them known and cannot be tested.
    """
    known = np.ones(plays.nnz, dtype=bool)
    for user, (start, end) in enumerate(zip(plays.indptr[:-1], plays.indptr[1:], strict=True)):
        count = end - start
        if count >= 2:
            held = min(max(count - round(share * count), 1), count - 1)
            drawn = np.random.default_rng([seed, user]).choice(count, held, replace=False)
            known[start + drawn] = False
    return _kept(plays, known), _kept(plays, ~known)


def _kept(plays: csr_matrix, which: np.ndarray) -> csr_matrix:
    edges = np.concatenate([[0], which.cumsum()])[plays.indptr]
    shape: Any = plays.shape
    return csr_matrix((plays.data[which].astype(np.float32), plays.indices[which], edges), shape)


def popularity(plays: csr_matrix) -> np.ndarray:
    """(song,) float64: how many users played each."""
    shape: Any = plays.shape
    return np.bincount(plays.indices, minlength=shape[1]).astype(np.float64)


def ease(plays: csr_matrix, penalty: float) -> np.ndarray:
    """EASE (Steck 2019), what plays alone can tell: (song, song) float32, zero on the diagonal.

    Column j is the ridge regression of song j's plays on those of all other songs; a user's scores are `known @` this.
    A dense float64 (song, song) matrix, inverted by its Cholesky factor in song^3 multiply-adds.
    Raises ValueError for a penalty that is not positive.
    """
    if not penalty > 0:
        raise ValueError(f"ease: penalty is {penalty}, must be above 0")
    gram: Any = plays.T @ plays
    dense = gram.astype(np.float64).toarray(order="F")
    dense[np.diag_indices_from(dense)] += penalty
    factor, _ = dpotrf(dense, lower=True, overwrite_a=True)
    inverse, _ = dpotri(factor, lower=True, overwrite_c=True)
    out = inverse.astype(np.float32)
    out += np.tril(out, -1).T
    out /= -np.diag(inverse).astype(np.float32)
    np.fill_diagonal(out, 0.0)
    return out


def score_users(known: csr_matrix, nearest: csr_matrix) -> np.ndarray:
    """(user, song) float32: for each song the cosines of the user's known songs that have it near, summed.

    Dense: pass users in blocks that memory holds.
    """
    product: Any = known @ nearest
    return product.toarray().astype(np.float32, copy=False)
