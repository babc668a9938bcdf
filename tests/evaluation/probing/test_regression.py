"""Numbers: metrics and ridge regression against scikit-learn, folds that hold every part of the range."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

from evaluation.comparison.cells import score_chance, score_majority, score_vectors, summarise
from evaluation.probing.metrics.regression import regression
from evaluation.probing.ridge import fit_ridge
from evaluation.probing.splits import make_splits
from evaluation.probing.tasks import Skipped, Task, value


@settings(max_examples=60)
@given(seed=st.integers(0, 2**16), n=st.integers(3, 40), shift=st.sampled_from([0.0, 5.0, 1e4]))
def test_metrics_are_those_of_scikit_learn_and_scipy_under_resampling(seed: int, n: int, shift: float):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n) + shift
    p = y + rng.normal(size=n)
    weights = np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), size=3).astype(float)])
    found = regression(y, p, weights)
    for w, (r2, r) in zip(weights, found.T, strict=True):
        drawn = np.repeat(np.arange(n), w.astype(int))
        if len(set(drawn)) > 1:
            assert r2 == pytest.approx(r2_score(y[drawn], p[drawn]), rel=1e-9, abs=1e-9)
            assert r == pytest.approx(pearsonr(y[drawn], p[drawn])[0], abs=1e-9)


def test_a_resample_of_one_value_cannot_be_scored_and_constant_answers_have_no_correlation():
    y = np.array([1.0, 2.0, 3.0])
    assert np.isnan(regression(y, y, np.array([[3.0, 0, 0]]))).all()
    np.testing.assert_allclose(regression(y, np.full(3, 2.0), np.ones((1, 3)))[:, 0], [0.0, 0.0])


@pytest.mark.parametrize(("songs", "dim"), [(40, 5), (12, 30)])
def test_ridge_is_that_of_scikit_learn(songs: int, dim: int):
    rng = np.random.default_rng(songs)
    x = 3 + rng.normal(size=(songs, dim)) * rng.uniform(0.1, 9, dim)
    x[:, 1] = 7.0
    y = x[:, 0] + rng.normal(size=songs) + 100
    z = StandardScaler().fit_transform(x)
    for c, model in zip((1e-3, 1e-1, 10.0), fit_ridge(x, y, (1e-3, 1e-1, 10.0)), strict=True):
        expected = Ridge(alpha=1 / c).fit(z, y).predict(z)
        np.testing.assert_allclose(model.scores(x)[:, 0], expected, rtol=1e-8)


def made(n: int = 120) -> tuple[Task, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 8))
    y = x[:, 0] * 2 + x[:, 1] + rng.normal(size=n) + 5
    task = value("valence", [f"s{i}" for i in range(n)], [*y.tolist()], None, 2)
    assert isinstance(task, Task)
    return task, x


def test_a_number_is_read_from_vectors_that_know_it_and_guessing_explains_nothing():
    task, x = made()
    splits = make_splits(task, 2, 5, 0)
    knows = summarise(score_vectors("x", x, task, splits, 100, 0))
    assert [row.metric for row in knows] == ["r2", "pearson_r"]
    assert 0.75 < knows[0].mean < 5 / 6 + 0.03
    assert knows[0].low < knows[0].mean < knows[0].high
    mean, chance = summarise(score_majority(task, splits, 50, 0)), summarise(score_chance(task, splits, 0))
    assert mean[0].mean == pytest.approx(0, abs=0.02)
    assert chance[0].mean == pytest.approx(-1, abs=0.1)
    noise = np.random.default_rng(3).normal(size=x.shape)
    assert summarise(score_vectors("noise", noise, task, splits, 10, 0))[0].mean < 0.05


def test_every_fold_has_low_and_high_numbers():
    task, _ = made()
    for fold in make_splits(task, 1, 5, 0).repeats[0]:
        ranks = np.argsort(np.argsort(task.targets))[fold.test]
        assert set(np.bincount(ranks * 5 // 120, minlength=5)) <= {4, 5}


def test_songs_without_a_number_are_counted_and_too_few_are_no_task():
    ids = [f"s{i}" for i in range(14)]
    numbers = [*map(float, range(11)), None, float("nan"), float("inf")]
    task = value("arousal", ids, numbers, ["a"] * 2 + [None] * 12, 2)
    assert isinstance(task, Task)
    assert (len(task.songs), task.notes) == (11, ("3 songs without a number",))
    assert task.groups is not None
    assert task.groups[0] == task.groups[1]
    few = value("arousal", ids, [1.0, 2.0] + [None] * 12, None, 2)
    same = value("arousal", ids, [4.0] * 14, None, 2)
    assert isinstance(few, Skipped)
    assert "2 songs have a number" in few.reason
    assert isinstance(same, Skipped)
