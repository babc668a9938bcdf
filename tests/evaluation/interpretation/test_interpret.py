"""Usage, on examples small enough to count."""

import numpy as np
import pytest

from evaluation.interpretation import tally as tally_module
from evaluation.interpretation.tally import (
    Tally,
    carriers,
    carrying,
    effective_number,
    tally,
    usage,
)
from hdpgmm.moves import support


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


def test_carriers_have_a_hundredth_of_their_frames_there():
    """Five songs of three artists: component 0 is everyone's, 1 is three songs', 2 four songs' of two artists."""
    shares = np.array(
        [[0.5, 0.49, 0.01], [0.9, 0.05, 0.05], [0.1, 0.45, 0.45], [0.98, 0.009, 0.011], [1.0, 0, 0]]
    )
    found = carriers(shares, np.array([7, 7, 2, 2, 5]))
    assert (found.songs.tolist(), found.groups.tolist()) == ([5, 3, 4], [3, 2, 2])
    assert found.few.tolist() == [False, True, True]
    alone = carriers(shares, None)
    assert (alone.groups.tolist(), alone.few.tolist()) == ([5, 3, 4], [False, True, False])


def test_training_takes_the_same_components_for_those_of_few():
    """Neither package knows the other."""
    numbers = support.CARRIED, support.FEW_SONGS, support.FEW_GROUPS
    assert numbers == (tally_module.CARRIED, tally_module.FEW_SONGS, tally_module.FEW_GROUPS)


def test_tallies_of_parts_add_up_to_the_whole():
    rng = np.random.default_rng(0)
    shares, n_frames, members = rng.random((9, 4)), rng.integers(1, 9, 9), rng.random((3, 9)) < 0.5
    parts = [tally(shares[i], n_frames[i], members[:, i]) for i in (slice(0, 2), slice(2, 9))]
    whole: Tally = tally(shares, n_frames, members)
    for name, value in vars(parts[0] + parts[1]).items():
        np.testing.assert_allclose(value, vars(whole)[name])
