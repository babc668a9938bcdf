"""Metrics against scikit-learn and against answers worked out on paper."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from evaluation.probing.metrics.classification import classification
from evaluation.probing.metrics.ranking import ranking
from evaluation.probing.metrics.resampling import resamples


def test_f1_and_accuracy_on_paper():
    truth, said = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 2])
    f1, accuracy = classification(truth, said, np.ones((1, 6)), 3)[:, 0]
    assert accuracy == pytest.approx(4 / 6)
    assert f1 == pytest.approx((4 / 6 + 2 / 4 + 1) / 3)


def test_a_class_that_a_resample_lacks_does_not_count():
    truth, said, weights = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), np.array([[1.0, 1, 1, 0]])
    assert classification(truth, said, weights, 3)[0, 0] == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_auroc_and_ap_on_paper():
    # In order of score: + - + -, so 3 of 4 pairs are in order, and precision is 1 then 2/3.
    truth, scores = np.array([[1], [0], [1], [0]], bool), np.array([[4.0], [3], [2], [1]])
    auroc, ap = ranking(truth, scores, np.ones((1, 4)))
    assert auroc[0] == pytest.approx(3 / 4)
    assert ap[0] == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("seed", range(5))
def test_weighted_metrics_equal_scikit_learn_on_repeated_songs(seed: int):
    rng = np.random.default_rng(seed)
    n, k = 40, 4
    weights = rng.integers(0, 3, (3, n)).astype(float)
    truth, said = rng.integers(0, k, n), rng.integers(0, k, n)
    tags, scores = rng.random((n, k)) < 0.3, rng.integers(0, 6, (n, k)).astype(float)
    mine_c, mine_r = classification(truth, said, weights, k), ranking(tags, scores, weights)
    for row, weight in enumerate(weights):
        drawn = np.repeat(np.arange(n), weight.astype(int))
        assert mine_c[0, row] == pytest.approx(
            f1_score(truth[drawn], said[drawn], average="macro"), abs=1e-12
        )
        assert mine_c[1, row] == pytest.approx(accuracy_score(truth[drawn], said[drawn]), abs=1e-12)
        auroc = [roc_auc_score(tags[drawn, t], scores[drawn, t]) for t in range(k)]
        ap = [average_precision_score(tags[drawn, t], scores[drawn, t]) for t in range(k)]
        assert mine_r[0, row] == pytest.approx(np.mean(auroc), abs=1e-12)
        assert mine_r[1, row] == pytest.approx(np.mean(ap), abs=1e-12)


def test_a_tag_without_positives_is_not_counted():
    truth = np.array([[1, 0], [0, 0], [1, 0], [0, 0], [0, 0], [0, 0]], bool)
    scores = np.tile([[6.0], [5], [4], [3], [2], [1]], 2)
    both, alone = (ranking(truth[:, t], scores[:, t], np.ones((1, 6))) for t in ([0, 1], [0]))
    np.testing.assert_allclose(both, alone)
    assert np.isnan(ranking(truth[:, 1:], scores[:, 1:], np.ones((1, 6)))).all()


def test_groups_are_drawn_whole_and_draws_repeat():
    groups = np.array([5, 5, 9, 9, 9, 7])
    (weights,) = resamples(6, groups, 200, seed=1)
    assert weights.shape == (200, 6)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    np.testing.assert_array_equal(weights[:, 2], weights[:, 4])
    np.testing.assert_array_equal(weights[:, 0] + weights[:, 2] + weights[:, 5], 3)
    np.testing.assert_array_equal(weights, next(resamples(6, groups, 200, seed=1)))


def test_blocks_hold_a_bounded_number_of_weights():
    blocks = list(resamples(1_500_000, None, 5, seed=0))
    assert [len(block) for block in blocks] == [2, 2, 1]
    assert all((block.sum(axis=1) == 1_500_000).all() for block in blocks)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """200 samples of 60 songs answered right with probability .7: 95 % intervals, binomial error 1.5 %."""
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        truth = np.zeros(60, dtype=int)
        said = (rng.random(60) > 0.7).astype(int)
        (weights,) = resamples(60, None, 400, seed=trial)
        low, high = np.percentile(classification(truth, said, weights, 2)[1], [2.5, 97.5])
        covered += low <= 0.7 <= high
    assert 0.89 <= covered / 200 <= 0.99
