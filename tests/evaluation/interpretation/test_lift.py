"""Lifts and their intervals, on examples small enough to count, and on songs of artists drawn anew."""

import numpy as np
import pytest

from evaluation.interpretation.lift import (
    group_codes,
    group_sums,
    label_lift,
    lift_interval,
    lifts_of,
)
from evaluation.interpretation.tally import tally


def interval(
    shares: np.ndarray, members: np.ndarray, codes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    codes = np.arange(len(shares)) if codes is None else codes
    return lift_interval(group_sums(shares, members, codes, int(codes.max()) + 1))


def lift_of(shares: np.ndarray, members: np.ndarray) -> np.ndarray:
    return label_lift(tally(shares, np.ones(len(shares)), members))


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


def test_labels_with_songs_enough_are_listed_by_lift():
    names, counts = ["rare", "jazz", "rock", "folk", "wide"], np.array([1, 5, 9, 4, 3])
    table = np.array([[9.0, 1.5, 2.5, 1.05, 3.0], [5, 1.2, 1.9, 1.01, 0.8], [12, 1.8, 3.1, 1.1, 9]])
    lifts = lifts_of(table, names, counts, min_songs=2)
    assert [(item.label, item.lift, item.n_songs, item.low) for item in lifts[:2]] == [
        ("wide", 3.0, 3, 0.8),
        ("rock", 2.5, 9, 1.9),
    ]
    assert [item.label for item in lifts] == ["wide", "rock", "jazz", "folk"]


@pytest.mark.parametrize("n_label", [4, 20])
def test_intervals_cover_one_where_a_label_means_nothing(n_label: int):
    """Labels at random: 95 % of the intervals hold 1; 2,000 draws, so within 90 to 99 % beyond doubt."""
    rng = np.random.default_rng(n_label)
    held = []
    for _ in range(100):
        shares = rng.beta(0.5, 4.5, size=(100, 20))
        members = np.arange(100)[None] < n_label
        low, high = interval(shares, members)
        held += ((low[0] <= 1) & (high[0] >= 1)).tolist()
    assert 0.90 < np.mean(held) < 0.99


def test_an_interval_is_that_of_a_bootstrap_where_songs_are_many():
    """Half widths of resampling songs, 400 times: Monte Carlo error 4 %."""
    rng = np.random.default_rng(3)
    shares = np.concatenate([rng.beta(2, 6, (300, 1)), rng.beta(1, 9, (700, 1))])
    members = np.arange(1000)[None] < 300
    low, high = interval(shares, members)
    draws = []
    for _ in range(400):
        i = rng.integers(0, 1000, 1000)
        draws.append(lift_of(shares[i], members[:, i])[0, 0])
    expected = 1.96 * np.std(draws)
    assert (high - low)[0, 0] / 2 == pytest.approx(expected, rel=0.12)
    assert lift_of(shares, members)[0, 0] == pytest.approx((high + low)[0, 0] / 2)


def artists(rng: np.random.Generator, n: int, songs: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Shares (song, 1) of n artists who differ from each other by `spread`, and their codes."""
    codes = np.repeat(np.arange(n), songs)
    own = rng.gamma(1 / spread**2, spread**2, n)[codes]
    return (0.05 * own * rng.gamma(50.0, 1 / 50, n * songs))[:, None], codes


def test_ten_songs_of_an_artist_are_not_ten_observations():
    """30 artists of 10 songs each have the label, 90 others do not; the lift is 1.20.

    By songs the interval is about [1.1, 1.3]; the right one is that of a bootstrap which resamples artists.
    """
    rng = np.random.default_rng(0)
    shares, codes = artists(rng, 120, 10, 1.0)
    member = codes < 30
    ratio = (1.2 * 305 - 5) / 300  # of the label's mean to that of all, before smoothing
    shares[member] *= 0.05 * ratio / shares[member].mean()
    shares[~member] *= 0.05 * (4 - ratio) / 3 / shares[~member].mean()
    members = member[None]
    (lift,) = label_lift(tally(shares, np.ones(1200), members))[0]
    assert lift == pytest.approx(1.2)
    by_song, by_artist = interval(shares, members), interval(shares, members, codes)
    draws = []
    for _ in range(400):
        songs = (rng.integers(0, 120, 120)[:, None] * 10 + np.arange(10)).ravel()
        draws.append(lift_of(shares[songs], members[:, songs])[0, 0])
    assert by_artist[1][0, 0] - by_artist[0][0, 0] == pytest.approx(2 * 1.96 * np.std(draws), rel=0.12)
    assert by_song[0][0, 0] > 1.05
    assert by_artist[0][0, 0] < 0.95


@pytest.mark.parametrize("n_label", [6, 30])
def test_intervals_over_artists_cover_one_where_a_label_means_nothing(n_label: int):
    """Artists of 1 to 12 songs differ; labels are of whole artists at random."""
    rng, held, by_song = np.random.default_rng(n_label), [], []
    for _ in range(300):
        codes = np.repeat(np.arange(90), rng.integers(1, 13, 90))
        shares = (rng.gamma(4.0, 0.25, 90)[codes] * rng.gamma(8.0, 1 / 8, len(codes)))[:, None]
        members = np.isin(codes, rng.choice(90, n_label, replace=False))[None]
        for found, given in ((held, codes), (by_song, None)):
            low, high = interval(shares, members, given)
            found.append(bool(low[0, 0] <= 1 <= high[0, 0]))
    assert 0.90 < np.mean(held) < 0.99
    assert np.mean(by_song) < 0.80


def test_the_interval_covers_the_lift_of_other_songs():
    """Songs drawn anew from the same label: 95 % of intervals hold its lift."""
    rng, inside = np.random.default_rng(5), 0
    groups, member = np.repeat(np.arange(80), 3), np.arange(240) < 120
    shares = np.zeros((240, 2))
    for _ in range(300):
        artist = rng.gamma(2.0, 0.5, 80)[groups]
        share = np.where(member, 0.2, 0.1) * artist * rng.gamma(8.0, 1 / 8, 240)
        shares = np.stack([share, np.full(240, 0.15)], 1)
        low, high = interval(shares, member[None], groups)
        inside += low[0, 0] <= 0.2 / 0.15 <= high[0, 0]
    assert inside / 300 == pytest.approx(0.95, abs=0.05)
    low, high = interval(shares, member[None], groups)
    middle = label_lift(tally(shares, np.ones(240), member[None]))
    assert (low <= middle + 1e-12).all()
    assert (middle <= high + 1e-12).all()
    np.testing.assert_allclose(low[0, 1], middle[0, 1])


def test_a_label_of_all_songs_is_as_usual_for_certain():
    shares, codes = artists(np.random.default_rng(6), 9, 5, 0.5)
    for given in (codes, None):
        np.testing.assert_allclose(interval(shares, np.ones((1, 45), bool), given), 1.0, atol=1e-6)


def test_a_label_of_one_artist_has_no_interval():
    shares, codes = artists(np.random.default_rng(1), 9, 5, 0.5)
    low, high = interval(shares, np.stack([codes == 0, codes < 2, codes < 0]), codes)
    assert (low[[0, 2], 0].tolist(), high[[0, 2], 0].tolist()) == ([0.0, 0.0], [np.inf, np.inf])
    assert np.isfinite(high[1, 0])


def test_sums_of_parts_add_up_to_the_whole():
    rng = np.random.default_rng(2)
    shares, members, codes = rng.random((40, 3)), rng.random((5, 40)) < 0.3, rng.integers(0, 6, 40)
    parts = [
        group_sums(shares[i], members[:, i], codes[i], 6)
        for i in (slice(0, 13), slice(13, 14), slice(14, 40))
    ]
    whole = group_sums(shares, members, codes, 6)
    for name, value in vars(parts[0] + parts[1] + parts[2]).items():
        np.testing.assert_allclose(value, vars(whole)[name])


def test_songs_without_a_group_are_groups_by_track_their_own_and_many_are_merged_into_few():
    codes = group_codes(["x", None, "x", None, "", "y"])
    assert codes.tolist() == [0, 1, 0, 2, 3, 4]
    many = group_codes([f"g{i // 3}" for i in range(3000)], 10)
    assert set(np.bincount(many)) == {300}
    assert (many.reshape(1000, 3) == many.reshape(1000, 3)[:, :1]).all()


def test_random_groups_give_the_same_interval_on_average():
    shares, codes = artists(np.random.default_rng(4), 1000, 3, 0.7)
    members = (codes % 3 == 0)[None]
    width = np.subtract(*interval(shares, members, codes)[::-1])[0, 0]
    names = [str(code) for code in codes]
    few = [
        np.subtract(*interval(shares, members, group_codes(names, 200, seed))[::-1])[0, 0]
        for seed in range(40)
    ]
    assert np.mean(few) == pytest.approx(width, rel=0.04)
