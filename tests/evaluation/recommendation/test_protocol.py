"""Recommendation from end to end: the right order of representations, users drawn apart, lists as defined."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from evaluation.comparison.cells import CHANCE, differences, summarise
from evaluation.recommendation.protocol import (
    EASE,
    POPULAR,
    Protocol,
    Recommendation,
    score_known,
    score_recommendation,
)
from evaluation.recommendation.recommend import neighbours, score_users

PROTOCOL = Protocol(
    validation=40,
    test=60,
    known=0.7,
    splits=2,
    at=30,
    mask_seen=True,
    neighbours=(4, 16),
    ease_songs=200,
    seed=0,
)


def generated(users: int = 400, songs: int = 300, kinds: int = 6) -> tuple[Recommendation, np.ndarray]:
    """Users whose taste is a mixture over kinds of songs, some songs more popular; the songs' kinds as shares."""
    rng = np.random.default_rng(7)
    shares = rng.dirichlet(np.full(kinds, 0.15), songs)
    tastes = rng.dirichlet(np.full(kinds, 0.2), users)
    wanted = tastes @ shares.T * rng.gamma(2.0, 0.5, songs)
    played = rng.random((users, songs)) < np.minimum(1.0, 18 * wanted / wanted.sum(1, keepdims=True))
    names = tuple(f"s{i}" for i in range(songs))
    return Recommendation("recommendation", names, csr_matrix(played.astype(np.float32)), PROTOCOL), shares


def test_the_better_a_vector_knows_the_taste_the_better_it_recommends():
    recommendation, shares = generated()
    rng = np.random.default_rng(0)
    cells = [
        *(cell for name in (CHANCE, POPULAR, EASE) for cell in score_known(name, recommendation, 200)),
        *score_recommendation("HDPGMM", np.sqrt(shares), recommendation, 200),
        *score_recommendation(
            "dim", np.sqrt(shares) + 0.45 * rng.normal(size=shares.shape), recommendation, 200
        ),
        *score_recommendation("noise", rng.normal(size=shares.shape), recommendation, 200),
    ]
    mean = {row.representation: row.mean for row in summarise(cells)}
    assert mean["HDPGMM"] > mean["dim"] + 0.03
    assert mean["dim"] > mean["noise"] + 0.03
    assert mean[EASE] > mean[POPULAR] > mean[CHANCE]
    assert mean["noise"] == pytest.approx(mean[CHANCE], abs=0.03)
    ours = [replace(cell, ours=cell.representation == "HDPGMM") for cell in cells]
    against = {row.other: row for row in differences(ours, "HDPGMM")}
    assert against["dim"].low > 0
    assert {row.metric for row in summarise(cells)} == {"ndcg@30"}


def plain_ndcg(scores: np.ndarray, held: set[int], seen: set[int], at: int) -> float:
    order = [s for s in np.argsort(-scores, kind="stable").tolist() if s not in seen][:at]
    gain = sum(1 / np.log2(place + 2) for place, song in enumerate(order) if song in held)
    return gain / sum(1 / np.log2(place + 2) for place in range(min(len(held), at)))


def test_a_score_is_the_plain_definition_over_the_users_drawn():
    recommendation, shares = generated()
    recommendation = replace(recommendation, protocol=replace(PROTOCOL, neighbours=(8,), splits=1))
    x = np.sqrt(shares)
    (cell,) = score_recommendation("x", x, recommendation, 50)
    (draw,) = recommendation.draws()
    known, held = draw.test
    near = neighbours(x, 8)
    values = []
    for user in range(60):
        scores = score_users(known[user], near)[0] + 1e-9 * np.random.default_rng(user).random(300)
        values.append(plain_ndcg(scores, set(held[user].indices), set(known[user].indices), 30))
    assert cell.values[0] == pytest.approx(np.mean(values), abs=0.01)
    assert (cell.n_songs, len(cell.draws)) == (60, 50)


def test_users_are_on_one_side_and_those_of_one_song_on_none():
    recommendation, _ = generated()
    lonely = csr_matrix(np.eye(5, 300, dtype=np.float32))
    stacked = csr_matrix(np.concatenate([lonely.toarray(), recommendation.plays.toarray()]))
    recommendation = replace(recommendation, plays=stacked)
    tests = []
    for draw in recommendation.draws():
        assert len(draw.others) == 405 - 40 - 60
        assert set(range(5)) <= set(draw.others.tolist())
        known, held = draw.test
        assert known.multiply(held).nnz == 0
        assert (np.diff(known.indptr) >= 1).all()
        tests.append((known + held).toarray())
    assert not np.array_equal(tests[0], tests[1])


def test_few_users_leave_somebody_to_test():
    recommendation, shares = generated(users=3)
    (cell,) = score_recommendation("x", shares, recommendation, 10)
    assert 0 < cell.values[0] <= 1


def test_validation_users_choose_the_number_of_neighbours():
    """With one neighbour almost nothing is reached; whoever may choose takes more."""
    recommendation, shares = generated()

    def score(*neighbours: int) -> float:
        asked = replace(recommendation, protocol=replace(PROTOCOL, neighbours=neighbours))
        return float(np.mean(score_recommendation("x", np.sqrt(shares), asked, 5)[0].values))

    assert score(1) < score(40)
    assert score(1, 40) == score(40)


def test_seen_songs_can_be_recommended_as_in_the_paper():
    recommendation, _ = generated()
    paper = replace(recommendation, protocol=replace(PROTOCOL, mask_seen=False))
    masked, unmasked = (score_known(EASE, t, 5)[0] for t in (recommendation, paper))
    assert masked.values != unmasked.values


def test_the_digest_names_plays_songs_and_protocol():
    recommendation, _ = generated()
    plays = recommendation.plays.tolil()
    plays[0, 3] = 1.0 - plays[0, 3]
    plays = plays.tocsr()
    others = [
        replace(recommendation, plays=plays),
        replace(recommendation, songs=recommendation.songs[::-1]),
        replace(recommendation, protocol=replace(PROTOCOL, at=10)),
    ]
    assert len({recommendation.digest, *(other.digest for other in others)}) == 4
    assert replace(recommendation).digest == recommendation.digest


@pytest.mark.parametrize("bad", [np.zeros((9, 2)), np.full((300, 2), np.inf)])
def test_vectors_that_do_not_fit_the_songs_are_refused(bad: np.ndarray):
    with pytest.raises(ValueError, match="one finite vector for each of 300 songs"):
        score_recommendation("bad", bad, generated()[0], 5)
