"""The order of songs: a pure function of the data, the seed and the epoch, so any step can be recomputed.

Songs lie in groups (those of a file are its row groups). Groups are shuffled, and songs inside a window of groups:
nearly a full shuffle, while a reader touches each group in one stretch of the epoch. Windows are cut by songs, so that
mini-batches fill them exactly; only a group at their border is met in two of them.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

PROBE_EPOCH, SAMPLE_EPOCH = 1 << 31, (1 << 31) + 1  # orders of their own


@dataclass(frozen=True, eq=False)
class Turn:
    """One step's songs (song,) by number. `last`: the epoch ends with it; those of a `window` share their groups."""

    epoch: int
    index: int
    last: bool
    window: int
    songs: np.ndarray


@dataclass(frozen=True, eq=False)
class Order:
    """Every song once an epoch, `batch_songs` at a time, the last of an epoch maybe fewer.

    starts (group + 1,): songs are numbered group by group, and these are the first ones' numbers. window_batches: how
    many mini-batches are shuffled together.
    """

    starts: np.ndarray
    seed: int
    batch_songs: int
    window_batches: int

    @property
    def steps_per_epoch(self) -> int:
        return -(-int(self.starts[-1]) // self.batch_songs)

    def epoch(self, epoch: int, skip_windows: int = 0) -> Iterator[Turn]:
        """The turns of one epoch, after so many windows."""
        window_songs = self.window_batches * self.batch_songs
        windows = epoch_windows(self.starts, self.seed, epoch, window_songs, skip_windows)
        for number, window in enumerate(windows, start=skip_windows):
            for place, start in enumerate(range(0, len(window), self.batch_songs)):
                index = number * self.window_batches + place
                last = index == self.steps_per_epoch - 1
                yield Turn(epoch, index, last, number, window[start : start + self.batch_songs])

    def epochs(self, epochs: int, done: int) -> Iterator[Turn]:
        """The turns of all epochs after the first `done` steps."""
        whole, rest = divmod(done, self.steps_per_epoch)
        windows, rest = divmod(rest, self.window_batches)
        for epoch in range(whole, epochs):
            yield from islice(self.epoch(epoch, windows), rest, None)
            windows, rest = 0, 0


def some_songs(starts: np.ndarray, seed: int, songs: int) -> np.ndarray:
    """Numbers of random songs (song,), from as few groups as make a fair sample."""
    return next(epoch_windows(starts, seed, PROBE_EPOCH, 4 * songs))[:songs]


def some_groups(n_groups: int, seed: int, most: int) -> np.ndarray:
    """Numbers of `most` random groups, or of all, ascending."""
    return np.sort(np.random.default_rng([seed, SAMPLE_EPOCH]).permutation(n_groups)[:most])


def epoch_windows(
    starts: np.ndarray, seed: int, epoch: int, window_songs: int, skip: int = 0
) -> Iterator[np.ndarray]:
    """Each song exactly once, window after window of `window_songs` (song,) int64, after the first `skip` windows.

    starts (group + 1,): as of `Order`.
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
