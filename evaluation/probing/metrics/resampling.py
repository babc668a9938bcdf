"""Bootstrap resamples as song weights."""

from collections.abc import Iterator

import numpy as np

_CHUNK = 4_000_000  # weights held at once


def resamples(n_songs: int, groups: np.ndarray | None, count: int, seed: int) -> Iterator[np.ndarray]:
    """Bootstrap weights in blocks (resample, song): how often each song is drawn. Groups are drawn whole.

    The same seed gives the same draws, so models are compared on the same resamples.
    """
    rng = np.random.default_rng([seed, n_songs])
    codes = np.arange(n_songs) if groups is None else np.unique(groups, return_inverse=True)[1]
    units, block = int(codes.max()) + 1, max(1, _CHUNK // n_songs)
    for start in range(0, count, block):
        size = min(block, count - start)
        drawn = rng.multinomial(units, np.full(units, 1 / units), size=size)
        yield drawn[:, codes].astype(np.float64)
