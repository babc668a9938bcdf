"""What a trainer reads, step by step: batches of songs with their places, derived from the songs table alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import pyarrow as pa

from infra.order import epoch_order, heldout_mask

Pick = tuple[str, int, int]  # path of the shard, row group, row inside it

WINDOW_BATCHES = 8  # songs are shuffled inside windows of this many batches
PROBE_EPOCH = 1 << 31  # an order of its own for the probe


@dataclass(frozen=True)
class Batch:
    """One step's songs, with their frames. `last`: the epoch ends with it; `window` batches share their row groups."""

    epoch: int
    index: int
    last: bool
    picks: list[Pick]
    lengths: list[int]

    @property
    def n_frames(self) -> int:
        return sum(self.lengths)

    def share(self, rank: int, ranks: int, part_songs: int) -> "Batch":
        """What one of several ranks takes on: every `ranks`-th part of `part_songs` songs."""
        songs = [i for i in range(len(self.picks)) if i // part_songs % ranks == rank]
        return replace(self, picks=[self.picks[i] for i in songs], lengths=[self.lengths[i] for i in songs])

    @property
    def window(self) -> int:
        return self.index // WINDOW_BATCHES


class Plan:
    """The training and held-out songs of a snapshot and the order of every epoch."""

    def __init__(self, songs: pa.Table, fraction: float, most: int, seed: int) -> None:
        self.seed = seed
        names = ("path", "row_group", "row")
        columns = [songs[name].to_pylist() for name in names]
        self._picks: list[Pick] = list(zip(*columns, strict=True))
        self._n_frames = songs["n_frames"].to_numpy()
        numbers: dict[tuple[str, int], int] = {}
        self._groups = np.array(
            [numbers.setdefault(pick[:2], len(numbers)) for pick in self._picks], dtype=np.int64
        )
        mask = heldout_mask(songs["track_id"].to_pylist(), fraction, most, seed)
        self.training, self.heldout = np.flatnonzero(~mask), np.flatnonzero(mask)

    @property
    def n_songs(self) -> int:
        """Training songs."""
        return len(self.training)

    @property
    def n_frames(self) -> int:
        """Frames of the training songs."""
        return int(self._n_frames[self.training].sum())

    def epoch(self, epoch: int, batch_songs: int) -> list[Batch]:
        """The batches of one epoch: every training song exactly once, the last batch may be short."""
        window = WINDOW_BATCHES * batch_songs
        order = self.training[epoch_order(self._groups[self.training], self.seed, epoch, window)]
        parts = [order[start : start + batch_songs] for start in range(0, len(order), batch_songs)]
        return [self._batch(epoch, index, part, len(parts)) for index, part in enumerate(parts)]

    def batches(self, epochs: int, batch_songs: int, done: int) -> Iterator[Batch]:
        """The batches of all epochs after the first `done` steps."""
        for epoch in range(done // self.steps_per_epoch(batch_songs), epochs):
            skip = max(0, done - epoch * self.steps_per_epoch(batch_songs))
            yield from islice(self.epoch(epoch, batch_songs), skip, None)

    def steps_per_epoch(self, batch_songs: int) -> int:
        return -(-self.n_songs // batch_songs)

    def row_groups(self) -> list[list[Pick]]:
        """The training songs by row group, for one pass over everything."""
        order = self.training[np.argsort(self._groups[self.training], kind="stable")]
        starts = np.flatnonzero(np.diff(self._groups[order], prepend=-1))
        return [[self._picks[i] for i in part] for part in np.split(order, starts[1:])]

    def heldout_batch(self) -> Batch:
        """The held-out songs as one batch."""
        return self._batch(-1, 0, self.heldout, 1)

    def probe_batch(self, songs: int) -> Batch:
        """Some training songs as one batch, from as few row groups as make a fair sample."""
        order = epoch_order(self._groups[self.training], self.seed, PROBE_EPOCH, 4 * songs)
        return self._batch(-1, 0, np.sort(self.training[order[:songs]]), 1)

    def _batch(self, epoch: int, index: int, songs: np.ndarray, n_batches: int) -> Batch:
        picks = [self._picks[i] for i in songs]
        return Batch(epoch, index, index == n_batches - 1, picks, self._n_frames[songs].tolist())
