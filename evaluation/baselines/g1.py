"""G1: one Gaussian a song. Each song's mean and standard deviation per feature."""

import numpy as np

from evaluation.baselines.baseline import Songs, Transform, lengths_of


def g1(songs: Songs) -> np.ndarray:
    """G1: each song's mean and standard deviation per feature, float64 (song, 2 dim)."""
    values, starts, lengths = songs.values, songs.starts, lengths_of(songs)
    mean = np.add.reduceat(values.astype(np.float64), starts, axis=0) / lengths
    spread = (values - np.repeat(mean, lengths[:, 0], axis=0)) ** 2
    sd = np.sqrt(np.add.reduceat(spread, starts, axis=0) / lengths)
    return np.concatenate([mean, sd], axis=1)


class G1:
    """The comparison model."""

    seeded, sampled, key = False, False, ()

    def rows(self, n_sampled: int) -> tuple[str, ...]:
        """One row."""
        return ("G1",)

    def by_shares(self) -> None:
        """It has no units."""
        return

    def fit(self, sample: np.ndarray, seed: int) -> Transform:
        """Nothing is learned."""
        return lambda songs: (g1(songs),)
