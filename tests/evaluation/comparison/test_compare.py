"""Rows of the table: knowledge is found, ignorance scores chance, and groups do not leak."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.comparison.cells import (
    Cell,
    alike_notes,
    best_simple,
    differences,
    score_chance,
    score_majority,
    score_vectors,
    summarise,
)
from evaluation.probing.splits import make_splits
from evaluation.probing.tasks import Task, single_label


def mean_of(cells: list[Cell], metric: str) -> float:
    (value,) = [summary.mean for summary in summarise(cells) if summary.metric == metric]
    return value


def single(targets: np.ndarray, groups: np.ndarray | None = None) -> Task:
    names = tuple(f"c{i}" for i in range(int(targets.max()) + 1))
    return Task("style", "single", tuple(f"s{i}" for i in range(len(targets))), targets, names, groups, ())


def multi(tags: np.ndarray) -> Task:
    names = tuple(f"t{i}" for i in range(tags.shape[1]))
    return Task("tags", "multi", tuple(f"s{i}" for i in range(len(tags))), tags, names, None, ())


def test_vectors_that_know_the_label_score_one_and_shuffled_ones_chance():
    rng = np.random.default_rng(0)
    targets = np.arange(90) % 3
    task = single(targets)
    splits = make_splits(task, 3, 5, 0)
    x = np.eye(3)[targets] + 0.01 * rng.normal(size=(90, 3))
    knows = score_vectors("knows", x, task, splits, 100, 0)
    assert mean_of(knows, "accuracy") == mean_of(knows, "macro_f1") == 1.0
    assert [len(cell.values) for cell in knows] == [3, 3]
    chance = mean_of(score_chance(task, splits, 0), "accuracy")
    once = make_splits(task, 1, 5, 0)
    permuted = [score_vectors("x", rng.permutation(x), task, once, 5, 0) for _ in range(12)]
    assert np.mean([mean_of(row, "accuracy") for row in permuted]) == pytest.approx(chance, abs=0.06)


def test_tags_with_shuffled_vectors_rank_at_one_half():
    rng = np.random.default_rng(5)
    tags = rng.random((150, 6)) < 0.3
    task = multi(tags)
    splits = make_splits(task, 2, 5, 0)
    x = tags + 0.05 * rng.normal(size=tags.shape)
    assert mean_of(score_vectors("knows", x, task, splits, 20, 0), "macro_auroc") > 0.99
    shuffled = score_vectors("shuffled", rng.permutation(x), task, splits, 20, 0)
    assert mean_of(shuffled, "macro_auroc") == pytest.approx(0.5, abs=0.08)


def test_vectors_that_only_know_the_artist_are_found_out_by_grouping():
    """40 artists, one style each, five songs each; the vector is the artist's random point."""
    rng = np.random.default_rng(0)
    artists = np.repeat(np.arange(40), 5)
    styles = [f"style{a % 4}" for a in artists]
    x = rng.normal(size=(40, 60))[artists] + 0.01 * rng.normal(size=(200, 60))
    ids, groups = [f"s{i}" for i in range(200)], [f"a{a}" for a in artists]
    means = []
    for known in (groups, None):
        task = single_label("style", ids, styles, known, 2)
        assert isinstance(task, Task)
        means.append(mean_of(score_vectors("x", x, task, make_splits(task, 3, 5, 0), 20, 0), "macro_f1"))
    grouped, leaking = means
    assert grouped < 0.36
    assert leaking > 0.95


def test_the_grouped_interval_is_wider():
    rng = np.random.default_rng(0)
    artists = np.repeat(np.arange(20), 10)
    targets = rng.integers(0, 2, 200)
    wrong = rng.random(20) < 0.4
    x = np.where(wrong[artists], 1 - targets, targets)[:, None] + 0.01 * rng.normal(size=(200, 1))
    widths = []
    for groups in (artists, None):
        splits = make_splits(single(targets), 1, 5, 0)
        summary = summarise(score_vectors("x", x, single(targets, groups), splits, 400, 0))[1]
        widths.append(summary.high - summary.low)
    assert widths[0] > 2 * widths[1]


def test_chance_and_majority_are_what_the_frequencies_say():
    targets = np.repeat([0, 1, 2], [60, 30, 10])
    task = single(targets)
    splits = make_splits(task, 2, 5, 0)
    majority, chance = score_majority(task, splits, 50, 0), score_chance(task, splits, 0)
    assert mean_of(majority, "accuracy") == pytest.approx(0.6)
    assert mean_of(majority, "macro_f1") == pytest.approx(0.75 / 3)
    assert mean_of(chance, "accuracy") == pytest.approx(0.36 + 0.09 + 0.01, abs=0.02)
    (accuracy,) = [s for s in summarise(chance) if s.metric == "accuracy"]
    assert accuracy.low < accuracy.mean < accuracy.high


def test_rows_that_know_nothing_about_tags():
    tags = np.zeros((100, 2), dtype=bool)
    tags[:20, 0] = tags[40:90, 1] = True
    task = multi(tags)
    splits = make_splits(task, 2, 5, 0)
    majority, chance = score_majority(task, splits, 50, 0), score_chance(task, splits, 0)
    assert mean_of(majority, "macro_auroc") == 0.5
    assert mean_of(majority, "macro_ap") == pytest.approx((0.2 + 0.5) / 2, abs=0.02)
    assert mean_of(chance, "macro_auroc") == pytest.approx(0.5, abs=0.03)
    assert mean_of(chance, "macro_ap") == pytest.approx(0.4, abs=0.06)
    assert majority[0].n_classes == 2


def test_the_mean_and_sd_are_over_repeats():
    rng = np.random.default_rng(0)
    targets = np.arange(60) % 2
    task = single(targets)
    x = targets[:, None] + rng.normal(size=(60, 5))
    row = score_vectors("x", x, task, make_splits(task, 4, 5, 0), 50, 0)
    values, summary = row[1].values, summarise(row)[1]
    assert len(set(values)) > 1
    assert (summary.mean, summary.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert summary.low < summary.mean < summary.high


@pytest.mark.parametrize("bad", [np.zeros((9, 2)), np.full((10, 2), np.nan)])
def test_vectors_that_do_not_fit_the_songs_are_refused(bad: np.ndarray):
    task = single(np.arange(10) % 2)
    with pytest.raises(ValueError, match="one finite vector for each of 10 songs"):
        score_vectors("bad", bad, task, make_splits(task, 1, 2, 0), 5, 0)


def test_models_of_other_seeds_share_a_row_whose_sd_is_between_them():
    rng = np.random.default_rng(1)
    targets = np.arange(80) % 2
    task = single(targets)
    splits = make_splits(task, 2, 5, 0)
    models = [
        [replace(cell, seed=seed) for cell in score_vectors("x", x, task, splits, 60, 0)]
        for seed in range(3)
        for x in [targets[:, None] + (1 + seed) * rng.normal(size=(80, 3))]
    ]
    found = summarise([cell for metric in (0, 1) for model in models for cell in [model[metric]]])
    means = [np.mean(model[1].values) for model in models]
    assert [row.metric for row in found] == ["macro_f1", "accuracy"]
    assert (found[1].mean, found[1].sd, found[1].models) == pytest.approx(
        (np.mean(means), np.std(means, ddof=1), 3)
    )
    draws = np.mean([model[1].draws for model in models], axis=0)
    assert (found[1].low, found[1].high) == tuple(np.percentile(draws, [2.5, 97.5]))


def test_one_model_and_one_repeat_have_no_sd():
    targets = np.arange(30) % 2
    task = single(targets)
    cells = score_vectors("x", targets[:, None] * 1.0, task, make_splits(task, 1, 3, 0), 20, 0)
    assert np.isnan(summarise(cells)[0].sd)


def test_paired_differences_are_narrower_than_either_interval():
    """Two representations that fail on the same hard songs: each mean is uncertain, their difference is not.

    What is compared is the recommended one, named beforehand, also where another of ours does better here.
    """
    rng = np.random.default_rng(2)
    targets = np.arange(200) % 2
    task = single(targets)
    splits = make_splits(task, 1, 5, 0)
    hard = rng.random(200) < 0.3
    x = np.where(hard, 0.5, targets)[:, None] + 0.05 * rng.normal(size=(200, 1))
    worse = np.where(rng.random(200) < 0.05, 0.5, x[:, 0])[:, None]
    cells = [
        *score_majority(task, splits, 300, 0),
        *score_vectors("plain", worse, task, splits, 300, 0),
        *score_chance(task, splits, 0),
        *score_vectors("ours a", x, task, splits, 300, 0),
        *score_vectors("ours b", np.eye(2)[targets], task, splits, 300, 0),
    ]
    cells = [replace(cell, ours=cell.representation.startswith("ours")) for cell in cells]
    majority, row = (row for row in differences(cells, "ours a") if row.metric == "accuracy")
    assert (majority.representation, majority.other) == ("ours a", "majority")
    assert differences(cells, "plain") == differences(cells, None) == []
    plain, ours = (
        row
        for row in summarise(cells)
        if row.metric == "accuracy" and row.representation in ("plain", "ours a")
    )
    assert (row.representation, row.other) == ("ours a", "plain")
    assert row.mean == pytest.approx(ours.mean - plain.mean)
    assert row.low <= row.mean <= row.high
    assert row.high - row.low < 0.6 * (ours.high - ours.low)
    assert majority.mean == pytest.approx(ours.mean - 0.5)


def test_the_best_simple_one_is_a_comparison_model_whatever_else_is_better():
    targets = np.arange(60) % 2
    task = single(targets)
    splits = make_splits(task, 1, 3, 0)
    noise = np.random.default_rng(0).normal(size=(60, 1))
    scored = {
        "weak": noise,
        "strong": targets[:, None] + 0.7 * noise,
        "other people's": targets[:, None],
        "ours": targets[:, None],
    }
    cells = [cell for name, x in scored.items() for cell in score_vectors(name, x, task, splits, 5, 0)]
    cells = [
        replace(cell, simple=cell.representation in ("weak", "strong"), ours=cell.representation == "ours")
        for cell in cells
    ]
    found = best_simple(summarise(cells), "style", "accuracy")
    assert found is not None
    assert (found.representation, found.metric) == ("strong", "accuracy")
    assert best_simple(summarise(cells), "mood", "accuracy") is None


@pytest.mark.parametrize(("groups", "said"), [(5, "one and the same split"), (6, "much alike"), (40, "")])
def test_repeats_that_coincide_say_so(groups: int, said: str):
    targets, codes = np.arange(120) % 3, np.arange(120) % groups
    task = single(targets, codes)
    splits = make_splits(task, 5, 5, 0)
    cells = [
        *score_majority(task, splits, 5, 0),
        *score_chance(task, splits, 0),
        *score_vectors("x", np.eye(3)[targets], task, splits, 5, 0),
    ]
    notes = alike_notes(summarise(cells))
    assert [task for task, _ in notes] == (["style"] if said else [])
    assert said in "".join(note for _, note in notes)
