"""Neighbours against scikit-learn, whatever the blocks; the index against all songs."""

import numpy as np
import pytest
from scipy.spatial.distance import cosine as scipy_cosine
from sklearn.neighbors import NearestNeighbors

from evaluation.neighbours import approximate
from evaluation.neighbours.exact import directions, mean_vector, nearest


def songs(n: int, dim: int, seed: int) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    vectors = np.sqrt(rng.dirichlet(np.full(dim, 0.3), size=n)).astype(np.float32)
    return [f"t{i:05d}" for i in rng.permutation(n)], vectors


def in_blocks(ids: list[str], vectors: np.ndarray, size: int) -> list[tuple[list[str], np.ndarray]]:
    return [(ids[i : i + size], vectors[i : i + size]) for i in range(0, len(ids), size)]


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_neighbours_are_scikit_learns_in_any_blocks(size: int):
    ids, vectors = songs(200, 12, seed=0)
    blocks = in_blocks(ids, vectors, size)
    mean = mean_vector(blocks)
    np.testing.assert_allclose(mean, vectors.astype(np.float64).mean(axis=0), rtol=1e-12)
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    oracle = NearestNeighbors(n_neighbors=9, metric="cosine", algorithm="brute").fit(centred)
    for i in (0, 50, 199):
        distance, place = oracle.kneighbors(centred[i : i + 1])
        (found,) = nearest(vectors[i : i + 1], blocks, mean, 8, [[ids[i]]])
        assert [song.track_id for song in found] == [ids[j] for j in place[0, 1:]]
        np.testing.assert_allclose([song.cosine for song in found], 1 - distance[0, 1:], atol=1e-6)


def test_blocks_do_not_change_a_digit():
    """Nor how many songs are asked for at once: a float32 product rounds as its sizes have it."""
    ids, vectors = songs(600, 300, seed=3)
    mean = vectors.mean(axis=0, dtype=np.float64)
    whole = nearest(vectors[:40], [(ids, vectors)], mean, 30, [()] * 40)
    for q in range(40):
        for size in (13, 600):
            (alone,) = nearest(vectors[q : q + 1], in_blocks(ids, vectors, size), mean, 30, [()])
            assert alone == whole[q]


def test_cosines_that_differ_by_less_than_is_told_tie():
    """The names decide who is among the nearest, though a product of float32 would say otherwise."""
    cosines = 0.9 + 2e-7 * np.linspace(-1.0, 1.0, 40)
    vectors = np.stack([cosines, np.sqrt(1.0 - cosines**2)], axis=1)
    ids = [f"t{i:02d}" for i in range(40)]
    (found,) = nearest(np.array([[1.0, 0.0]]), [(ids, vectors)], np.zeros(2), 5, [()])
    assert [(song.track_id, song.cosine) for song in found] == [(name, 0.9) for name in ids[:5]]


def test_ties_are_by_name_in_any_order():
    vectors = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    ids = ["d", "b", "c", "x", "a"]
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0]):
        blocks = in_blocks([ids[i] for i in order], vectors[order], 2)
        (found,) = nearest(vectors[:1], blocks, mean_vector(blocks), 3, [[]])
        assert [song.track_id for song in found] == ["a", "b", "c"]


def test_what_is_the_mean_is_like_nothing():
    vectors = np.array([[0.1, 0.3], [0.3, 0.1], [0.2, 0.2]], np.float32)
    blocks = [(["left", "right", "middle"], vectors)]
    assert not directions(vectors, mean_vector(blocks))[2].any()
    (found,) = nearest(vectors[:1], blocks, mean_vector(blocks), 5, [[]])
    assert [(song.track_id, song.cosine) for song in found] == [("left", 1.0), ("right", -1.0)]
    assert nearest(vectors[2:], blocks, mean_vector(blocks), 5, [[]]) == [[]]


def test_copies_tie_wherever_they_lie_and_no_cosine_is_beyond_one():
    ids, vectors = songs(400, 250, seed=6)
    vectors[::3] = vectors[0]
    mean = mean_vector([(ids, vectors)])
    for size in (400, 17):
        (found,) = nearest(vectors[:1], in_blocks(ids, vectors, size), mean, 134, [[]])
        assert [song.track_id for song in found] == sorted(ids[::3])
        assert {song.cosine for song in found} == {1.0}


def test_many_queries_are_each_as_alone():
    ids, vectors = songs(90, 6, seed=5)
    blocks = in_blocks(ids, vectors, 16)
    mean, without = mean_vector(blocks), [[ids[0]], [], [ids[3], ids[4]]]
    asked = vectors[[0, 8, 3]]
    alone = [nearest(asked[q : q + 1], blocks, mean, 4, [without[q]])[0] for q in range(3)]
    together = nearest(asked, blocks, mean, 4, without)
    for one, other in zip(alone, together, strict=True):
        assert [song.track_id for song in one] == [song.track_id for song in other]


@pytest.mark.parametrize("components", [[0, 1, 2, 3, 4, 5], [0, 0, 1, 2, 1, 0]])
def test_the_terms_of_all_components_are_the_cosine(components: list[int]):
    """By scipy's cosine: of whole vectors, and what it loses where one component's numbers are the mean's."""
    ids, vectors = songs(40, 6, seed=1)
    of, mean = np.array(components), vectors.astype(np.float64).mean(axis=0)
    blocks = in_blocks(ids, vectors, 9)
    (found,) = nearest(vectors[:1], blocks, mean_vector(blocks), 39, [[ids[0]]], of, 6)
    assert len(found) == 39
    for song in found:
        one, other = vectors[0] - mean, vectors[ids.index(song.track_id)] - mean
        lengths = np.linalg.norm(one) * np.linalg.norm(other)
        without = {k: 1.0 - scipy_cosine(one, np.where(of == k, 0.0, other)) for k in set(components)}
        scale = {k: np.linalg.norm(np.where(of == k, 0.0, other)) / np.linalg.norm(other) for k in without}
        terms = {k: song.cosine - without[k] * scale[k] for k in without}
        told = {term.component: term.cosine for term in song.terms}
        assert told == pytest.approx({k: term for k, term in terms.items() if term > 5e-7}, abs=2e-6)
        assert [*told.values()] == sorted(told.values(), reverse=True)
        assert sum(terms.values()) == pytest.approx(one @ other / lengths, abs=1e-5)
        for term in song.terms:
            (places,) = np.nonzero(of == term.component)
            assert term.more == (bool(one[places[0]] > 0) if len(places) == 1 else None)


def test_the_largest_terms_are_told_and_what_both_have_less_of_is_one():
    vectors = np.array([[0.9, 0.4, 0.0], [0.9, 0.3, 0.1], [0.0, 0.0, 0.9]], np.float32)
    blocks = [(["a", "b", "c"], vectors)]
    near, far = nearest(vectors[:1], blocks, mean_vector(blocks), 2, [["a"]], np.arange(3), 3)[0]
    assert [(term.component, term.more) for term in near.terms] == [(0, True), (2, False), (1, True)]
    assert (far.track_id, far.terms) == ("c", ())
    (first,) = nearest(vectors[:1], blocks, mean_vector(blocks), 1, [["a"]], np.arange(3), 1)[0]
    assert first.terms == near.terms[:1]
    assert nearest(vectors[:1], blocks, mean_vector(blocks), 1, [["a"]])[0][0].terms == ()


def test_nothing_to_compare_with():
    with pytest.raises(ValueError, match="no song"):
        mean_vector([])
    only = [(["a"], np.ones((1, 2), np.float32))]
    assert nearest(np.ones((1, 2)), only, np.zeros(2), 3, [["a"]]) == [[]]


def test_the_index_finds_what_a_search_of_all_songs_finds():
    ids, vectors = songs(4000, 16, seed=2)
    rows = directions(vectors, vectors.mean(axis=0))
    cells = approximate.cells_for(len(ids))
    index = approximate.build(rows[::2], iter([rows[:1500], rows[1500:]]), cells, seed=0)
    hits = 0
    for i in range(0, 4000, 80):
        cosines = rows @ rows[i]
        exact = set(np.argsort(-cosines)[:10].tolist())
        found = approximate.search(index, rows[i], 10, probes=cells)
        assert found[0][0] == i
        # 16-bit floats: 2^-11 of each number, summed over a unit vector.
        np.testing.assert_allclose([c for _, c in found], [cosines[j] for j, _ in found], atol=1e-3)
        assert len(exact & {j for j, _ in found}) >= 9  # all cells are searched, near ties may swap
        hits += len(exact & {j for j, _ in approximate.search(index, rows[i], 10, probes=cells // 4)})
    assert hits / 500 > 0.75
    assert approximate.search(index, rows[0], 10, probes=1)[0][0] == 0


def test_candidates_of_the_index_are_all_that_may_be_near():
    """More copies than are asked for, and all whose cosine 16-bit floats cannot tell from the last one's."""
    _, vectors = songs(4000, 16, seed=2)
    rows = directions(vectors, vectors.mean(axis=0))
    rows[100:150] = rows[99]
    index = approximate.build(rows, iter([rows]), 8, seed=0)
    assert set(range(99, 150)) <= set(approximate.candidates(index, rows[99], 5, probes=8))
    for i in range(0, 4000, 80):
        near = approximate.candidates(index, rows[i], 10, probes=8)
        cosines = rows @ rows[i]
        assert set(np.flatnonzero(cosines >= np.sort(cosines)[-10]).tolist()) <= set(near)
        assert len(near) < 200
    assert len(approximate.candidates(index, rows[0], 4000, probes=8)) == 4000


def test_the_index_survives_a_file_and_is_the_same_twice(tmp_path):
    _, vectors = songs(500, 8, seed=3)
    rows = directions(vectors, vectors.mean(axis=0))
    data = [approximate.to_bytes(approximate.build(rows, iter([rows]), 8, seed=1)) for _ in range(2)]
    assert data[0] == data[1]
    (tmp_path / "index.faiss").write_bytes(data[0])
    for index in (approximate.from_bytes(data[0]), approximate.mapped(str(tmp_path / "index.faiss"))):
        assert approximate.search(index, rows[7], 1, probes=8)[0][0] == 7
    assert len(approximate.search(index, rows[7], 2000, probes=8)) == 500


@pytest.mark.parametrize("count", [1, 10, 40, 1000, 10**6])
def test_cells_have_songs(count: int):
    cells = approximate.cells_for(count)
    assert cells >= 1
    assert cells & (cells - 1) == 0
    assert cells == 1 or count / cells >= 39
    assert approximate.cells_for(10**6) == 2048
