"""Names that hold on other songs: the plain test of each, planted names, shuffled components."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control, mannwhitneyu
from sklearn.metrics import roc_auc_score

from evaluation.interpretation.coherence import (
    discovered,
    halves,
    holding,
    mann_whitney,
    name_and_check,
    shuffled,
)


@pytest.mark.parametrize("levels", [3, 1000])
def test_auroc_and_p_are_those_of_scikit_learn_and_scipy(levels: int):
    rng = np.random.default_rng(levels)
    values, positive = rng.integers(0, levels, 60) / levels, rng.random(60) < 0.3
    auroc, p = mann_whitney(values, positive)
    assert auroc == pytest.approx(roc_auc_score(positive, values), abs=1e-12)
    theirs = mannwhitneyu(values[positive], values[~positive], alternative="greater", use_continuity=False,
                          method="asymptotic")  # fmt: skip
    assert p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert np.isnan(mann_whitney(values, np.zeros(60, bool))).all()
    assert mann_whitney(np.ones(60), positive) == (0.5, 0.5)


def test_halves_keep_groups_whole():
    groups = np.random.default_rng(0).integers(0, 30, 300)
    first = halves(300, groups, 0)
    assert 110 < first.sum() < 190
    for group in range(30):
        assert len(set(first[groups == group])) <= 1
    assert halves(300, groups, 1).tolist() != first.tolist()
    assert not halves(5, np.zeros(5, int), 0).any()


def planted(songs: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Components 0 to 3 go with labels 0 to 3; component 4 with none; component 5 is never used."""
    rng = np.random.default_rng(1)
    members = rng.random((5, songs)) < 0.2
    shares = 0.05 * rng.random((songs, 6))
    for k in range(4):
        shares[members[k], k] += 0.1 * rng.random(members[k].sum())
    shares[:, 5] = 0.0
    return shares, members


def test_planted_names_are_given_and_tell_the_other_half():
    shares, members = planted()
    first = halves(len(shares), None, 0)
    found = name_and_check(shares, members, first, 5)
    assert (found.label[:4] == np.arange(4)[:, None]).all()
    assert (found.label[5] == -1).all()
    assert np.isnan(found.auroc[5]).all()
    assert found.mean_auroc > 0.75
    chance = name_and_check(shuffled(shares, 0), members, first, 5)
    assert chance.mean_auroc == pytest.approx(0.5, abs=0.06)
    assert found.coherence > chance.coherence + 0.05


def test_the_half_that_gives_the_name_is_not_the_half_that_tests_it():
    """Components are noise that happens to fit labels in one half; held-out AUROC is chance."""
    rng = np.random.default_rng(2)
    members, shares = rng.random((30, 60)) < 0.3, rng.random((60, 40))
    found = name_and_check(shares, members, halves(60, None, 0), 5)
    assert found.mean_auroc == pytest.approx(0.5, abs=0.04)


def test_rare_labels_do_not_name():
    shares, members = planted(60)
    members[:] = False
    members[0, :4] = True
    found = name_and_check(shares, members, halves(60, None, 0), 5)
    assert (found.label == -1).all()
    assert np.isnan(found.mean_auroc)


def test_a_name_needs_as_many_songs_as_it_is_told():
    """Label 0 fits best but has 20 songs, about 10 in each half; label 1 fits less and has 200."""
    rng = np.random.default_rng(3)
    members = np.stack([np.arange(400) % 20 == 0, np.arange(400) % 2 == 0])
    shares = (0.1 + 0.8 * members[0] + 0.1 * members[1] + 0.01 * rng.random(400))[:, None]
    first = halves(400, None, 0)
    assert name_and_check(shares, members, first, 5).label.tolist() == [[0, 0]]
    assert name_and_check(shares, members, first, 20).label.tolist() == [[1, 1]]


def test_diversity_counts_different_names():
    shares, members = planted()
    same = np.repeat(shares[:, :1], 4, axis=1)
    first = halves(len(shares), None, 0)
    assert name_and_check(shares[:, :4], members, first, 5).diversity == 1.0
    assert name_and_check(same, members, first, 5).diversity == 0.25


def held(
    shares: np.ndarray, members: np.ndarray, groups: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    return holding(shares, members, groups, halves(len(shares), groups, seed), 199, seed)


def test_planted_labels_hold_and_no_others():
    shares, members = planted()
    expected = np.zeros((5, 6), bool)
    expected[range(4), range(4)] = True
    np.testing.assert_array_equal(held(shares, members), expected)
    assert not held(shuffled(shares, 0), members).any()


def test_a_habit_of_one_artist_is_no_label():
    """20 artists of 10 songs; label 0 is of artist 0 alone, whose songs are full of component 0; label 1, of every
    second artist, goes with component 1. By songs both would hold."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 10)
    members = np.stack([groups == 0, groups % 2 == 0])
    shares = 0.1 * rng.random((200, 8))
    shares[members[0], 0] += 0.5
    shares[members[1], 1] += 0.5
    assert held(shares, members, groups).nonzero()[0].tolist() == [1]
    assert held(shares, members)[0, 0]


def test_a_label_has_to_be_true_of_both_halves():
    """It goes with the component in one half of the songs alone, so strongly that it does in all."""
    rng = np.random.default_rng(1)
    first = np.arange(400) < 200
    members = rng.random((3, 400)) < 0.3
    shares = 0.1 * rng.random((400, 2))
    shares[members[0] & first, 0] += 0.5
    shares[members[1], 1] += 0.5
    assert holding(shares, members, None, first, 199, 0).nonzero() == (1, 1)


def test_noise_seldom_has_a_name():
    """60 corpora of noise, 10 components and 8 labels each: a name in about 5 % of them, by chance in at most 9."""
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shares, members = rng.random((80, 10)), rng.random((8, 80)) < 0.3
        p = holding(shares, members, None, halves(80, None, seed), 99, seed)
        found += p.any()
    assert found <= 9


@pytest.mark.parametrize("seed", range(5))
def test_discoveries_are_those_of_scipy(seed: int):
    p = np.random.default_rng(seed).beta(0.3, 2, 40)
    np.testing.assert_array_equal(p <= discovered(p, 0.05), false_discovery_control(p) <= 0.05)
    assert discovered(np.ones(3), 0.05) == -1.0
    assert discovered(np.zeros(0), 0.05) == -1.0
