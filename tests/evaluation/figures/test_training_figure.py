"""The figure of a training: drawn from whatever records there are, and showing their values."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from evaluation.figures import training as drawn

SAME = {"frames_per_second": 5e4, "wait_share": 0.1}
ROWS = [{"epoch": e, "bound": -9.0 + e, "heldout": -9.5 + e, "components": 40 + e, **SAME} for e in (1, 2, 3)]


def lines(monkeypatch: pytest.MonkeyPatch, history: list[dict]) -> dict[str, list[list[float]]]:
    """The values of every panel's lines, by its title."""
    figures: list[Figure] = []
    monkeypatch.setattr(drawn, "Figure", lambda **more: figures.append(Figure(**more)) or figures[-1])
    assert imread(io.BytesIO(drawn.training_figure(history))).shape == (720, 1080, 4)
    panels = figures[0].axes
    return {panel.get_title(): [line.get_ydata().tolist() for line in panel.get_lines()] for panel in panels}


def test_every_panel_has_its_lines(monkeypatch: pytest.MonkeyPatch):
    assert lines(monkeypatch, ROWS) == {
        "nats per frame": [[-8.0, -7.0, -6.0], [-8.5, -7.5, -6.5]],
        "components that carry 99 %": [[41, 42, 43]],
        "frames per second": [[5e4] * 3],
        "time waiting for data": [[0.1] * 3],
    }


def test_one_epoch_without_held_out_songs(monkeypatch: pytest.MonkeyPatch):
    found = lines(monkeypatch, [{**ROWS[0], "heldout": None}])
    assert np.isnan(found["nats per frame"][1]).all()
