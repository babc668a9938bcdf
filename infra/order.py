"""The order of songs: a pure function of the data, the seed and the epoch, so any step can be recomputed.

Row groups are shuffled, and songs inside a window of row groups: nearly a full shuffle, while a reader touches each
row group in one stretch of the epoch.
"""

import hashlib
from collections.abc import Sequence

import numpy as np


def epoch_order(groups: np.ndarray, seed: int, epoch: int, window_songs: int) -> np.ndarray:
    """A permutation of the songs (song,) int64, each exactly once.

    groups (song,) int: the row group each song lies in. Windows are whole row groups of at least `window_songs` songs.
    """
    rng = np.random.default_rng([seed, epoch])
    by_group = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[by_group], prepend=-1))
    runs = np.split(by_group, starts[1:])
    order: list[np.ndarray] = []
    window: list[np.ndarray] = []
    for index in rng.permutation(len(runs)):
        window.append(runs[index])
        if sum(map(len, window)) >= window_songs:
            order.append(rng.permutation(np.concatenate(window)))
            window = []
    if window:
        order.append(rng.permutation(np.concatenate(window)))
    return np.concatenate(order) if order else np.empty(0, np.int64)


def heldout_mask(track_ids: Sequence[str], fraction: float, most: int, seed: int) -> np.ndarray:
    """Which songs are kept for the held-out score: (song,) bool, by a hash of the seed and the track id.

    `fraction` of the songs, about `most` where that is fewer. A song stays on its side when a few others come or go.
    With two songs or more, at least one is trained on, and unless nothing was to be held out, at least one is.
    """
    keys = np.array([_unit_interval(f"{seed}:{track}") for track in track_ids])
    share = min(fraction, most / max(len(keys), 1))
    if len(keys) < 2 or share == 0.0:
        return np.zeros(len(keys), dtype=bool)
    mask = keys < share
    mask[np.argmin(keys)], mask[np.argmax(keys)] = True, False
    return mask


def _unit_interval(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2.0**64
