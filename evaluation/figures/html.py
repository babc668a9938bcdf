"""Figures drawn with HTML and a little SVG: text keeps its size on a phone, colours follow light and dark.

Every figure carries a sentence for people who do not see it; the numbers are in a table or a list nearby.
"""

import math
from collections.abc import Sequence

from evaluation.report.markup import Html, html, join


def dots(
    rows: Sequence[tuple[str, float, float, float, str]], chance: float, digits: int, description: str
) -> Html:
    """Dots with intervals on one scale: rows of (name, value, low, high, CSS class); a dotted line at chance."""
    low, high, step = _nice(min(chance, *(row[2] for row in rows)), max(chance, *(row[3] for row in rows)))
    ticks = _ticks(low, high, step)
    grid = join(html('<i class="grid" style="left:{}%"></i>', _percent(t, low, high)) for t in ticks)
    grid += html('<i class="chance" style="left:{}%"></i>', _percent(chance, low, high))
    lines = [_dot_line(row, low, high, digits, Html(grid)) for row in rows]
    labels = join(html('<span style="left:{}%">{}</span>', _percent(t, low, high), f"{t:g}") for t in ticks)
    axis = html('<div><span class="name"></span><span class="ticks">{}</span><span></span></div>', labels)
    return html('<div class="dots" role="img" aria-label="{}">{}{}</div>', description, join(lines), axis)


def _dot_line(
    row: tuple[str, float, float, float, str], low: float, high: float, digits: int, grid: Html
) -> Html:
    name, value, start, stop, css = row
    left, right = _percent(start, low, high), _percent(stop, low, high)
    return html(
        '<div class="{}"><span class="name">{}</span><span class="rail">{}<i class="span" '
        'style="left:{}%;width:{}%"></i><i class="dot" style="left:{}%"></i></span>'
        '<span class="value">{}</span></div>',
        css, name, grid, left, round(right - left, 2), _percent(value, low, high), f"{value:.{digits}f}",
    )  # fmt: skip


def curves(lines: Sequence[tuple[str, str, Sequence[float | None]]], digits: int, description: str) -> Html:
    """Lines over epochs 1, 2, ...: (name, CSS class of its colour, values; None where there is none)."""
    present = [value for _, _, values in lines for value in values if value is not None]
    low, high, step = _nice(min(present), max(present), whole=digits == 0)
    n = max(len(values) for _, _, values in lines)
    grid = join(
        html('<i class="yline" style="top:{0}%"></i><span class="ytick" style="top:{0}%">{1}</span>',
             round(100 - _percent(t, low, high), 2), f"{t:.{digits}f}")
        for t in _ticks(low, high, step)
    )  # fmt: skip
    drawn = join(_curve(css, values, n, low, high) for _, css, values in lines)
    epochs = sorted(
        {1, n} | {e for e in _ticks(1, n, _nice(1, n, whole=True)[2]) if e == int(e) and n - e > n / 12}
    )
    marks = join(
        html('<span class="xtick" style="left:{}%">{}</span>', _place(int(e) - 1, n), int(e)) for e in epochs
    )
    key = join(html('<span class="{}"><b>{}</b></span>', css, name) for name, css, _ in lines)
    return html(
        '<div role="img" aria-label="{}"><div class="key">{}</div><div class="chart">{}{}{}</div></div>',
        description, key, grid, drawn, marks,
    )  # fmt: skip


def _curve(css: str, values: Sequence[float | None], n: int, low: float, high: float) -> Html:
    points = [
        (_place(i, n), round(100 - _percent(value, low, high), 2))
        for i, value in enumerate(values)
        if value is not None
    ]
    if not points:
        return Html("")
    path = " ".join(f"{x},{y}" for x, y in points)
    line = html(
        '<svg class="{}" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        '<polyline points="{}"/></svg>',
        css, path,
    )  # fmt: skip
    x, y = points[-1]
    return Html(line + html('<i class="mark {}" style="left:{}%;top:{}%"></i>', css, x, y))


def columns(values: Sequence[float], strong: int, ends: tuple[str, str], description: str) -> Html:
    """Upright columns side by side, the first `strong` of them emphasised, with words under both ends."""
    top = max(max(values), 1e-12)
    bars = join(
        html('<span{} style="height:{}%"></span>', Html(' class="strong"') if i < strong else "",
             round(100 * value / top, 2))
        for i, value in enumerate(values)
    )  # fmt: skip
    return html(
        '<div role="img" aria-label="{}"><div class="columns">{}</div>'
        '<div class="ends"><span>{}</span><span>{}</span></div></div>',
        description, bars, *ends,
    )  # fmt: skip


def bars(counts: Sequence[tuple[str, int]]) -> Html:
    """A list of names with a bar and a number each."""
    top = max((n for _, n in counts), default=1)
    rows = join(
        html('<div><dt><bdi>{}</bdi></dt><dd><div class="fill" style="width:{}%"></div></dd>'
             '<dd class="n">{}</dd></div>', name, round(100 * n / top, 1), f"{n:,}")
        for name, n in counts
    )  # fmt: skip
    return html('<dl class="bars">{}</dl>', rows)


def _nice(low: float, high: float, whole: bool = False) -> tuple[float, float, float]:
    """A scale of round (or whole) numbers around [low, high]: its ends and the distance of its ticks."""
    if high - low < 1e-6 * max(abs(low), abs(high), 1e-3):
        low, high = low - 0.05 * max(abs(low), 1.0), high + 0.05 * max(abs(high), 1.0)
    raw = max((high - low) / 4, 1.0 if whole else 0.0)
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw * 0.999)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def _ticks(low: float, high: float, step: float) -> list[float]:
    return [round(low + i * step, 10) for i in range(round((high - low) / step) + 1)]


def _percent(value: float, low: float, high: float) -> float:
    return round(100 * (value - low) / ((high - low) or 1.0), 2)


def _place(index: int, n: int) -> float:
    return round(100 * index / (n - 1), 2) if n > 1 else 50.0
