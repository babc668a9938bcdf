"""The scores' part of the page: words for every kind of task, and for models of several seeds."""

import re
from dataclasses import replace

import pytest

from evaluation.comparison.cells import Summary
from evaluation.report import scores
from evaluation.report.template import rendered
from tests.evaluation.report.reports import make_report


def row(name: str, task: str, metric: str, mean: float, sd: float = 0.01) -> Summary:
    models = 3 if name.startswith("HDPGMM") else 1
    return Summary(
        name,
        task,
        metric,
        mean,
        sd,
        mean - 0.05,
        mean + 0.05,
        90,
        0,
        "d1ge5t",
        models,
        ours=name.startswith("HDPGMM"),
        guess=name == "chance",
        chance=name == "chance",
    )


def scores_page(rows: list[Summary]) -> str:
    """The page where there is nothing but these scores."""
    report = replace(make_report(), summaries=tuple(rows), notes=(), studies=(), epochs=())
    return rendered(scores.page(report), report).decode()


def test_numbers_plays_and_models_of_several_seeds_have_their_words():
    rows = [
        row(name, task, metric, mean)
        for task, metric in (("valence", "r2"), ("valence", "pearson_r"), ("recommendation", "ndcg@500"))
        for name, mean in (("chance", -0.98), ("G1", 0.2), ("HDPGMM soft posterior", 0.31))
    ]
    rows[1] = row("G1", "valence", "r2", 0.2, float("nan"))
    text = scores_page(rows)
    assert "valence: R2" in text
    assert "recommendation: nDCG@500" in text
    assert "90 users" in text
    assert "standard deviation between 3 trained models" in text
    assert "nan" not in text
    assert "0 labels" not in text
    assert "how far up in a list of songs" in text


def test_the_best_of_every_column_is_marked_and_a_score_that_is_missing_is_said_to_be():
    rows = [row("G1", "genre", "accuracy", 0.41), row("HDPGMM a", "genre", "accuracy", 0.62)]
    rows += [row("G1", "mood", "macro_f1", 0.35)]
    text = scores_page(rows)
    assert re.findall(r'<span class="best">([\d.]+)</span>', text) == ["0.350", "0.620"]
    assert text.count('<td class="figure">none</td>') == 1


@pytest.mark.parametrize(("alike", "said"), [(1.0, "one and the same split"), (0.71, "0.71"), (0.2, None)])
def test_repeats_that_coincide_are_told_beside_the_table(alike: float, said: str | None):
    rows = [replace(row(name, "genre & <b>", "accuracy", 0.4), alike=alike) for name in ("chance", "G1")]
    text = scores_page(rows)
    assert text.count("the repeats are") == (0 if said is None else 1)
    assert said is None or said in text
    assert "genre & <b>" not in text
