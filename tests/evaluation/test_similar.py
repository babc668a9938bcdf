"""Nearest songs: scikit-learn's on the whole, however the corpus is cut into parts."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from evaluation.similar import Part, centre_of, nearest

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(57, 9)) + 3).astype(np.float32)
IDS = [f"s{i:02}" for i in RNG.permutation(57)]


def parts(size: int) -> list[Part]:
    return [(IDS[i : i + size], X[i : i + size]) for i in range(0, 57, size)]


@pytest.mark.parametrize("size", [1, 10, 57])
@pytest.mark.parametrize("k", [1, 7, 80])
def test_they_are_those_of_scikit_learn(size: int, k: int):
    centre = centre_of(parts(size))
    np.testing.assert_allclose(centre.mean, X.mean(0), atol=1e-6)
    query = RNG.normal(size=9)
    cosines = cosine_similarity([query - X.mean(0)], X - X.mean(0))[0]
    found = nearest(query, parts(size), centre, k)
    order = np.argsort(-cosines)[:k]
    assert [one.track_id for one in found] == [IDS[i] for i in order]
    np.testing.assert_allclose([one.cosine for one in found], cosines[order], atol=1e-6)


def test_the_song_itself_can_be_left_out_and_is_nearest_otherwise():
    centre = centre_of(parts(10))
    assert nearest(X[3], parts(10), centre, 1)[0].track_id == IDS[3]
    assert IDS[3] not in {one.track_id for one in nearest(X[3], parts(10), centre, 57, but=IDS[3])}
    assert len(nearest(X[3], parts(10), centre, 57, but=IDS[3])) == 56


def test_equals_come_by_name_and_the_centre_has_no_direction():
    same: list[Part] = [
        (["c", "a"], np.array([[1.0, 0], [1, 0]])),
        (["b", "d"], np.array([[1.0, 0], [-3, 0]])),
    ]
    centre = centre_of(same)
    assert [one.track_id for one in nearest(np.array([2.0, 0]), same, centre, 2)] == ["a", "b"]
    assert {one.cosine for one in nearest(centre.mean, same, centre, 4)} == {0.0}
    with pytest.raises(ValueError, match="no songs to compare with"):
        centre_of([])
