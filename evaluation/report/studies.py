"""The part of the pages that shows studies: what became of the scores when a setting was varied."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.report.markup import Html, html, join
from evaluation.report.scores import OURS, metric_name


@dataclass(frozen=True)
class Study:
    """A study by its name: its figure (PNG) and its rows, as `jobs.sweep` keeps them in table.parquet."""

    name: str
    figure: bytes
    rows: tuple[Mapping[str, Any], ...]


def study_path(number: int) -> str:
    """Where the figure of a study is."""
    return f"study/{number}.png"


def section(studies: Sequence[Study]) -> Html:
    """A figure for each study, and its numbers; nothing where there are none."""
    if not studies:
        return Html("")
    return html(
        '<section id="studies"><h2>What settings change</h2>'
        "<p>Models trained with one setting after the other, several times each with other random numbers. Dots are "
        "means, bars the range where the mean would fall with other songs (95&nbsp;%); grey levels are models that do "
        "not have the setting.</p>{}</section>",
        join(_study(number, study) for number, study in enumerate(studies)),
    )


def _study(number: int, study: Study) -> Html:
    points = len({(row["x"], row["series"]) for row in study.rows})
    return html(
        '<figure class="study"><h3>{}</h3><img src="{}" loading="lazy" alt="{}">'
        "<figcaption>{} settings, {} models each.</figcaption></figure>"
        "<details><summary>The numbers of {}</summary>{}</details>",
        study.name, study_path(number), f"Scores along {study.name}; the numbers are in the table below.",
        points, _models(study.rows), study.name, _table(study.rows),
    )  # fmt: skip


def _models(rows: Sequence[Mapping[str, Any]]) -> int:
    return max((row["models"] for row in rows if row["representation"].startswith(OURS)), default=0)


def _table(rows: Sequence[Mapping[str, Any]]) -> Html:
    columns = list(dict.fromkeys((row["task"], row["metric"]) for row in rows))
    cells = {
        (row["x"], row["series"], row["representation"], row["task"], row["metric"]): row for row in rows
    }
    lines = dict.fromkeys((row["x"], row["series"], row["representation"]) for row in rows)
    mine = [line for line in lines if line[2].startswith(OURS)]
    about = {(row["x"], row["series"]): row for row in rows}
    heads = join(
        html('<th scope="col" class="figure">{}<br>{}</th>', task, metric_name(m)) for task, m in columns
    )
    return html(
        '<div class="scroll" tabindex="0" role="region" aria-label="Numbers of the study"><table>'
        "<caption>Mean and standard deviation between models; held-out: nats a frame</caption>"
        '<thead><tr><th scope="col">Setting</th><th scope="col">Vectors</th>'
        '<th scope="col" class="figure">Components</th><th scope="col" class="figure">Updates</th>'
        '<th scope="col" class="figure">Held-out</th>{}</tr></thead><tbody>{}</tbody></table></div>',
        heads,
        join(
            html(
                '<tr><th scope="row">{}</th><td>{}</td>{}{}</tr>',
                f"{x} {series}".strip(), name, join(_facts(about[x, series])),
                join(_cell(cells.get((x, series, name, *column))) for column in columns),
            )
            for x, series, name in mine
        ),
    )  # fmt: skip


def _facts(row: Mapping[str, Any]) -> Iterable[Html]:
    for key, digits in (("components", 0), ("updates", 0), ("heldout", 2)):
        yield html('<td class="figure">{}</td>', "" if row[key] is None else f"{row[key]:.{digits}f}")


def _cell(row: Mapping[str, Any] | None) -> Html:
    if row is None:
        return html('<td class="figure">none</td>')
    spread = "" if row["sd"] is None or math.isnan(row["sd"]) else f" ± {row['sd']:.3f}"
    return html('<td class="figure">{}{}</td>', f"{row['mean']:.3f}", spread)
