"""The order of songs: a pure function of the data, the seed and the epoch, so any step can be recomputed.

Row groups are shuffled, and songs inside a window of row groups: nearly a full shuffle, while a reader touches each
row group in one stretch of the epoch. Windows are cut by songs, so that mini-batches fill them exactly; only a row
group at their border is met in two of them.
"""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np


def epoch_windows(
    starts: np.ndarray, seed: int, epoch: int, window_songs: int, skip: int = 0
) -> Iterator[np.ndarray]:
    """Each song exactly once, window after window of `window_songs` (song,) int64, after the first `skip` windows.

    starts (group + 1,): songs are numbered row group by row group, and these are the first ones' numbers.
    """
    groups = np.random.default_rng([seed, epoch]).permutation(len(starts) - 1)
    ends = np.cumsum(np.diff(starts)[groups])
    n_songs = int(starts[-1])
    for first in range(skip * window_songs, n_songs, window_songs):
        places = np.arange(first, min(first + window_songs, n_songs))
        found = np.searchsorted(ends, places, side="right")
        songs = starts[groups[found] + 1] - ends[found] + places
        yield np.random.default_rng([seed, epoch, first // window_songs]).permutation(songs)


def heldout_mask(track_ids: Iterable[str], fraction: float, most: int, seed: int) -> np.ndarray:
    """Which songs are kept for the held-out score: (song,) bool, by a hash of the seed and the track id.

    `fraction` of the songs, about `most` where that is fewer. A song stays on its side when a few others come or go.
    With two songs or more, at least one is trained on, and unless nothing was to be held out, at least one is.
    """
    keys = _unit_intervals(f"{seed}:", track_ids)
    share = min(fraction, most / max(len(keys), 1))
    if len(keys) < 2 or share == 0.0:
        return np.zeros(len(keys), dtype=bool)
    mask = keys < share
    mask[np.argmin(keys)], mask[np.argmax(keys)] = True, False
    return mask


def subset_mask(track_ids: Iterable[str], most: int) -> np.ndarray:
    """A random part of `most` songs, all if there are no more: (song,) bool, those with the smallest hash.

    Nested: a smaller part is part of a larger one, whatever the seed.
    """
    keys = _unit_intervals("subset:", track_ids)
    mask = np.zeros(len(keys), dtype=bool)
    mask[np.argsort(keys, kind="stable")[:most]] = True
    return mask


def _unit_intervals(prefix: str, texts: Iterable[str]) -> np.ndarray:
    """A number in [0, 1) for each text, float64: the first 64 bits of the SHA-256 of prefix and text."""
    start, sha256 = prefix.encode(), hashlib.sha256
    words = bytearray()
    for text in texts:
        words += sha256(start + text.encode()).digest()[:8]
    return np.frombuffer(words, ">u8") / 2.0**64
