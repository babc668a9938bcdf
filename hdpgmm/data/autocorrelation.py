"""How far a song's frames repeat each other: how many of them say of a component what one independent frame would.

Frames overlap, differences of frames span many, and music lasts. Counted as independent, a handful of bars is evidence
of a component of its own, and every track gets some. A covariance of n frames of a Gaussian process is known as that of
n / tau independent ones, tau = 1 + 2 sum_k r_k^2 (Bartlett 1946, of products of two series), r_k the autocorrelation at
lag k. Here r_k is that of whitened frames about their song's mean, averaged over the dimensions. numpy, float64.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hdpgmm.ragged import Ragged

LAGS = 32  # frames; the squares are small beyond a quarter of a second
FEW = 1000  # frames, so pairs of a lag: of fewer its correlation is not believed


@dataclass(frozen=True)
class Lagged:
    """products (lag + 1, dim, dim): sums of x_n x_(n+k)^T in songs, about their means; pairs (lag + 1,): how many."""

    products: np.ndarray
    pairs: np.ndarray

    def __add__(self, other: "Lagged") -> "Lagged":
        return Lagged(self.products + other.products, self.pairs + other.pairs)


def lagged(songs: Ragged[np.ndarray]) -> Lagged:
    """Of songs (frame, dim)."""
    dim, lags = songs.values.shape[1], LAGS + 1
    products, pairs = np.zeros((dim, lags * dim)), np.zeros(lags, np.int64)
    for frames in songs:
        if not len(frames):
            continue
        song = np.zeros((len(frames) + LAGS, dim))  # nothing follows the last frame
        song[: len(frames)] = frames
        song[: len(frames)] -= song[: len(frames)].mean(0)
        following = sliding_window_view(song, (lags, dim)).reshape(len(frames), lags * dim)
        products += (
            song[: len(frames)].T @ following
        )  # one product of all lags: many small ones wait for threads
        pairs += (len(frames) - np.arange(lags)).clip(min=0)
    return Lagged(products.reshape(dim, lags, dim).swapaxes(0, 1), pairs)


def dependence(found: Lagged, transform: np.ndarray) -> float:
    """tau, at least 1, of frames x @ transform (dim, dim).

    About their own mean the n frames of a song have a correlation of -1 / (n - 1) by that alone, which is taken off, as
    is from the squares what independent frames would have of them: 1 / (pairs dim).
    """
    frames = int(found.pairs[0])
    enough = found.pairs >= max(1, min(FEW, frames))
    sums = np.einsum("di,kde,ei->k", transform, found.products, transform)
    means = sums[enough] / found.pairs[enough]
    if not means.size or not means[0] > 0.0:
        return 1.0
    own = (frames - int(found.pairs[1])) / frames  # songs in it: one pair of a lag of one is missing in each
    correlation = means[1:] / means[0]
    correlation += own * (1.0 - correlation)
    noise = 1.0 / (found.pairs[enough][1:] * len(transform))
    return 1.0 + 2.0 * float((np.square(correlation) - noise).clip(min=0.0).sum())
