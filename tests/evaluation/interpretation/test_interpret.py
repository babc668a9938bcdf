"""Usage, on examples small enough to count."""

import numpy as np
import pytest

from evaluation.interpretation.tally import (
    Tally,
    carrying,
    effective_number,
    tally,
    usage,
)


def test_usage_weighs_songs_by_their_frames():
    shares = np.array([[1.0, 0, 0], [0, 0.5, 0.5]])
    counted = tally(shares, np.array([100, 300]), np.zeros((0, 2), dtype=bool))
    np.testing.assert_allclose(usage(counted), [0.25, 0.375, 0.375])


def test_effective_and_carrying_numbers():
    assert effective_number(np.array([0.25] * 4 + [0.0])) == pytest.approx(4)
    assert effective_number(np.array([1.0, 0.0])) == 1
    assert carrying(np.array([0.5, 0.485, 0.01, 0.005])) == 3
    assert carrying(np.array([0.0, 1.0])) == 1


def test_songs_are_counted_by_their_share():
    shares = np.array([[0.0], [0.0009], [0.001], [0.02], [0.05], [0.2], [0.3], [1.0]])
    counted = tally(shares, np.ones(8), np.zeros((0, 8), dtype=bool))
    assert counted.spread[:, 0].tolist() == [2, 1, 1, 1, 1, 2]


def test_tallies_of_parts_add_up_to_the_whole():
    rng = np.random.default_rng(0)
    shares, n_frames, members = rng.random((9, 4)), rng.integers(1, 9, 9), rng.random((3, 9)) < 0.5
    parts = [tally(shares[i], n_frames[i], members[:, i]) for i in (slice(0, 2), slice(2, 9))]
    whole: Tally = tally(shares, n_frames, members)
    for name, value in vars(parts[0] + parts[1]).items():
        np.testing.assert_allclose(value, vars(whole)[name])
