"""Usage, lift and deviations, on examples small enough to count."""

import numpy as np
import pytest

from evaluation.interpretation.tally import (
    FrameTally,
    Tally,
    carrying,
    deviations,
    effective_number,
    in_words,
    label_lift,
    lift_interval,
    lifts_of,
    standing_out,
    tally,
    tally_frames,
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


def test_labels_are_listed_by_lift_and_stand_out_where_their_interval_lies_above_one():
    names, counts = ["rare", "jazz", "rock", "folk", "wide"], np.array([1, 5, 9, 4, 3])
    table = np.array([[9.0, 1.5, 2.5, 1.05, 3.0], [5, 1.2, 1.9, 1.01, 0.8], [12, 1.8, 3.1, 1.1, 9]])
    lifts = lifts_of(table, names, counts, min_count=2)
    assert [(item.label, item.lift, item.n_songs, item.low) for item in lifts[:2]] == [
        ("wide", 3.0, 3, 0.8),
        ("rock", 2.5, 9, 1.9),
    ]
    assert [item.label for item in lifts] == ["wide", "rock", "jazz", "folk"]
    assert [item.label for item in standing_out(lifts, 5)] == ["rock", "jazz"]
    assert [item.label for item in standing_out(lifts, 1)] == ["rock"]


@pytest.mark.parametrize("n_label", [4, 20])
def test_intervals_cover_one_where_a_label_means_nothing(n_label: int):
    """Labels at random: 95 % of the intervals hold 1; 2,000 draws, so within 90 to 99 % beyond doubt."""
    rng = np.random.default_rng(n_label)
    held = []
    for _ in range(100):
        shares = rng.beta(0.5, 4.5, size=(100, 20))
        members = np.arange(100)[None] < n_label
        low, high = lift_interval(tally(shares, np.ones(100), members))
        held += ((low[0] <= 1) & (high[0] >= 1)).tolist()
    assert 0.90 < np.mean(held) < 0.99


def test_an_interval_is_that_of_a_bootstrap_where_songs_are_many():
    """Half widths of resampling songs, 400 times: Monte Carlo error 4 %."""
    rng = np.random.default_rng(3)
    shares = np.concatenate([rng.beta(2, 6, (300, 1)), rng.beta(1, 9, (700, 1))])
    members = np.arange(1000)[None] < 300
    low, high = lift_interval(tally(shares, np.ones(1000), members))
    draws = []
    for _ in range(400):
        i = rng.integers(0, 1000, 1000)
        draws.append(lift_of(shares[i], members[:, i])[0, 0])
    expected = 1.96 * np.std(draws)
    assert (high - low)[0, 0] / 2 == pytest.approx(expected, rel=0.12)
    assert lift_of(shares, members)[0, 0] == pytest.approx((high + low)[0, 0] / 2)


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
