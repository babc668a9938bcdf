"""What a trainer reads, step by step: batches of songs with their places, derived from the songs table alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from hdpgmm.data.order import Order, Turn, heldout_mask, some_groups, some_songs, subset_mask
from infra.root.schemas import N_FRAMES, PATH, ROW, ROW_GROUP, TRACK_ID

COLUMNS = (TRACK_ID, PATH, ROW_GROUP, ROW, N_FRAMES)  # of the songs table
SLICE_SONGS = 1 << 16  # track ids that are Python strings at a time


@dataclass(frozen=True, eq=False)
class Places:
    """Where songs lie: columns (song,) int32. `shard` counts in the paths of the plan, `row` inside the row group."""

    shard: np.ndarray
    row_group: np.ndarray
    row: np.ndarray
    n_frames: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def take(self, songs: np.ndarray | slice) -> "Places":
        return Places(self.shard[songs], self.row_group[songs], self.row[songs], self.n_frames[songs])

    def by_row_group(self) -> tuple[np.ndarray, np.ndarray]:
        """The songs (song,) row group by row group, in their order inside each, and the groups' bounds (group + 1,)."""
        order = np.lexsort((self.row_group, self.shard))
        keys = self.shard[order].astype(np.int64) << 32 | self.row_group[order]
        return order, np.append(np.flatnonzero(np.diff(keys, prepend=-1)), len(order))


@dataclass(frozen=True, eq=False)
class Batch:
    """One step's songs. `last`: the epoch ends with it; the batches of a `window` share their row groups."""

    epoch: int
    index: int
    last: bool
    window: int
    places: Places

    @property
    def n_frames(self) -> int:
        return int(self.places.n_frames.sum())

    def n_bytes(self, dim: int) -> int:
        """Of its frames (frame, dim) float32 and offsets (song + 1,) int64."""
        return 4 * dim * self.n_frames + 8 * (len(self.places) + 1)

    def share(self, rank: int, ranks: int, part_songs: int) -> "Batch":
        """What one of several ranks takes on: every `ranks`-th part of `part_songs` songs."""
        part = np.arange(len(self.places)) // part_songs
        return replace(self, places=self.places.take(np.flatnonzero(part % ranks == rank)))

    def pieces(self, songs: int) -> Iterator["Batch"]:
        """The batch in pieces of so many songs, each a window of its own."""
        for window, start in enumerate(range(0, len(self.places), songs)):
            yield replace(self, window=window, places=self.places.take(np.s_[start : start + songs]))


class Plan:
    """The training and held-out songs of a snapshot and the order of every epoch. `paths`: of the shards, (shard,).

    Of the songs `subset` are used, where that is not None.
    """

    def __init__(
        self, songs: pa.Table, fraction: float, most: int, seed: int, subset: int | None = None
    ) -> None:
        self.seed = seed
        self._rows: np.ndarray | None = None  # of the table, of the subset
        if subset is not None and subset < songs.num_rows:
            mask = subset_mask(_texts(songs[TRACK_ID]), subset)
            self._rows, songs = np.flatnonzero(mask), songs.filter(pa.array(mask))
        self.paths, self._places = _places(songs)
        mask = heldout_mask(_texts(songs[TRACK_ID]), fraction, most, seed)
        self.heldout, training = np.flatnonzero(mask), np.flatnonzero(~mask)
        order, self._starts = self._places.take(training).by_row_group()
        self.training = training[order]

    @property
    def n_songs(self) -> int:
        """Training songs."""
        return len(self.training)

    @property
    def n_frames(self) -> int:
        """Frames of the training songs."""
        return int(self._places.n_frames[self.training].sum(dtype=np.int64))

    @property
    def n_row_groups(self) -> int:
        """Row groups with training songs."""
        return len(self._starts) - 1

    def epoch(
        self, epoch: int, batch_songs: int, window_frames: int, skip_windows: int = 0
    ) -> Iterator[Batch]:
        """The batches of one epoch: every training song exactly once, the last batch may be short.

        Songs are shuffled inside windows of about `window_frames`, whole batches, one at least.
        """
        turns = self._order(batch_songs, window_frames).epoch(epoch, skip_windows)
        return map(self._batch, turns)

    def batches(self, epochs: int, batch_songs: int, window_frames: int, done: int) -> Iterator[Batch]:
        """The batches of all epochs after the first `done` steps."""
        return map(self._batch, self._order(batch_songs, window_frames).epochs(epochs, done))

    def steps_per_epoch(self, batch_songs: int) -> int:
        return -(-self.n_songs // batch_songs)

    def row_group(self, number: int) -> Places:
        """The training songs of one row group."""
        return self._places.take(self.training[self._starts[number] : self._starts[number + 1]])

    def some_row_groups(self, most: int) -> np.ndarray:
        """Numbers of `most` random row groups, or of all, ascending."""
        return some_groups(self.n_row_groups, self.seed, most)

    def heldout_batch(self) -> Batch:
        """The held-out songs as one batch."""
        return Batch(-1, 0, True, 0, self._places.take(self.heldout))

    def probe_batch(self, songs: int) -> Batch:
        """Some training songs as one batch, from as few row groups as make a fair sample."""
        return Batch(-1, 0, True, 0, self._places.take(self._probe_songs(songs)))

    def probe_rows(self, songs: int) -> np.ndarray:
        """Rows of the table of songs, (song,), in which those of `probe_batch` are."""
        chosen = self._probe_songs(songs)
        return chosen if self._rows is None else self._rows[chosen]

    def _probe_songs(self, songs: int) -> np.ndarray:
        return np.sort(self.training[some_songs(self._starts, self.seed, songs)])

    def _order(self, batch_songs: int, window_frames: int) -> Order:
        window = max(1, window_frames * self.n_songs // (max(self.n_frames, 1) * batch_songs))
        return Order(self._starts, self.seed, batch_songs, window)

    def _batch(self, turn: Turn) -> Batch:
        places = self._places.take(self.training[turn.songs])
        return Batch(turn.epoch, turn.index, turn.last, turn.window, places)


def _places(songs: pa.Table) -> tuple[np.ndarray, Places]:
    """Paths (shard,) in their alphabet's order, as an array that processes share; the songs' places."""
    column = songs[PATH].combine_chunks()
    coded = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()
    paths, numbers = np.unique(np.array(coded.dictionary.to_pylist(), dtype=np.str_), return_inverse=True)
    shard = numbers.astype(np.int32)[coded.indices.to_numpy()]
    return paths, Places(shard, *(songs[name].to_numpy() for name in (ROW_GROUP, ROW, N_FRAMES)))


def _texts(column: pa.ChunkedArray) -> Iterator[str]:
    for start in range(0, len(column), SLICE_SONGS):
        yield from column.slice(start, SLICE_SONGS).to_pylist()
