"""Usage, lift and deviations, on examples small enough to count."""

import numpy as np
import pytest

from evaluation.interpret import (
    FrameTally,
    Tally,
    carrying,
    deviations,
    effective_number,
    in_words,
    label_lift,
    tally,
    tally_frames,
    top_labels,
    usage,
)


def lift_of(shares: np.ndarray, members: np.ndarray) -> np.ndarray:
    return label_lift(tally(shares, np.ones(len(shares)), members))


def test_usage_weighs_songs_by_their_frames():
    shares = np.array([[1.0, 0, 0], [0, 0.5, 0.5]])
    counted = tally(shares, np.array([100, 300]), np.zeros((0, 2), dtype=bool))
    np.testing.assert_allclose(usage(counted), [0.25, 0.375, 0.375])


def test_effective_and_carrying_numbers():
    assert effective_number(np.array([0.25] * 4 + [0.0])) == pytest.approx(4)
    assert effective_number(np.array([1.0, 0.0])) == 1
    assert carrying(np.array([0.5, 0.485, 0.01, 0.005])) == 3
    assert carrying(np.array([0.0, 1.0])) == 1


def test_lift_on_paper():
    """Two of eight songs are jazz and hold component 0 wholly, nobody else does: mu 1/4, lift (2 + 5/4) / (7/4)."""
    shares = np.repeat([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [2, 6], axis=0)
    members = np.array([[True] * 2 + [False] * 6, [True] * 8])
    lift = lift_of(shares, members)
    assert lift[0, 0] == pytest.approx((2 + 5 / 4) / (7 / 4))
    assert lift[0, 1] == pytest.approx((0 + 5 * 0.75) / (7 * 0.75))
    np.testing.assert_allclose(lift[1, :2], 1.0)
    assert lift[0, 2] == 1.0


def test_more_songs_make_the_same_excess_more_believable():
    shares = np.repeat([[1.0, 0.0], [0.0, 1.0]], [20, 80], axis=0)
    members = np.array([[True] + [False] * 99, [True] * 20 + [False] * 80])
    lift = lift_of(shares, members)
    assert lift[1, 0] > lift[0, 0] > 1


def test_labels_are_listed_by_lift_where_it_is_notable_and_has_enough_songs():
    names, counts = ["rare", "jazz", "rock", "folk"], np.array([1, 5, 9, 4])
    listed = top_labels(np.array([9.0, 1.5, 2.5, 1.05]), names, counts, min_count=2, limit=5)
    assert [(item.label, item.lift, item.n_songs) for item in listed] == [("rock", 2.5, 9), ("jazz", 1.5, 5)]
    assert [item.label for item in top_labels(np.array([9.0, 1.5, 2.5, 0.7]), names, counts, 1, 1)] == [
        "rare"
    ]


def test_tallies_of_parts_add_up_to_the_whole():
    rng = np.random.default_rng(0)
    shares, n_frames, members = rng.random((9, 4)), rng.integers(1, 9, 9), rng.random((3, 9)) < 0.5
    parts = [tally(shares[i], n_frames[i], members[:, i]) for i in (slice(0, 2), slice(2, 9))]
    whole: Tally = tally(shares, n_frames, members)
    for name, value in vars(parts[0] + parts[1]).items():
        np.testing.assert_allclose(value, vars(whole)[name])
    x, r = rng.normal(size=(20, 2)), rng.random((20, 4))
    summed: FrameTally = tally_frames(x[:5], r[:5]) + tally_frames(x[5:], r[5:])
    for name, value in vars(summed).items():
        np.testing.assert_allclose(value, vars(tally_frames(x, r))[name])


def test_a_component_of_the_loud_frames_is_louder():
    """Half of the frames are at 1, half at -1: each half is one standard deviation from the mean."""
    loudness = np.repeat([[1.0], [-1.0]], 50, axis=0)
    responsibility = np.column_stack([loudness[:, 0] > 0, loudness[:, 0] < 0, np.zeros(100)])
    np.testing.assert_allclose(deviations(tally_frames(loudness, responsibility)), [[1.0], [-1.0], [0.0]])


@pytest.mark.parametrize(
    ("deviation", "words"), [(0.1, "as usual"), (-0.9, "quieter"), (0.9, "louder"), (-2.0, "much quieter")]
)
def test_deviations_in_words(deviation: float, words: str):
    assert in_words(deviation, "quieter", "louder") == words
