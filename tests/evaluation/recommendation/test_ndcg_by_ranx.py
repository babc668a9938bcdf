"""nDCG against ranx: random cases, ties as the mean over every order, users without a held-out song."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from evaluation.probing.metrics.ndcg import ndcg
from tests.places import TESTS

ORACLE = TESTS / "oracles/ndcg_by_ranx.py"

HELD = csr_matrix(np.array([[1, 0, 0, 1, 0]], np.float32))
Case = dict[str, object]


def by_ranx(cases: list[Case]) -> list[dict[str, float]]:
    ended = subprocess.run(
        [sys.executable, ORACLE], input=json.dumps(cases), capture_output=True, text=True, check=True
    )
    return json.loads(ended.stdout)


def case(scores: np.ndarray, held: csr_matrix, k: int) -> Case:
    """Users with a held-out song; equal scores in the order of the songs."""
    rows = {f"{user:03}": user for user in range(len(scores)) if held[user].nnz}
    wanted = {name: {f"s{song}": 1 for song in held[user].indices.tolist()} for name, user in rows.items()}
    given = {name: {f"s{i}": float(s) for i, s in enumerate(scores[user])} for name, user in rows.items()}
    return {"held": wanted, "scores": given, "k": k}


def test_random_cases_and_users_without_held_out_songs():
    rng = np.random.default_rng(0)
    made = []
    for _ in range(20):
        songs = int(rng.integers(2, 60))
        scores = rng.permuted(np.tile(np.arange(songs, dtype=np.float64), (8, 1)), axis=1)
        made.append(
            (scores, csr_matrix((rng.random((8, songs)) < 0.15).astype(np.float32)), int(rng.integers(1, 70)))
        )
    theirs = by_ranx([case(*each) for each in made])
    for (scores, held, k), values in zip(made, theirs, strict=True):
        for user, found in enumerate(ndcg(scores, held, None, k)):
            if f"{user:03}" in values:
                assert found == pytest.approx(values[f"{user:03}"], abs=1e-9)
            else:
                assert np.isnan(found)


def test_ties_are_the_mean_over_every_order():
    rng, made, cases = np.random.default_rng(1), [], []
    orders = list(itertools.permutations(range(5)))
    for _ in range(4):
        made.append(rng.integers(0, 3, 5).astype(float))
        cases += [case((made[-1] + 1e-3 * np.array(order))[None], HELD, 3) for order in orders]
    values = np.array([found["000"] for found in by_ranx(cases)]).reshape(4, -1)
    for scores, value in zip(made, values, strict=True):
        assert ndcg(scores[None], HELD, None, 3)[0] == pytest.approx(value.mean(), abs=1e-9)
