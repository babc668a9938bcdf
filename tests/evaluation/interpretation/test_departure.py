"""Which components move a song away from others: sums written out, and signs that no factor of a song can turn."""

import numpy as np
import pytest

from evaluation.interpretation.departure import block_shares, cosines, directions


def test_a_components_share_is_that_of_its_squares_of_both_gradients():
    rng = np.random.default_rng(0)
    blocks, mean = rng.normal(size=(2, 2, 3, 4))
    found = block_shares(blocks, mean)
    squares = [
        sum((blocks[part, k, d] - mean[part, k, d]) ** 2 for part in range(2) for d in range(4))
        for k in range(3)
    ]
    np.testing.assert_allclose(found, np.array(squares) / sum(squares))
    assert block_shares(mean, mean).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("own", "mean", "has", "expected"),
    [
        (0.8, 0.2, True, 1),  # a good part of the shift, and more than of songs
        (0.8, 0.9, True, 0),  # as songs are
        (0.2, 0.0, True, 0),  # hardly any of it
        (-0.5, 0.1, True, -1),
        (-0.5, -0.6, True, 0),
        (0.8, 0.2, False, 0),  # without frames there
        (0.0, -0.9, True, 0),
    ],
)
def test_a_direction_is_a_good_part_of_the_shift_and_more_than_of_songs(
    own: float, mean: float, has: bool, expected: int
):
    found = directions(np.array([[own]]), np.array([[mean]]), np.array([has]))
    assert found.tolist() == [[expected]]


def test_cosines_are_of_angles_and_know_no_factor():
    rng = np.random.default_rng(0)
    shifts, axes = rng.normal(size=(4, 3, 5)), rng.normal(size=(2, 5))
    found = cosines(shifts, axes)
    for i, k, a in np.ndindex(4, 3, 2):
        u, v = shifts[i, k], axes[a]
        angle = 2 * np.arcsin(np.linalg.norm(u / np.linalg.norm(u) - v / np.linalg.norm(v)) / 2)
        assert found[i, k, a] == pytest.approx(np.cos(angle))
    np.testing.assert_allclose(cosines(7.0 * shifts, axes), found)
    assert not cosines(np.zeros((1, 5)), axes).any()
