"""The data worker: reads row groups of committed shards, whitens, packs ragged mini-batches.

Stateless but for a cache, so that any worker can produce any batch again, with equal bits. Whole row groups are
whitened, once while they are kept: a song's frames do not depend on the batch it is in.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from hdpgmm.data.survey import Surveyed, survey_group
from hdpgmm.data.whitening import Whitening
from hdpgmm.ragged import Ragged, ragged
from infra.errors import StorageError
from infra.root.songs import read_block
from infra.storage.store import Store
from jobs.train.feed.plan import Places

CACHE_BYTES = 256 << 20
WINDOW_BYTES = (
    CACHE_BYTES // 4 * 3
)  # of songs shuffled together: their row groups fit, with those at the border
Songs = Ragged[np.ndarray]  # values (frame, dim) float32


class DataWorker:
    """One reader of `root`. Keeps at most `cache_bytes` of whitened row groups, or one."""

    def __init__(self, root: str, cache_bytes: int = CACHE_BYTES) -> None:
        threadpool_limits(1)
        self.store = Store(root)
        self.cache_bytes = cache_bytes
        self._cache: OrderedDict[tuple[str, int], Songs] = OrderedDict()
        self._whitening: Whitening | None = None

    def survey(
        self, paths: np.ndarray, places: Places, share: float, seed: Sequence[int], summed: bool
    ) -> Surveyed:
        """`survey_group` of songs of one row group."""
        path, group = str(paths[places.shard[0]]), int(places.row_group[0])
        block = read_block(self.store, path, group, places.row.tolist())
        return survey_group(ragged(block.lengths, block.values), share, seed, summed)

    def batch(self, paths: np.ndarray, places: Places, whitening: Whitening) -> Songs:
        """Whitened frames of these songs in this order; paths (shard,) str are what `places.shard` counts in."""
        n_frames = int(places.n_frames.sum(dtype=np.int64))
        songs = ragged(places.n_frames, np.empty((n_frames, len(whitening.mean)), np.float32))
        for song, frames in self._songs(paths, places, whitening):
            songs[song][:] = frames
        return songs

    def _songs(
        self, paths: np.ndarray, places: Places, whitening: Whitening
    ) -> Iterator[tuple[int, np.ndarray]]:
        """(number, frames (frame, dim)) of every song, row group by row group; no row group outlives its turn."""
        order, bounds = places.by_row_group()
        for start, stop in pairwise(bounds):
            path, group = str(paths[places.shard[order[start]]]), int(places.row_group[order[start]])
            block = self._block(path, group, whitening)
            for song in order[start:stop].tolist():
                row, n_frames = int(places.row[song]), int(places.n_frames[song])
                if row >= len(block) or len(block[row]) != n_frames:
                    where = f"{self.store.uri(path)}, row group {group}, row {row}"
                    raise StorageError(f"{where}: not the {n_frames} frames that the songs table says")
                yield song, block[row]

    def _block(self, path: str, group: int, whitening: Whitening) -> Songs:
        if self._whitening is None or not _same(self._whitening, whitening):
            self._cache.clear()
            self._whitening = Whitening(whitening.mean.copy(), whitening.transform.copy())
        if (path, group) not in self._cache:
            block = read_block(self.store, path, group)
            self._keep((path, group), ragged(block.lengths, whitening(block.values)))
        self._cache.move_to_end((path, group))
        return self._cache[path, group]

    def _keep(self, key: tuple[str, int], block: Songs) -> None:
        """Room is made before: together they never exceed `cache_bytes`, unless this one alone does."""
        held = block.nbytes + sum(kept.nbytes for kept in self._cache.values())
        while self._cache and held > self.cache_bytes:
            held -= self._cache.popitem(last=False)[1].nbytes
        self._cache[key] = block


def _same(one: Whitening, other: Whitening) -> bool:
    return np.array_equal(one.mean, other.mean) and np.array_equal(one.transform, other.transform)
