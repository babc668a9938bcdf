"""The part of the page that says how much the vectors know, next to simpler models and to guessing."""

import math
from collections.abc import Sequence

from evaluation.comparison.cells import CHANCE, MAJORITY, Summary, alike_notes
from evaluation.figures.html import dots
from evaluation.report.markup import Html, html, join

METRIC_NAMES = {
    "macro_f1": "Macro F1",
    "accuracy": "Accuracy",
    "macro_auroc": "Macro AUROC",
    "macro_ap": "Average precision",
    "r2": "R2",
    "pearson_r": "Pearson's r",
    "ndcg": "nDCG",
}
METRIC_MEANING = {
    "macro_f1": "right and complete answers per label, every label counting the same",
    "accuracy": "share of songs that got the right label",
    "macro_auroc": "how often a song with a tag is ranked above one without it; guessing gives 0.5",
    "macro_ap": "how clean the top of the ranking is for a tag; guessing gives the tag's share of songs",
    "r2": "share of the differences between songs that is explained; guessing the mean gives 0",
    "pearson_r": "how well predicted and true numbers go together, from -1 to 1; guessing gives 0",
    "ndcg": "how far up in a list of songs made from part of what a user played the rest of it stands; 1 is perfect",
}
PLAIN_METRICS = ("accuracy", "macro_auroc")
OURS = "HDPGMM"


def metric_name(metric: str) -> str:
    """As people write it; of a list's length, nDCG@500."""
    kind, at, length = metric.partition("@")
    return METRIC_NAMES[kind] + at + length


def in_words(row: Summary, chance: float | None) -> str:
    """An accuracy or AUROC as a sentence."""
    guessing = "" if chance is None else f"; guessing gets {100 * chance:.0f} %"
    if row.metric == "accuracy":
        return f"From these alone, the right {row.task} is found for {100 * row.mean:.0f} % of the songs{guessing}."
    return (
        f"From these alone, a song with one of the {row.task} is told from one without in "
        f"{100 * row.mean:.0f} % of the cases{guessing}."
    )


def section(summaries: Sequence[Summary], notes: Sequence[tuple[str, str]]) -> Html:
    """A figure per task and metric, then the same numbers as a table, then what was left out."""
    if not summaries:
        body = html("<p>No labels to predict: give a label file to see scores here.</p>{}", _notes(notes))
        return html('<section id="scores"><h2>How much it knows</h2>{}</section>', body)
    columns = list(dict.fromkeys((s.task, s.metric) for s in summaries))
    panels = join(_panel([s for s in summaries if (s.task, s.metric) == column]) for column in columns)
    return html(
        '<section id="scores"><h2>How much it knows</h2>'
        "<p>Nobody told the model about labels. Afterwards, a simple straight-line classifier tries to read them "
        "from each song's vector, always on songs it has not seen. All models get the same songs and the same "
        "splits. The dot is the mean, the bar the range where the mean would fall with other songs (95&nbsp;%), "
        "the dotted line what guessing scores.</p>"
        '<div class="panels">{}</div>{}{}{}{}</section>',
        panels, _table(summaries, columns), _alike(summaries), _meanings(columns), _notes(notes),
    )  # fmt: skip


def _panel(rows: Sequence[Summary]) -> Html:
    shown = [s for s in rows if s.representation not in (CHANCE, MAJORITY)]
    chance = max(0.0, next((s.mean for s in rows if s.representation == CHANCE), 0.0))
    first = rows[0]
    about = ", ".join(f"{s.representation} {s.mean:.3f} ({s.low:.3f} to {s.high:.3f})" for s in shown)
    title = f"{first.task}: {metric_name(first.metric)}"
    lines = [_line(s) for s in shown]
    return html(
        '<figure><h3>{}</h3><div class="small soft">{}</div>{}</figure>',
        title, _about(first), dots(lines, chance, 3, f"{title}. {about}. Chance {chance:.3f}."),
    )  # fmt: skip


def _line(s: Summary) -> tuple[str, float, float, float, str]:
    return s.representation, s.mean, s.low, s.high, "ours" if s.representation.startswith(OURS) else ""


def _about(s: Summary) -> str:
    if s.metric.startswith("ndcg"):
        return f"{s.n_songs} users"
    classes = "tags" if s.metric in ("macro_auroc", "macro_ap") else "labels"
    return f"{s.n_songs} songs" + (f", {s.n_classes} {classes}" if s.n_classes else "")


def _table(summaries: Sequence[Summary], columns: Sequence[tuple[str, str]]) -> Html:
    cells = {(s.representation, s.task, s.metric): s for s in summaries}
    models = list(dict.fromkeys(s.representation for s in summaries))
    best = {column: max(_value(cells.get((m, *column))) for m in models) for column in columns}
    heads = join(
        html('<th scope="col" class="figure">{}<br>{}</th>', task, metric_name(m)) for task, m in columns
    )
    body = join(
        html(
            '<tr{}><th scope="row">{}</th>{}</tr>',
            Html(' class="ignorant"') if model in (CHANCE, MAJORITY) else "",
            model,
            join(_cell(cells.get((model, *column)), best[column]) for column in columns),
        )
        for model in models
    )
    return html(
        '<div class="scroll" tabindex="0" role="region" aria-label="Scores of all models">'
        "<table><caption>Mean and standard deviation{}; below, the 95&nbsp;% interval over test songs "
        '(chance: where 95&nbsp;% of random answers fall).</caption><thead><tr><th scope="col">Vectors</th>{}</tr>'
        "</thead><tbody>{}</tbody></table></div>",
        _spread(summaries), heads, body,
    )  # fmt: skip


def _cell(s: Summary | None, best: float) -> Html:
    if s is None:
        return html('<td class="figure">none</td>')
    mean = html('<span class="best">{}</span>' if s.mean == best else "{}", f"{s.mean:.3f}")
    return html(
        '<td class="figure">{}{}<span class="interval">{} to {}</span></td>',
        mean, "" if math.isnan(s.sd) else f" ± {s.sd:.3f}", f"{s.low:.3f}", f"{s.high:.3f}",
    )  # fmt: skip


def _spread(summaries: Sequence[Summary]) -> str:
    models = max(s.models for s in summaries)
    return f" between {models} trained models" if models > 1 else " over repeats"


def _value(s: Summary | None) -> float:
    return -math.inf if s is None else s.mean


def _alike(summaries: Sequence[Summary]) -> Html:
    lines = [html('<p class="small"><b><bdi>{}</bdi></b>: {}.</p>', *note) for note in alike_notes(summaries)]
    return join(lines)


def _meanings(columns: Sequence[tuple[str, str]]) -> Html:
    metrics = dict.fromkeys(metric.partition("@")[0] for _, metric in columns)
    return html(
        '<ul class="notes small soft">{}</ul>',
        join(html("<li><b>{}</b>: {}.</li>", METRIC_NAMES[m], METRIC_MEANING[m]) for m in metrics),
    )


def _notes(notes: Sequence[tuple[str, str]]) -> Html:
    if not notes:
        return Html("")
    lines = join(html("<li><b><bdi>{}</bdi></b>: {}</li>", task, note) for task, note in notes)
    return html(
        '<details><summary>What was left out, and why</summary><ul class="notes small">{}</ul></details>',
        lines,
    )
