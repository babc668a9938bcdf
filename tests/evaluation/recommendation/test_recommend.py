"""Recommendation: against plain definitions and scikit-learn, ties and users without songs included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.linear_model import Ridge
from sklearn.metrics import ndcg_score
from sklearn.neighbors import NearestNeighbors

from evaluation.probing.metrics.ndcg import ndcg
from evaluation.recommendation import recommend
from evaluation.recommendation.recommend import ease, hold_out, neighbours, popularity, score_users


def random_plays(rng: np.random.Generator, users: int, songs: int, share: float = 0.2) -> csr_matrix:
    return csr_matrix((rng.random((users, songs)) < share).astype(np.float32))


@settings(max_examples=60)
@given(seed=st.integers(0, 2**16), songs=st.integers(2, 40), k=st.integers(1, 50), levels=st.integers(1, 30))
def test_ndcg_is_that_of_scikit_learn_with_ties(seed: int, songs: int, k: int, levels: int):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (6, songs)) - 3.5
    held = random_plays(rng, 6, songs)
    found = ndcg(scores, held, None, k)
    for user, truth in enumerate(held.toarray()):
        if truth.any():
            assert found[user] == pytest.approx(ndcg_score([truth], [scores[user]], k=k), abs=1e-9)
        else:
            assert np.isnan(found[user])


@settings(max_examples=60)
@given(seed=st.integers(0, 2**16), k=st.integers(1, 30))
def test_seen_songs_are_not_in_the_list(seed: int, k: int):
    """The same as if the catalogue did not have them."""
    rng = np.random.default_rng(seed)
    scores, held, seen = rng.integers(0, 9, (4, 25)), random_plays(rng, 4, 25), random_plays(rng, 4, 25)
    found = ndcg(scores, held, seen, k)
    for user in range(4):
        rest = ~seen.toarray()[user].astype(bool)
        alone = ndcg(scores[[user]][:, rest], csr_matrix(held.toarray()[[user]][:, rest]), None, k)
        np.testing.assert_array_equal(found[[user]], alone)


def test_the_order_of_the_catalogue_earns_nothing():
    """Two songs of ten are wanted, all scores equal: the mean of every order, wherever the two stand."""
    held = csr_matrix(np.array([[1, 1, *[0] * 8], [*[0] * 8, 1, 1]]))
    first, last = ndcg(np.zeros((2, 10)), held, None, 3)
    mean = (1 + 1 / np.log2(3) + 1 / 2) / 10
    assert first == last == pytest.approx(2 * mean / (1 + 1 / np.log2(3)))


@pytest.mark.parametrize("block", [1, 70, 1 << 25])
def test_neighbours_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch, block: int):
    monkeypatch.setattr(recommend, "BLOCK", block)
    x = np.random.default_rng(0).normal(size=(30, 7)) + 50.0
    found = neighbours(x, 5)
    centred = x - x.mean(0)
    model = NearestNeighbors(n_neighbors=6, metric="cosine").fit(centred)
    distance, place = model.kneighbors(centred)
    for song in range(30):
        row = found[song]
        assert set(row.indices) == set(place[song, 1:])
        np.testing.assert_allclose(np.sort(row.data), np.sort(1 - distance[song, 1:]), atol=1e-6)


def test_songs_without_a_direction_and_equal_songs():
    x = np.array([[1.0, 0], [1, 0], [-1, 0], [-1, 0], [0, 0], [1, 0], [-1, 0]])
    found = neighbours(x, 1)
    assert [found[song].indices.tolist() for song in range(7)] == [[1], [0], [3], [2], [], [0], [2]]
    assert neighbours(x[:1], 3).nnz == 0
    assert neighbours(np.full((4, 3), 0.1), 2).nnz == 0
    for k, bad in ((0, x), (2, np.full((3, 2), np.nan))):
        with pytest.raises(ValueError, match="neighbours: k is"):
            neighbours(bad, k)


def test_scores_are_sums_over_what_is_known():
    rng = np.random.default_rng(3)
    nearest, known = neighbours(rng.normal(size=(20, 4)), 3), random_plays(rng, 5, 20)
    scores, dense = score_users(known, nearest), nearest.toarray()
    for user in range(5):
        plain = sum((dense[song] for song in known[user].indices), np.zeros(20))
        np.testing.assert_allclose(scores[user], plain, atol=1e-6)


def test_ease_is_a_ridge_regression_of_each_song_on_the_others():
    plays = random_plays(np.random.default_rng(6), 40, 9, 0.4)
    found, dense = ease(plays, 3.0), plays.toarray().astype(np.float64)
    for song in range(9):
        others = np.delete(np.arange(9), song)
        model = Ridge(alpha=3.0, fit_intercept=False).fit(dense[:, others], dense[:, song])
        np.testing.assert_allclose(found[others, song], model.coef_, atol=1e-6)
        assert found[song, song] == 0
    with pytest.raises(ValueError, match=r"ease: penalty is 0\.0, must be above 0"):
        ease(plays, 0.0)


def test_holding_out_parts_every_user_and_depends_on_the_seed_and_the_row():
    rng = np.random.default_rng(4)
    plays = csr_matrix(
        np.concatenate([random_plays(rng, 50, 200).toarray(), np.eye(1, 200), np.zeros((1, 200))])
    )
    known, held = hold_out(plays, 0.7, seed=1)
    assert ((known + held) != (plays != 0)).nnz == 0
    assert known.multiply(held).nnz == 0
    counts, kept = np.diff(plays.indptr), np.diff(known.indptr)
    assert (kept[:50] == np.round(0.7 * counts[:50])).all()
    assert (kept[50:].tolist(), np.diff(held.indptr)[50:].tolist()) == ([1, 0], [0, 0])
    alone, _ = hold_out(plays[:10], 0.7, seed=1)
    assert (alone != known[:10]).nnz == 0
    assert (hold_out(plays, 0.7, seed=2)[0] != known).nnz


def test_vectors_that_know_the_taste_recommend_better_than_popularity_and_chance():
    """Users like one of eight kinds of songs; noise hides the kind from the worse vectors."""
    rng = np.random.default_rng(5)
    kinds, likes = rng.integers(0, 8, 400), rng.integers(0, 8, 300)
    chance = np.where(kinds[None] == likes[:, None], 0.25, 0.01)
    plays = csr_matrix((rng.random((300, 400)) < chance).astype(np.float32))
    known, held = hold_out(plays, 0.7, seed=0)
    clear = np.eye(8)[kinds]
    rows = {
        "clear": score_users(known, neighbours(clear + 0.1 * rng.normal(size=clear.shape), 32)),
        "dim": score_users(known, neighbours(clear + 0.7 * rng.normal(size=clear.shape), 32)),
        "ease": known @ ease(known, 10.0),
        "popular": np.tile(popularity(known), (300, 1)),
        "random": rng.random((300, 400)),
    }
    mean = {name: np.nanmean(ndcg(scores, held, known, 20)) for name, scores in rows.items()}
    assert mean["clear"] > mean["dim"] + 0.05 > mean["popular"] + 0.05
    assert mean["dim"] > mean["random"] + 0.05
    assert mean["ease"] > mean["popular"] + 0.05
