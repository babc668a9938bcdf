"""Folds: every song tested once, groups together, labels spread, the same for everybody."""

import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from evaluation.probing.splits import Parts, Splits, make_splits, published_splits
from evaluation.probing.tasks import Task


def make_task(rng: np.random.Generator, songs: int, classes: int, groups: int | None, kind: str) -> Task:
    targets = rng.integers(0, classes, songs) if kind == "single" else rng.random((songs, classes)) < 0.3
    codes = None if groups is None else rng.integers(0, groups, songs)
    names = tuple(f"c{i}" for i in range(classes))
    return Task("t", kind, tuple(f"s{i}" for i in range(songs)), targets, names, codes, ())  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    songs=st.integers(4, 60),
    classes=st.integers(2, 6),
    groups=st.none() | st.integers(1, 20),
    kind=st.sampled_from(["single", "multi"]),
)
def test_no_song_is_tested_twice_and_no_group_is_on_both_sides(seed, songs, classes, groups, kind):
    task = make_task(np.random.default_rng(seed), songs, classes, groups, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        splits = make_splits(task, repeats=2, folds=5, seed=seed)
    for folds in splits.repeats:
        tested = np.concatenate([fold.test for fold in folds]) if folds else np.zeros(0)
        assert len(set(tested.tolist())) == len(tested)
        assert not folds or len(tested) == songs
        for fold in folds:
            sides = [(fold.train, fold.test), *fold.inner]
            assert all(not set(a.tolist()) & set(b.tolist()) for a, b in sides)
            assert all(set(b.tolist()) <= set(fold.train.tolist()) for _, b in fold.inner)
            if task.groups is not None:
                assert all(not set(task.groups[a].tolist()) & set(task.groups[b].tolist()) for a, b in sides)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_labels_are_spread_over_the_folds(kind: str):
    task = make_task(np.random.default_rng(3), 100, 4, None, kind)
    (folds,) = make_splits(task, repeats=1, folds=5, seed=0).repeats
    onehot = task.targets if kind == "multi" else np.eye(4)[task.targets]
    counts = np.array([onehot[fold.test].sum(axis=0) for fold in folds])
    assert np.ptp(counts, axis=0).max() <= (1 if kind == "single" else 6)


def test_repeats_differ_and_the_seed_decides():
    task = make_task(np.random.default_rng(1), 50, 3, 25, "single")
    first, again, other = (make_splits(task, 2, 5, seed) for seed in (7, 7, 8))
    assert first.digest == again.digest != other.digest
    assert [f.test.tolist() for f in first.repeats[0]] != [f.test.tolist() for f in first.repeats[1]]


def test_the_digest_knows_songs_and_labels():
    task = make_task(np.random.default_rng(1), 30, 3, None, "single")
    renamed = Task("t", "single", ("other", *task.songs[1:]), task.targets, task.classes, None, ())
    splits: list[Splits] = [make_splits(t, 1, 3, 0) for t in (task, renamed)]
    assert splits[0].digest != splits[1].digest


def test_a_published_split_is_one_fold_whose_inner_fold_is_its_validation_list():
    task = make_task(np.random.default_rng(2), 10, 2, None, "single")
    parts = Parts(
        frozenset({"s7", "s1", "s2"}), frozenset({"s0", "s9"}), frozenset({"s4", "s5", "elsewhere"})
    )
    (fold,) = published_splits(task, parts).repeats[0]
    assert (fold.train.tolist(), fold.test.tolist()) == ([0, 1, 2, 7, 9], [4, 5])
    assert [[side.tolist() for side in pair] for pair in fold.inner] == [[[1, 2, 7], [0, 9]]]
    (without,) = published_splits(task, Parts(parts.train, frozenset(), parts.test)).repeats[0]
    assert (without.train.tolist(), without.inner) == ([1, 2, 7], ())
    swapped = published_splits(task, Parts(parts.test, parts.valid, parts.train))
    assert published_splits(task, parts).digest != swapped.digest


@pytest.mark.parametrize("kind", ["single", "multi", "value"])
def test_repeats_of_grouped_folds_are_other_splits_of_every_kind_of_target(kind: str):
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(40), rng.integers(1, 9, 40))
    own = rng.random((40, 3))[groups]
    targets = {"single": own.argmax(axis=1), "multi": own > 0.6, "value": own[:, 0]}[kind]
    classes = () if kind == "value" else ("a", "b", "c")
    songs = tuple(f"s{i}" for i in range(len(groups)))
    splits = make_splits(Task("t", kind, songs, targets, classes, groups, ()), 5, 5, 0)  # type: ignore[arg-type]
    tested = []
    for folds in splits.repeats:
        assert [len(fold.inner) for fold in folds] == [3] * 5
        assert max(abs(len(fold.test) / len(songs) - 0.2) for fold in folds) < 0.08
        tested.append(np.zeros(len(songs)))
        for number, fold in enumerate(folds):
            tested[-1][fold.test] = number
            marks = targets[fold.test] if kind != "single" else np.eye(3)[targets[fold.test]]
            everyone = targets if kind != "single" else np.eye(3)[targets]
            assert np.abs(marks.mean(axis=0) - everyone.mean(axis=0)).max() < 0.15
    indices = [adjusted_rand_score(*pair) for pair in combinations(tested, 2)]
    assert splits.alike == pytest.approx(np.mean(indices))
    assert splits.alike < 0.2


def test_songs_without_groups_and_single_repeats():
    task = make_task(np.random.default_rng(1), 60, 3, None, "single")
    assert abs(make_splits(task, 4, 5, 0).alike) < 0.1
    assert np.isnan(make_splits(task, 1, 5, 0).alike)
    assert np.isnan(make_splits(make_task(np.random.default_rng(1), 20, 3, 1, "single"), 4, 5, 0).alike)
