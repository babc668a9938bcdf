"""scores.html: how much the vectors know next to simpler models and to guessing, studies, and how the model learnt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.comparison.cells import MAJORITY, Difference, Summary, alike_notes, best_simple
from evaluation.figures.geometry import Curves, Dots, curves, dots
from evaluation.report import studies
from evaluation.report.metrics import metric_name, registered
from evaluation.report.records import Epoch, Report
from evaluation.report.template import Page


@dataclass(frozen=True)
class Panel:
    """A metric of a task as a figure; about: how many songs and labels."""

    title: str
    about: str
    figure: Dots


@dataclass(frozen=True)
class Score:
    """A cell of the table."""

    mean: float
    sd: float | None
    low: float
    high: float
    is_best: bool


@dataclass(frozen=True)
class Row:
    """The scores of a representation, None where it has none; ignorant: it guesses."""

    name: str
    ignorant: bool
    scores: tuple[Score | None, ...]


@dataclass(frozen=True)
class Table:
    """All scores. heads: (task, metric) of the columns; spread: what the SD is between; alike: (task, note)."""

    heads: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    spread: str
    alike: tuple[tuple[str, str], ...]
    meanings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Training:
    """How training went: a figure of bound and held-out score, one of the components in use, a sentence each."""

    fit: str
    used: str
    explained: Curves
    components: Curves


def page(report: Report) -> Page:
    """scores.html."""
    columns = list(dict.fromkeys((s.task, s.metric) for s in report.summaries))
    view = {
        "panels": [panel([s for s in report.summaries if (s.task, s.metric) == c]) for c in columns],
        "table": table(report.summaries, columns) if columns else None,
        "studies": [studies.view(number, study) for number, study in enumerate(report.studies)],
        "training": training(report.epochs) if report.epochs else None,
    }
    return Page("scores.html", "Scores", "scores.html", "scores.html", view)


def in_words(row: Summary, report: Report) -> str:
    """A score whose metric has a sentence, as that sentence, next to the best simple model and the majority."""
    said = registered(row.metric).sentence.format(task=row.task, percent=100 * row.mean)
    beside = []
    simple = best_simple(report.summaries, row.task, row.metric)
    if simple:
        beside.append(f"for {_percent(simple.mean)} from the best simple model ({simple.representation})")
    same = [s for s in report.summaries if (s.task, s.metric) == (row.task, row.metric)]
    beside += [
        f"for {_percent(s.mean)} by always giving the most frequent one"
        for s in same
        if s.representation == MAJORITY
    ]
    compared = f", {' and '.join(beside)}" if beside else ""
    return f"From these alone, {said}{compared}.{_lead(row, simple, report.differences)}"


def _lead(row: Summary, simple: Summary | None, differences: Sequence[Difference]) -> str:
    """How sure the difference to the simple model is, where that is known."""
    pair = (row.representation, simple.representation if simple else None)
    for one in differences:
        if (one.representation, one.other) == pair and (one.task, one.metric) == (row.task, row.metric):
            ends = f"{100 * one.low:+.0f} to {100 * one.high:+.0f} points with other songs (95 %)"
            verdict = "ahead of" if one.low > 0 else "behind" if one.high < 0 else "level with"
            return f" That is {verdict} the simple model: {100 * one.mean:+.0f} points, {ends}."
    return ""


def _percent(score: float) -> str:
    return f"{100 * score:.0f} %"


def panel(rows: Sequence[Summary]) -> Panel:
    """All representations on one metric of a task."""
    shown = [s for s in rows if not s.guess]
    chance = max(0.0, next((s.mean for s in rows if s.chance), 0.0))
    first = rows[0]
    about = ", ".join(f"{s.representation} {s.mean:.3f} ({s.low:.3f} to {s.high:.3f})" for s in shown)
    title = f"{first.task}: {metric_name(first.metric)}"
    lines = [_line(s) for s in shown]
    return Panel(title, _about(first), dots(lines, chance, 3, f"{title}. {about}. Chance {chance:.3f}."))


def _line(s: Summary) -> tuple[str, float, float, float, str]:
    return s.representation, s.mean, s.low, s.high, "ours" if s.ours else ""


def _about(s: Summary) -> str:
    metric = registered(s.metric)
    return f"{s.n_songs} {metric.tested}" + (f", {s.n_classes} {metric.classes}" if s.n_classes else "")


def table(summaries: Sequence[Summary], columns: Sequence[tuple[str, str]]) -> Table:
    """The same numbers as the panels show."""
    cells = {(s.representation, s.task, s.metric): s for s in summaries}
    models = list(dict.fromkeys(s.representation for s in summaries))
    best = {column: max(s.mean for s in summaries if (s.task, s.metric) == column) for column in columns}
    metrics = dict.fromkeys(registered(metric) for _, metric in columns)
    guesses = {s.representation for s in summaries if s.guess}
    return Table(
        tuple((task, metric_name(metric)) for task, metric in columns),
        tuple(
            Row(
                model,
                model in guesses,
                tuple(_score(cells.get((model, *column)), best[column]) for column in columns),
            )
            for model in models
        ),
        _spread(summaries),
        tuple(alike_notes(summaries)),
        tuple((metric.title, metric.meaning) for metric in metrics),
    )


def _score(s: Summary | None, best: float) -> Score | None:
    if s is None:
        return None
    return Score(s.mean, None if math.isnan(s.sd) else s.sd, s.low, s.high, s.mean == best)


def _spread(summaries: Sequence[Summary]) -> str:
    models = max(s.models for s in summaries)
    return f"between {models} trained models" if models > 1 else "over repeats"


def training(epochs: Sequence[Epoch]) -> Training:
    """Of at least one epoch."""
    model = next((epoch for epoch in epochs if epoch.is_model), epochs[-1])
    lines: list[tuple[str, str, list[float | None]]] = [
        ("bound, songs it learns from", "first", [e.bound for e in epochs])
    ]
    heldout = [e.heldout for e in epochs]
    if any(value is not None for value in heldout):
        lines.append(("score, songs kept aside", "other", heldout))
    fit = f"The model, after epoch {model.epoch} of {len(epochs)}: bound {model.bound:.2f} nats per frame" + (
        f", held-out {model.heldout:.2f}" if model.heldout is not None else ""
    )
    used = f"In the model, {model.components} components carry 99 % of the weight"
    components = [("carry 99 % of the weight", "first", [float(e.components) for e in epochs])]
    return Training(
        fit, used, curves(lines, 1, f"Curve over epochs. {fit}."), curves(components, 0, f"Curve. {used}.")
    )
