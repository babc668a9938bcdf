"""A VQ codebook: k-means words, and how often each song's frames are nearest to each."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from evaluation.baselines.baseline import Songs, Transform, lengths_of

FRAMES_PER_CODEWORD = 10
SEEDING_FRAMES_PER_CODEWORD = 40
MAX_ITERATIONS = 30
LOG_FLOOR = 1e-8
_CHUNK_FRAMES = 32_768


@dataclass(frozen=True)
class Codebook:
    """k-means centres in standardised units. mean, scale: (dim,); centres: (codeword, dim)."""

    mean: np.ndarray
    scale: np.ndarray
    centres: np.ndarray


def n_centres(frames: int, words: int) -> int:
    """How many centres a codebook of `words` gets from so many frames."""
    return max(1, min(words, frames // FRAMES_PER_CODEWORD))


def fit_codebook(sample: np.ndarray, codewords: int, seed: int) -> Codebook:
    """k-means on standardised frames, with fewer centres than asked where there are few frames.

    Full k-means: mini-batches were no faster here, and their codebook was worse (.79 against .82 macro AUROC on the
    215 real clips). Seeded from a part of the sample, where k-means++ costs more than all the rest; one thread, so
    that the same sample gives the same centres.
    """
    mean, scale = sample.mean(axis=0, dtype=np.float64), sample.std(axis=0, dtype=np.float64)
    scale = np.where(scale > 0, scale, 1.0)
    z = ((sample - mean) / scale).astype(np.float32)
    k = n_centres(len(z), codewords)
    rng = np.random.default_rng(seed)
    some = z[rng.choice(len(z), size=min(len(z), SEEDING_FRAMES_PER_CODEWORD * k), replace=False)]
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct frames than centres
        start, _ = kmeans_plusplus(some, k, random_state=seed)
        kmeans = KMeans(k, init=start, n_init=1, max_iter=MAX_ITERATIONS, random_state=seed)  # pyright: ignore
        kmeans.fit(z)
    return Codebook(mean, scale, np.asarray(kmeans.cluster_centers_, dtype=np.float64))


def vq_histogram(codebook: Codebook, songs: Songs) -> np.ndarray:
    """Share of each song's frames whose nearest centre is k, float64 (song, codeword)."""
    values, lengths, k = songs.values, lengths_of(songs), len(codebook.centres)
    nearest = np.concatenate(
        [_nearest(codebook, values[i : i + _CHUNK_FRAMES]) for i in range(0, len(values), _CHUNK_FRAMES)]
    )
    song = np.repeat(np.arange(len(lengths)), lengths[:, 0])
    return np.bincount(song * k + nearest, minlength=len(lengths) * k).reshape(-1, k) / lengths


def log_floor(shares: np.ndarray) -> np.ndarray:
    """The paper's logarithm of a histogram: log(max(x, 1e-8))."""
    return np.log(np.maximum(shares, LOG_FLOOR))


def _nearest(codebook: Codebook, values: np.ndarray) -> np.ndarray:
    centres = codebook.centres
    z = ((values - codebook.mean) / codebook.scale).astype(np.float32)
    half = 0.5 * (centres**2).sum(axis=1)
    return (half.astype(np.float32) - z @ centres.astype(np.float32).T).argmin(axis=1)


class VQCodebook:
    """The comparison model: the histogram's logarithm, as the paper has it, and its square root."""

    seeded, sampled = True, True

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.codewords: int = settings["codewords"]
        self.key = (str(self.codewords),)

    def name(self, n_sampled: int) -> str:
        """With the number of words, which is smaller than asked where there are few frames."""
        return f"VQCodebook {n_centres(n_sampled, self.codewords)}"

    def rows(self, n_sampled: int) -> tuple[str, ...]:
        """Two rows."""
        return tuple(f"{self.name(n_sampled)} {root}" for root in ("log", "sqrt"))

    def by_shares(self) -> "VQWords":
        """Its units are the words."""
        return VQWords({"codewords": self.codewords})

    def fit(self, sample: np.ndarray, seed: int) -> Transform:
        """k-means on the sample."""
        book = fit_codebook(sample, self.codewords, seed)

        def transform(songs: Songs) -> tuple[np.ndarray, ...]:
            found = vq_histogram(book, songs)
            return log_floor(found), np.sqrt(found)

        return transform


class VQWords(VQCodebook):
    """The histogram itself: the share of each word."""

    def rows(self, n_sampled: int) -> tuple[str, ...]:
        """One row."""
        return (self.name(n_sampled),)

    def fit(self, sample: np.ndarray, seed: int) -> Transform:
        """k-means on the sample."""
        book = fit_codebook(sample, self.codewords, seed)
        return lambda songs: (vq_histogram(book, songs),)
