"""The table of scores, for a person."""

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from evaluation.comparison.cells import Difference, Summary, alike_notes, best_simple


def show(summaries: Sequence[Summary], against: Sequence[Difference] = ()) -> None:
    """Print models as rows, metrics as columns; then whose repeats are alike, and what the recommended kind is ahead of
    the others.
    """
    if not summaries:
        print("no labels to predict, so no scores")
        return
    columns = list(dict.fromkeys((s.task, s.metric) for s in summaries))
    cells = {(s.representation, s.task, s.metric): s for s in summaries}
    models = max(s.models for s in summaries)
    spread = f"SD between {models} trained models" if models > 1 else "SD over repeats"
    table = Table(title=f"Scores: mean ± {spread} [95 % interval over test songs]", title_justify="left")
    table.add_column("vectors")
    for task, metric in columns:
        table.add_column(f"{task}\n{metric.replace('_', ' ')}", justify="right")
    chance = {s.representation for s in summaries if s.chance}
    for name in dict.fromkeys(s.representation for s in summaries):
        row = [_cell(cells.get((name, *column))) for column in columns]
        table.add_row(name, *row, style="dim" if name in chance else None)
    console = Console(highlight=False, width=max(100, 28 + 18 * len(columns)))
    console.print(table)
    for task, note in alike_notes(summaries):
        console.print(f"{task}: {note}")
    for one in against:
        simple = best_simple(summaries, one.task, one.metric)
        named = " (the best simple one)" if simple and simple.representation == one.other else ""
        console.print(
            f"{one.task}, {one.metric.replace('_', ' ')}: {one.representation} - {one.other}{named}: "
            f"{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
        )


def _cell(s: Summary | None) -> str:
    if s is None:
        return ""
    sd = "" if np.isnan(s.sd) else f" ± {s.sd:.3f}"
    return f"{s.mean:.3f}{sd}\n[{s.low:.3f}, {s.high:.3f}]"
