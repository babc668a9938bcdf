"""Figures: what is drawn is where the number says, and scales are round."""

import re
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.figures import html as figures
from evaluation.report.markup import Html, html


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_scales_are_round_and_hold_the_values(low: float, spread: float):
    start, stop, step = figures._nice(low, low + spread)
    slack = 1e-9 * max(1.0, abs(low), spread)
    assert start <= low + slack
    assert stop >= low + spread - slack
    assert 1 <= round((stop - start) / step) <= 7


def test_dots_are_where_the_values_are():
    drawn = figures.dots([("a", 0.5, 0.4, 0.8, "")], chance=0.4, digits=2, description="d")
    assert 'class="dot" style="left:25.0%"' in drawn  # the scale is .4 to .8
    assert 'class="span" style="left:0.0%;width:100.0%"' in drawn
    assert ">0.50<" in drawn


def test_a_curve_skips_what_is_missing_and_ends_at_the_last_value():
    drawn = figures.curves([("x", "first", [0.0, None, 10.0])], digits=0, description="d")
    assert re.findall(r'points="([^"]*)"', drawn) == ["0.0,100.0 100.0,0.0"]
    assert 'class="mark first" style="left:100.0%;top:0.0%"' in drawn


def test_columns_are_as_high_as_the_values():
    drawn = figures.columns([4.0, 1.0], 1, ("l", "r"), "d")
    assert re.findall(r"<span( class=\"strong\")? style=\"height:([\d.]+)%", drawn) == [
        (' class="strong"', "100.0"),
        ("", "25.0"),
    ]


@pytest.mark.parametrize("text", ["<b>", '"', "'", "&", "{}"])
def test_whatever_is_not_html_is_escaped(text: str):
    made = html("<i title='{}'>{}</i>", text, Html("<u>x</u>"))
    assert made == f"<i title='{escape(text)}'><u>x</u></i>"
    assert html("{}", made) == made
