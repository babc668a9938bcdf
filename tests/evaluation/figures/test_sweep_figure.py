"""A study's picture: a line for each of ours, a level for each of the others."""

import io

import matplotlib.image
import pytest
from matplotlib.figure import Figure

from evaluation.figures import sweep as sweep_figure


def row(name: str, x: str, mean: float, series: str = "", task: str = "genre") -> dict[str, object]:
    return {"x": x, "series": series, "representation": name, "ours": name.startswith("HDPGMM"),
         "guess": name == "chance",
         "task": task, "metric": "macro_f1", "mean": mean,
            "low": mean - 0.1, "high": mean + 0.1}  # fmt: skip


def test_lines_levels_and_panels(monkeypatch: pytest.MonkeyPatch):
    made: list[Figure] = []

    class Kept(Figure):
        def __init__(self, **options: object) -> None:
            super().__init__(**options)  # pyright: ignore
            made.append(self)

    monkeypatch.setattr(sweep_figure, "Figure", Kept)
    names = ("G1", "chance", "HDPGMM a", "HDPGMM b")
    rows = [
        row(name, x, 0.1 * i + 0.2 * (x == "256") * name.startswith("HDPGMM"), series, task)
        for task in ("genre", "mood")
        for x in ("64", "256")
        for series in ("", "matched")
        for i, name in enumerate(names)
    ]
    data = sweep_figure.sweep_figure(rows, "train.n_components")
    assert matplotlib.image.imread(io.BytesIO(data)).shape[2] == 4
    (figure,) = made
    assert [axes.get_title() for axes in figure.axes] == ["genre: macro f1", "mood: macro f1"]
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["64", "256"]
    labels = axes.get_legend_handles_labels()[1]
    assert sorted(labels) == ["G1", "HDPGMM a", "HDPGMM a matched", "HDPGMM b", "HDPGMM b matched"]
    (line,) = [c for c in axes.containers if c.get_label() == "HDPGMM a"]
    assert line[0].get_ydata().tolist() == pytest.approx([0.2, 0.4])
