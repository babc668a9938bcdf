"""The path of fits against scikit-learn, one C and one tag at a time."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from evaluation.probing import logistic

CS = (1e-3, 1e-1, 1.0)


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logistic, "TOLERANCE", 1e-9)


@pytest.mark.parametrize("dim", [5, 80])
def test_softmax_equals_scikit_learn(dim: int):
    rng = np.random.default_rng(dim)
    labels = rng.integers(0, 4, 50)
    x = rng.normal(size=(50, dim)) * rng.uniform(0.1, 9, dim) + labels[:, None] * (np.arange(dim) < 2)
    z = StandardScaler().fit_transform(x)
    for c, model in zip(CS, logistic.fit_path(x, np.eye(4)[labels], CS, exclusive=True), strict=True):
        reference = LogisticRegression(C=c, tol=1e-9, max_iter=5000).fit(z, labels)
        centred = model.scores(x) - model.scores(x).mean(axis=1, keepdims=True)
        np.testing.assert_allclose(centred, reference.decision_function(z), atol=2e-4)


@pytest.mark.parametrize("dim", [5, 80])
def test_tags_solved_together_equal_tags_solved_alone(dim: int):
    rng = np.random.default_rng(dim)
    x = rng.normal(size=(50, dim))
    tags = (x[:, :3] + rng.normal(size=(50, 3)) > 0.7).astype(float)
    z = StandardScaler().fit_transform(x)
    for c, model in zip(CS, logistic.fit_path(x, tags, CS, exclusive=False), strict=True):
        for tag in range(3):
            reference = LogisticRegression(C=c, tol=1e-9, max_iter=5000).fit(z, tags[:, tag])
            np.testing.assert_allclose(model.scores(x)[:, tag], reference.decision_function(z), atol=2e-4)


def test_a_constant_feature_does_not_matter():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(40, 3)), np.eye(2)[rng.integers(0, 2, 40)]
    wide = np.column_stack([x, np.full(40, 0.1)])
    plain, padded = (logistic.fit_path(v, labels, (1.0,), exclusive=True)[0].scores(v) for v in (x, wide))
    np.testing.assert_allclose(plain, padded, atol=1e-5)


@pytest.mark.parametrize("column", [np.zeros(6), np.ones(6)])
def test_a_label_that_teaches_nothing_is_refused(column: np.ndarray):
    with pytest.raises(ValueError, match="one that has not"):
        logistic.fit_path(np.eye(6), column[:, None], (1.0,), exclusive=False)
