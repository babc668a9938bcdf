"""The bench of vectors: its own comparison model, and what it calls components of few songs."""

from pathlib import Path

import numpy as np
import pytest

from jobs.evaluate.inputs import find_inputs
from tests.bench.vectors import _moments, few_songs_mass
from tests.jobs.scored_roots import Song, make_songs, write_root


def test_means_deviations_and_correlations_of_a_song() -> None:
    frames = np.random.default_rng(0).normal(size=(50, 4)) @ np.diag([1.0, 2.0, 3.0, 0.0]) + 1.0
    found = _moments(frames.astype(np.float32))
    expected = np.corrcoef(frames[:, :3].T)
    np.testing.assert_allclose(found[:8], [*frames.mean(0), *frames.std(0)], atol=1e-6)
    np.testing.assert_allclose(found[[8, 9, 11]], expected[[0, 0, 1], [1, 2, 2]], atol=1e-5)
    assert (found[[10, 12, 13]] == 0.0).all()  # with what never changes


@pytest.mark.parametrize(
    ("carriers", "size", "expected"), [(3, 1, 0.1), (4, 1, 0.0), (4, 2, 0.1), (6, 2, 0.0)]
)
def test_components_of_few_songs_or_groups(tmp_path: Path, carriers: int, size: int, expected: float) -> None:
    """One component has a tenth of all frames, of so many songs of equal length; artists have `size` songs each."""
    rng = np.random.default_rng(0)
    songs = []
    for i, song in enumerate(make_songs(12)):
        share = 1.2 / carriers if i < carriers else 0.0
        shares = np.array([1.0 - share, 0.0, 0.0, 0.0, 0.0, share])
        frames = rng.normal(size=(40, song.frames.shape[1])).astype(np.float32)
        songs.append(Song(song.track_id, frames, shares, song.style, song.tags, f"g{i // size}"))
    inputs = find_inputs(write_root(tmp_path, songs), "default", None)
    assert few_songs_mass(inputs) == pytest.approx(expected, abs=1e-5)
