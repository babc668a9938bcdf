"""The data worker: reads row groups of committed shards, whitens, packs ragged mini-batches.

Stateless but for a cache, so that any worker can produce any batch again, with equal bits.
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from threadpoolctl import threadpool_limits

from hdpgmm.whitening import Moments, Whitening, moments
from infra.plan import Pick
from infra.songs import SongBlock, read_block
from infra.storage import Store


class DataWorker:
    """One reader of `root`. Keeps at most `cache_bytes` of decoded row groups."""

    def __init__(self, root: str, cache_bytes: int = 256 << 20) -> None:
        threadpool_limits(1)
        self.store = Store(root)
        self.cache_bytes = cache_bytes
        self._cache: OrderedDict[tuple[str, int], SongBlock] = OrderedDict()

    def survey(self, picks: list[Pick], share: float, seed: Sequence[int]) -> tuple[Moments, np.ndarray]:
        """Moments of all frames of these songs, and a random `share` of the frames (frame, dim) float32."""
        values, _ = self._gather(picks)
        chosen = np.random.default_rng(list(seed)).random(len(values)) < share
        return moments(values), values[chosen]

    def batch(self, picks: list[Pick], whitening: Whitening) -> tuple[np.ndarray, np.ndarray]:
        """Whitened frames (frame, dim) float32 of these songs in this order, and offsets (song + 1,) int64."""
        if not picks:
            return np.empty((0, len(whitening.mean)), np.float32), np.zeros(1, np.int64)
        values, offsets = self._gather(picks)
        return whitening(values), offsets

    def _gather(self, picks: list[Pick]) -> tuple[np.ndarray, np.ndarray]:
        wanted = sorted(range(len(picks)), key=lambda i: picks[i][:2])
        songs: list[np.ndarray] = [np.empty(0)] * len(picks)
        for (path, group), members in groupby(wanted, key=lambda i: picks[i][:2]):
            block = self._block(path, group)
            for i in members:
                row = picks[i][2]
                songs[i] = block.values[block.offsets[row] : block.offsets[row + 1]]
        offsets = np.cumsum([0, *map(len, songs)], dtype=np.int64)
        return np.concatenate(songs), offsets

    def _block(self, path: str, group: int) -> SongBlock:
        key = (path, group)
        if key not in self._cache:
            self._cache[key] = read_block(self.store, path, group)
            while (
                len(self._cache) > 1 and sum(b.values.nbytes for b in self._cache.values()) > self.cache_bytes
            ):
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]
