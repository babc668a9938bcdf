"""A study as one picture: a panel for each task, our representations along the swept setting, others as levels."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLES = ("-", "--", ":", "-.")
LEVELS = ((0, (1, 1)), (0, (4, 2)), (0, (8, 2, 1, 2)), (0, (1, 4)))
COLUMNS = 3


def sweep_figure(rows: Sequence[Mapping[str, Any]], axis: str) -> bytes:
    """A PNG. Rows have x, series, representation, ours, guess, task, metric, mean, low, high; bars are the 95 %
    intervals.

    Representations of ours are lines; the others, the same at every x, dotted levels. Guessing is
    left out: it would take the room.
    """
    panels = list(dict.fromkeys((row["task"], row["metric"]) for row in rows))
    height = math.ceil(len(panels) / COLUMNS)
    width = min(COLUMNS, len(panels))
    figure = Figure(figsize=(4.6 * width, 3.6 * height + 0.8), dpi=120, layout="constrained")
    every = list(figure.subplots(height, width, squeeze=False).flat)
    for axes, panel in zip(every[: len(panels)], panels, strict=True):
        _panel(axes, [row for row in rows if (row["task"], row["metric"]) == panel])
        axes.set(title=f"{panel[0]}: {panel[1].replace('_', ' ')}", xlabel=axis)
    for axes in every[len(panels) :]:
        axes.set_axis_off()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    xs = list(dict.fromkeys(row["x"] for row in rows))
    names = list(dict.fromkeys(row["representation"] for row in rows))
    series = list(dict.fromkeys(row["series"] for row in rows))
    mine = list(dict.fromkeys(row["representation"] for row in rows if row["ours"]))
    for number, name in enumerate(mine):
        for place, part in enumerate(series):
            style = STYLES[place % len(STYLES)]
            line = [row for row in rows if (row["representation"], row["series"]) == (name, part)]
            _line(axes, xs, line, f"C{number}", style, f"{name} {part}".strip())
    guesses = {row["representation"] for row in rows if row["guess"]}
    others = [name for name in names if name not in guesses.union(mine)]
    for number, name in enumerate(others):
        level = next(row["mean"] for row in rows if row["representation"] == name)
        axes.axhline(level, color="0.35", linestyle=LEVELS[number % len(LEVELS)], linewidth=1, label=name)
    axes.set_xticks(range(len(xs)), xs)
    axes.grid(alpha=0.3)


def _line(
    axes: Axes, xs: Sequence[str], rows: Sequence[Mapping[str, Any]], colour: str, style: str, label: str
) -> None:
    means = [row["mean"] for row in rows]
    below = [max(0.0, row["mean"] - row["low"]) for row in rows]
    above = [max(0.0, row["high"] - row["mean"]) for row in rows]
    axes.errorbar(
        [xs.index(row["x"]) for row in rows], means, yerr=[below, above],
        color=colour, linestyle=style, marker="o", markersize=3, capsize=2, linewidth=1, label=label,
    )  # fmt: skip
