"""Figures: what is drawn is where the number says, and scales are round."""

import re

from hypothesis import given
from hypothesis import strategies as st

from evaluation.figures import geometry as figures
from evaluation.report.template import environment


def drawn(name: str, figure: object) -> str:
    """As the pages draw it."""
    return str(getattr(environment().get_template("figures.html").module, name)(figure))


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_scales_are_round_and_hold_the_values(low: float, spread: float):
    start, stop, step = figures._nice(low, low + spread)
    slack = 1e-9 * max(1.0, abs(low), spread)
    assert start <= low + slack
    assert stop >= low + spread - slack
    assert 1 <= round((stop - start) / step) <= 7


def test_dots_are_where_the_values_are():
    found = drawn("dots", figures.dots([("a", 0.5, 0.4, 0.8, "")], chance=0.4, digits=2, description="d"))
    assert 'class="dot" style="left:25.0%"' in found  # the scale is .4 to .8
    assert 'class="span" style="left:0.0%;width:100.0%"' in found
    assert ">0.50<" in found


def test_a_curve_skips_what_is_missing_and_ends_at_the_last_value():
    lines = [("x", "first", [0.0, None, 10.0]), ("y", "other", [None, None, None])]
    found = drawn("curves", figures.curves(lines, digits=0, description="d"))
    assert re.findall(r'points="([^"]*)"', found) == ["0.0,100.0 100.0,0.0"]
    assert 'class="mark first" style="left:100.0%;top:0.0%"' in found
    assert "<b>y</b>" in found


def test_columns_are_as_high_as_the_values():
    found = drawn("columns", figures.columns([4.0, 1.0], ("l", "r"), "d"))
    assert re.findall(r'<span class="strong" style="height:([\d.]+)%', found) == ["100.0", "25.0"]


def test_bars_are_as_long_as_their_numbers():
    found = drawn("bars", figures.bars([("a", 4000), ("b", 1000)]))
    assert re.findall(r'width:([\d.]+)%"></div></dd><dd class="n">([\d,]+)<', found) == [
        ("100.0", "4,000"),
        ("25.0", "1,000"),
    ]
