"""Probes on vectors whose answer is known."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from evaluation.probing import logistic, probe
from evaluation.probing.probe import out_of_fold
from evaluation.probing.splits import Fold, make_splits
from evaluation.probing.tasks import Task


def single(targets: np.ndarray, groups: np.ndarray | None = None) -> Task:
    names = tuple(f"c{i}" for i in range(int(targets.max()) + 1))
    return Task("style", "single", tuple(f"s{i}" for i in range(len(targets))), targets, names, groups, ())


def test_predictions_are_those_of_a_scikit_learn_pipeline(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logistic, "TOLERANCE", 1e-8)
    monkeypatch.setattr(probe, "GRID", (0.1,))
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 60)
    x = rng.normal(size=(60, 8)) + targets[:, None]
    task = single(targets)
    folds = make_splits(task, 1, 5, 0).repeats[0]
    answer = out_of_fold(x, task, folds)
    for fold in folds:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-8, max_iter=1000))
        model.fit(x[fold.train], targets[fold.train])
        np.testing.assert_array_equal(answer.labels[fold.test], model.predict(x[fold.test]))


def test_c_is_chosen_inside_the_training_part():
    """Test labels are turned round: a probe that peeked would score above a half."""
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 2, 80)
    x = rng.normal(size=(80, 4)) + 3 * targets[:, None]
    turned = targets.copy()
    turned[60:] = 1 - targets[60:]
    train = np.arange(60)
    inner = ((train[:30], train[30:]), (train[30:], train[:30]))
    answer = out_of_fold(x, single(turned), (Fold(train, np.arange(60, 80), inner),))
    assert (answer.labels[60:] == targets[60:]).mean() > 0.95
    assert (answer.folds[:60] == -1).all()


def chosen_c(x: np.ndarray, targets: np.ndarray) -> float:
    task = single(targets)
    (fold, *_) = make_splits(task, 1, 3, 0).repeats[0]
    return probe._choose_c(x, task, fold)[0]


def test_weak_signals_in_many_features_are_met_with_strong_regularisation():
    """80 training songs in 60 features, all a little informative: close fits are bad fits."""
    rng = np.random.default_rng(2)
    targets = rng.integers(0, 2, 120)
    x = 0.25 * targets[:, None] * rng.choice([-1, 1], 60) + rng.normal(size=(120, 60))
    assert chosen_c(x, targets) < max(probe.GRID)


def test_a_signal_between_two_features_is_met_with_weak_regularisation():
    """The label is in the difference of two features that share a large nuisance; a careful probe misses it."""
    rng = np.random.default_rng(3)
    targets = np.arange(150) % 3
    nuisance = 30 * rng.normal(size=150)
    x = np.column_stack([nuisance + targets, nuisance + 0.1 * rng.normal(size=150)])
    assert chosen_c(x, targets) == max(probe.GRID)


def test_a_class_that_training_lacks_is_never_said():
    targets = np.array([0, 1] * 6 + [2, 2])
    x = np.random.default_rng(0).normal(size=(14, 3))
    answer = out_of_fold(x, single(targets), (Fold(np.arange(12), np.array([12, 13]), ()),))
    assert set(answer.labels[12:].tolist()) <= {0, 1}


def test_a_training_part_of_one_class_says_that_class():
    targets = np.array([1, 1, 1, 0])
    answer = out_of_fold(np.eye(4), single(targets), (Fold(np.arange(3), np.array([3]), ()),))
    assert answer.labels[3] == 1


def test_a_tag_that_training_lacks_ranks_nobody():
    tags = np.array([[1, 0], [0, 0], [1, 0], [0, 0], [1, 1], [0, 0]], bool)
    task = Task("tags", "multi", tuple("abcdef"), tags, ("a", "b"), None, ())
    x = np.random.default_rng(0).normal(size=(6, 2))
    scores = out_of_fold(x, task, (Fold(np.arange(4), np.array([4, 5]), ()),)).scores
    assert scores[4, 1] == scores[5, 1]


def test_vectors_that_know_nothing_rank_at_one_half_although_folds_differ(monkeypatch: pytest.MonkeyPatch):
    """Tags go with groups, so folds have different shares of them; with the prior left in, ranks fall below .5."""

    def mean_auroc() -> float:
        values = []
        for seed in range(6):
            rng = np.random.default_rng(seed)
            groups = rng.integers(0, 15, 100)
            tags = (rng.random((15, 5)) < 0.4)[groups]
            task = Task("tags", "multi", tuple(map(str, range(100))), tags, tuple("abcde"), groups, ())
            answers = probe.probe(rng.normal(size=(100, 3)), task, make_splits(task, 1, 5, seed))
            values.append(probe.measure(answers[0], task, np.ones((1, 100)))[0, 0])
        return float(np.mean(values))

    monkeypatch.setattr(probe, "GRID", (1e-3,))
    assert mean_auroc() == pytest.approx(0.5, abs=0.05)
    monkeypatch.setattr(probe, "_logit", lambda share: 0.0 * share)
    assert mean_auroc() < 0.4


def test_folds_of_different_c_are_pooled_on_one_scale(monkeypatch: pytest.MonkeyPatch):
    """A half is scored with the least C, the other with the largest: pooled they rank as well as each half alone."""
    rng = np.random.default_rng(5)
    tags = rng.random((400, 3)) < 0.4
    x = tags @ rng.normal(size=(3, 20)) + 2 * rng.normal(size=(400, 20))
    task = Task("tags", "multi", tuple(map(str, range(400))), tags, tuple("abc"), None, ())
    halves = make_splits(task, 1, 2, 0).repeats[0]

    def pooled_and_alone() -> tuple[float, float]:
        answers = []
        for c, half in zip((1e-3, 1.0), halves, strict=True):
            monkeypatch.setattr(probe, "GRID", (c,))
            answers.append(out_of_fold(x, task, (half,)))
        scores, folds = answers[0].scores + answers[1].scores, np.zeros(400, np.int64)
        values = [probe.measure(answer, task, np.ones((1, 400)))[0, 0] for answer in answers]
        pooled = probe.measure(probe.Predictions(scores, folds), task, np.ones((1, 400)))[0, 0]
        return float(pooled), float(np.mean(values))

    pooled, alone = pooled_and_alone()
    assert pooled == pytest.approx(alone, abs=0.01)
    monkeypatch.setattr(probe, "_slope", lambda *_: 1.0)
    raw, same = pooled_and_alone()
    assert same == pytest.approx(alone, abs=1e-9)  # no ranking inside a fold changes
    assert raw < pooled - 0.005


@pytest.mark.parametrize("factor", [0.2, 3.0])
def test_the_slope_is_what_the_ratios_were_divided_by(factor: float):
    rng = np.random.default_rng(6)
    truth = rng.random((20_000, 2)) < np.array([0.1, 0.6])
    evidence = rng.normal(size=truth.shape) + np.where(truth, 0.5, -0.5)  # its log-likelihood ratio is itself
    assert probe._slope(evidence / factor, truth) == pytest.approx(factor, rel=0.05)
    assert probe._slope(-evidence, truth) == pytest.approx(probe.SLOPES[0], rel=0.01)
