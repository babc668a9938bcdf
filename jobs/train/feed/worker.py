"""The data worker: reads row groups of committed shards, whitens, packs ragged mini-batches.

Stateless but for a cache, so that any worker can produce any batch again, with equal bits. Whole row groups are
whitened, once while they are kept: a song's frames do not depend on the batch it is in.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from hdpgmm.data.autocorrelation import Lagged, lagged
from hdpgmm.data.whitening import Moments, Whitening, moments
from infra.errors import StorageError
from infra.root.songs import read_block
from infra.storage.store import Store
from jobs.train.feed.plan import Places

CACHE_BYTES = 256 << 20
WINDOW_BYTES = (
    CACHE_BYTES // 4 * 3
)  # of songs shuffled together: their row groups fit, with those at the border
LAGGED_FRAMES = 4096  # of a row group
Surveyed = tuple[Moments | None, np.ndarray, Lagged | None]
Ragged = tuple[np.ndarray, np.ndarray]  # values (frame, dim) float32, offsets (song + 1,) int64


class DataWorker:
    """One reader of `root`. Keeps at most `cache_bytes` of whitened row groups, or one."""

    def __init__(self, root: str, cache_bytes: int = CACHE_BYTES) -> None:
        threadpool_limits(1)
        self.store = Store(root)
        self.cache_bytes = cache_bytes
        self._cache: OrderedDict[tuple[str, int], Ragged] = OrderedDict()
        self._whitening: Whitening | None = None

    def survey(
        self, paths: np.ndarray, places: Places, share: float, seed: Sequence[int], summed: bool
    ) -> Surveyed:
        """Of songs of one row group: moments of all frames if `summed`, a random `share` of them (frame, dim).

        Where frames are taken, also products with those that follow them, of the first LAGGED_FRAMES.
        """
        block = read_block(
            self.store, str(paths[places.shard[0]]), int(places.row_group[0]), places.row.tolist()
        )
        chosen = np.random.default_rng(list(seed)).random(len(block.values)) < share
        ends = np.minimum(block.offsets, LAGGED_FRAMES)
        followed = lagged(block.values[:LAGGED_FRAMES], ends) if share else None
        return moments(block.values) if summed else None, block.values[chosen], followed

    def batch(self, paths: np.ndarray, places: Places, whitening: Whitening) -> Ragged:
        """Whitened frames of these songs in this order; paths (shard,) str are what `places.shard` counts in."""
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(places.n_frames, dtype=np.int64)])
        values = np.empty((int(offsets[-1]), len(whitening.mean)), np.float32)
        for song, frames in self._songs(paths, places, whitening):
            values[offsets[song] : offsets[song + 1]] = frames
        return values, offsets

    def _songs(
        self, paths: np.ndarray, places: Places, whitening: Whitening
    ) -> Iterator[tuple[int, np.ndarray]]:
        """(number, frames (frame, dim)) of every song, row group by row group; no row group outlives its turn."""
        order, bounds = places.by_row_group()
        for start, stop in pairwise(bounds):
            path, group = str(paths[places.shard[order[start]]]), int(places.row_group[order[start]])
            values, offsets = self._block(path, group, whitening)
            for song in order[start:stop].tolist():
                row, n_frames = places.row[song], places.n_frames[song]
                if row + 1 >= len(offsets) or offsets[row + 1] - offsets[row] != n_frames:
                    where = f"{self.store.uri(path)}, row group {group}, row {row}"
                    raise StorageError(f"{where}: not the {n_frames} frames that the songs table says")
                yield song, values[offsets[row] : offsets[row + 1]]

    def _block(self, path: str, group: int, whitening: Whitening) -> Ragged:
        if self._whitening is None or not _same(self._whitening, whitening):
            self._cache.clear()
            self._whitening = Whitening(whitening.mean.copy(), whitening.transform.copy())
        if (path, group) not in self._cache:
            block = read_block(self.store, path, group)
            self._keep((path, group), (whitening(block.values), block.offsets))
        self._cache.move_to_end((path, group))
        return self._cache[path, group]

    def _keep(self, key: tuple[str, int], block: Ragged) -> None:
        """Room is made before: together they never exceed `cache_bytes`, unless this one alone does."""
        held = _bytes(block) + sum(map(_bytes, self._cache.values()))
        while self._cache and held > self.cache_bytes:
            held -= _bytes(self._cache.popitem(last=False)[1])
        self._cache[key] = block


def _bytes(block: Ragged) -> int:
    return sum(part.nbytes for part in block)


def _same(one: Whitening, other: Whitening) -> bool:
    return np.array_equal(one.mean, other.mean) and np.array_equal(one.transform, other.transform)
