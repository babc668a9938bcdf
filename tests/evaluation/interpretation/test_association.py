"""Labels of components: against counts by hand, every permutation of a tiny corpus, and random labels."""

import itertools

import numpy as np
import pytest

from evaluation.interpretation.association import npmi, permutation_p
from evaluation.interpretation.tally import tally


def test_npmi_of_hard_counts_is_the_definition(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("evaluation.interpretation.lift.SMOOTHING_SONGS", 0.0)
    rng = np.random.default_rng(0)
    owner, members = rng.integers(0, 3, 40), rng.random((2, 40)) < 0.4
    counted = tally(np.eye(4)[owner], np.ones(40), members)
    found = npmi(counted)
    for label, component in itertools.product(range(2), range(3)):
        joint = np.mean(members[label] & (owner == component))
        expected = np.log(joint / (members[label].mean() * np.mean(owner == component))) / -np.log(joint)
        assert found[label, component] == pytest.approx(expected)
    assert (found[:, 3] == 0).all()


def test_npmi_is_one_where_both_always_meet_and_small_labels_are_held_back():
    shares = np.zeros((400, 2))
    shares[:200, 0] = shares[200:, 1] = 1.0
    members = np.array([np.arange(400) < 200, np.arange(400) < 2])
    found = npmi(tally(shares, np.ones(400), members))
    assert found[0, 0] > 0.9
    assert found[1, 0] < 0.15  # two songs, both with the component: hardly evidence
    assert found[0, 1] < 0


def by_enumeration(shares: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The share of all orders of the songs in which some label goes with the component as strongly."""

    def standard(order: tuple[int, ...]) -> np.ndarray:
        return np.array([
            [np.corrcoef(mask, shares[list(order), k])[0, 1] for k in range(shares.shape[1])] for mask in members
        ])  # fmt: skip

    seen = standard(tuple(range(len(shares))))
    most = np.array([standard(order).max(0) for order in itertools.permutations(range(len(shares)))])
    return (most[:, None, :] >= seen[None] - 1e-12).mean(0)


def test_p_is_that_of_every_permutation():
    rng = np.random.default_rng(1)
    shares, members = rng.random((6, 2)), np.array([[1, 1, 0, 0, 0, 1], [0, 1, 1, 0, 0, 0]], bool)
    found = permutation_p(shares, members, None, 4000, 0)
    np.testing.assert_allclose(found, by_enumeration(shares, members), atol=0.03)


def test_labels_at_random_are_rarely_named():
    rng = np.random.default_rng(2)
    p = [
        permutation_p(rng.dirichlet(np.ones(5), 60), rng.random((8, 60)) < 0.2, None, 99, 0).min(0)
        for _ in range(40)
    ]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.035)


def test_an_artist_s_sound_is_not_taken_for_a_label_s():
    """Six artists, each with a component of its own; a label is three artists at random, half of the time the first."""
    rng = np.random.default_rng(3)
    hits = {"songs": 0, "groups": 0}
    for _ in range(40):
        groups = np.repeat(np.arange(6), 20)
        shares = np.clip(np.eye(6)[groups] + 0.05 * rng.normal(size=(120, 6)), 0, None)
        members = np.isin(groups, rng.choice(6, 3, replace=False))[None]
        hits["songs"] += int(permutation_p(shares, members, None, 99, 0)[0, 0] <= 0.05)
        hits["groups"] += int(permutation_p(shares, members, groups, 99, 0)[0, 0] <= 0.05)
    assert hits["songs"] >= 12
    assert hits["groups"] <= 6


def test_what_is_planted_is_found():
    rng = np.random.default_rng(4)
    members = rng.random((3, 200)) < 0.3
    shares = 0.1 * rng.random((200, 4))
    shares[members[1], 2] += 0.3
    found = permutation_p(shares, members, None, 199, 0)
    assert found[1, 2] == pytest.approx(1 / 200)
    assert (np.delete(found.ravel(), 1 * 4 + 2) > 0.01).all()
