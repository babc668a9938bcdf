"""Similar songs: those of a sort of all cosines, whatever the parts; and what they share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from evaluation.alike import alike


@given(st.integers(2, 40), st.integers(1, 6), st.integers(1, 8), st.integers(0, 99))
def test_they_are_those_of_a_sort_of_all_cosines(n: int, k: int, size: int, seed: int):
    vectors = np.random.default_rng(seed).random((n, 5))
    ids = [f"{i:02d}" for i in range(n)]
    mean = vectors.mean(axis=0)
    parts = [(ids[i : i + size], vectors[i : i + size]) for i in range(0, n, size)]
    asked = [0, n - 1]
    found = alike(vectors[asked], [ids[i] for i in asked], parts, mean, k)
    cosines = 1 - cdist(vectors - mean, vectors - mean, "cosine")
    for q, i in enumerate(asked):
        others = sorted((j for j in range(n) if j != i), key=lambda j: -cosines[i, j])[:k]
        np.testing.assert_allclose([a.cosine for a in found[q]], cosines[i, others], atol=1e-9)
        assert ids[i] not in [a.track_id for a in found[q]]


def test_what_both_have_more_of_than_most_is_named():
    vectors = np.array([[0.9, 0.4, 0.0], [0.9, 0.3, 0.1], [0.0, 0.0, 0.9]])
    (found,) = alike(vectors[:1], ["a"], [(["a", "b", "c"], vectors)], vectors.mean(axis=0), 2)
    assert [item.track_id for item in found] == ["b", "c"]
    assert found[0].dims == (0, 1)
    assert found[1].dims == ()


def test_of_equals_the_smaller_name_is_first():
    vectors = np.array([[1.0, 0], [1.0, 0], [1.0, 0], [0, 1.0]])
    (found,) = alike(vectors[:1], ["q"], [(["q", "z", "b", "x"], vectors)], np.full(2, 0.5), 2)
    assert [item.track_id for item in found] == ["b", "z"]
    assert found[0].cosine == pytest.approx(1)
