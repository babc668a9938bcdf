"""Names that hold on other songs: the plain test of each, planted names, shuffled components."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from evaluation.interpretation.coherence import halves, mann_whitney, name_and_check, shuffled


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


def test_planted_names_hold_and_shuffled_components_do_not():
    shares, members = planted()
    first = halves(len(shares), None, 0)
    found = name_and_check(shares, members, first, 5)
    assert (found.label[:4] == np.arange(4)[:, None]).all()
    assert found.holds()[:4].all()
    assert not found.holds()[4:].any()
    assert (found.label[5] == -1).all()
    assert np.isnan(found.auroc[5]).all()
    assert found.mean_auroc > 0.75
    chance = name_and_check(shuffled(shares, 0), members, first, 5)
    assert chance.mean_auroc == pytest.approx(0.5, abs=0.06)
    assert chance.holds().sum() <= 1
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
    assert not found.holds().any()


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
