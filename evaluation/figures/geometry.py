"""Where the marks of a figure lie, in percent of its box; the templates of the report draw them as HTML and SVG.

Text keeps its size on a phone and colours follow light and dark. Every figure carries a sentence for people who do not
see it; the numbers are in a table or a list nearby.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Dot:
    """A value with its interval, from `left` over `width`; css: the class of its line."""

    name: str
    css: str
    at: float
    left: float
    width: float
    value: str


@dataclass(frozen=True)
class Dots:
    """Dots with intervals on one scale; chance: of the dotted line; ticks: (place, number)."""

    description: str
    dots: tuple[Dot, ...]
    chance: float
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Curve:
    """A line; points: (x, y) in percent, y from the top."""

    name: str
    css: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Curves:
    """Lines over epochs; ticks: (y from the top, number); epochs: (x, epoch)."""

    description: str
    curves: tuple[Curve, ...]
    ticks: tuple[tuple[float, str], ...]
    epochs: tuple[tuple[float, int], ...]


@dataclass(frozen=True)
class Columns:
    """Upright columns side by side by their heights, with words under both ends."""

    description: str
    heights: tuple[float, ...]
    ends: tuple[str, str]


@dataclass(frozen=True)
class Bar:
    """A name with a bar and a number."""

    name: str
    width: float
    count: int


def dots(
    rows: Sequence[tuple[str, float, float, float, str]], chance: float, digits: int, description: str
) -> Dots:
    """Rows of (name, value, low, high, CSS class); chance is on the scale whatever they are."""
    low, high, step = _nice(min(chance, *(row[2] for row in rows)), max(chance, *(row[3] for row in rows)))
    made = []
    for name, value, start, stop, css in rows:
        left, right = _percent(start, low, high), _percent(stop, low, high)
        at = _percent(value, low, high)
        made.append(Dot(name, css, at, left, round(right - left, 2), f"{value:.{digits}f}"))
    ticks = tuple((_percent(t, low, high), f"{t:g}") for t in _ticks(low, high, step))
    return Dots(description, tuple(made), _percent(chance, low, high), ticks)


def curves(lines: Sequence[tuple[str, str, Sequence[float | None]]], digits: int, description: str) -> Curves:
    """Lines over epochs 1, 2, ...: (name, CSS class of its colour, values; None where there is none)."""
    present = [value for _, _, values in lines for value in values if value is not None]
    low, high, step = _nice(min(present), max(present), whole=digits == 0)
    n = max(len(values) for _, _, values in lines)
    return Curves(
        description,
        tuple(Curve(name, css, _points(values, n, low, high)) for name, css, values in lines),
        tuple((_from_top(t, low, high), f"{t:.{digits}f}") for t in _ticks(low, high, step)),
        tuple((_place(epoch - 1, n), epoch) for epoch in _epochs(n)),
    )


def _points(
    values: Sequence[float | None], n: int, low: float, high: float
) -> tuple[tuple[float, float], ...]:
    return tuple(
        (_place(i, n), _from_top(value, low, high)) for i, value in enumerate(values) if value is not None
    )


def _epochs(n: int) -> list[int]:
    """The first, the last and round ones between them that do not crowd the last."""
    ticks = _ticks(1, n, _nice(1, n, whole=True)[2])
    return sorted({1, n} | {int(e) for e in ticks if e == int(e) and n - e > n / 12})


def columns(values: Sequence[float], ends: tuple[str, str], description: str) -> Columns:
    """Columns as high as their values, the highest as high as the box."""
    top = max(max(values), 1e-12)
    return Columns(description, tuple(round(100 * value / top, 2) for value in values), ends)


def bars(counts: Sequence[tuple[str, int]]) -> tuple[Bar, ...]:
    """Bars as long as their numbers, the longest as long as the box."""
    top = max((n for _, n in counts), default=1)
    return tuple(Bar(name, round(100 * n / top, 1), n) for name, n in counts)


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


def _from_top(value: float, low: float, high: float) -> float:
    return round(100 - _percent(value, low, high), 2)


def _place(index: int, n: int) -> float:
    return round(100 * index / (n - 1), 2) if n > 1 else 50.0
