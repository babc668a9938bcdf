"""The part of the pages that shows studies: what became of the scores when a setting was varied."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.report.metrics import metric_name
from evaluation.report.records import Study


@dataclass(frozen=True)
class Line:
    """A representation at one setting: what is known of its models, and its scores."""

    setting: str
    name: str
    facts: tuple[str, ...]
    scores: tuple[str, ...]


@dataclass(frozen=True)
class StudyView:
    """A study as the page shows it; heads: (task, metric) of the columns."""

    number: int
    name: str
    n_settings: int
    n_models: int
    heads: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]


def view(number: int, study: Study) -> StudyView:
    """Our representations at every setting; the others are levels of the figure."""
    columns = list(dict.fromkeys((row["task"], row["metric"]) for row in study.rows))
    return StudyView(
        number,
        study.name,
        len({(row["x"], row["series"]) for row in study.rows}),
        max((row["models"] for row in study.rows if row["ours"]), default=0),
        tuple((task, metric_name(metric)) for task, metric in columns),
        tuple(_lines(study.rows, columns)),
    )


def _lines(rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]]) -> list[Line]:
    cells = {
        (row["x"], row["series"], row["representation"], row["task"], row["metric"]): row for row in rows
    }
    about = {(row["x"], row["series"]): row for row in rows}
    lines = dict.fromkeys((row["x"], row["series"], row["representation"]) for row in rows if row["ours"])
    return [
        Line(
            f"{x} {series}".strip(),
            name,
            _facts(about[x, series]),
            tuple(_score(cells.get((x, series, name, *column))) for column in columns),
        )
        for x, series, name in lines
    ]


def _facts(row: Mapping[str, Any]) -> tuple[str, ...]:
    shown = (("components", 0), ("updates", 0), ("heldout", 2))
    return tuple("" if row[key] is None else f"{row[key]:.{digits}f}" for key, digits in shown)


def _score(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "none"
    spread = "" if row["sd"] is None or math.isnan(row["sd"]) else f" ± {row['sd']:.3f}"
    return f"{row['mean']:.3f}{spread}"
