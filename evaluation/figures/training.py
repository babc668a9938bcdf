"""How a training went, as one picture: bound and held-out score, components, speed and waiting, by epoch."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

PANELS = (
    ("nats per frame", {"bound": "bound", "heldout": "held-out score"}),
    ("components that carry 99 %", {"components": ""}),
    ("frames per second", {"frames_per_second": ""}),
    ("time waiting for data", {"wait_share": ""}),
)


def training_figure(history: Sequence[Mapping[str, Any]]) -> bytes:
    """A PNG of the records of epochs (`epoch`, `bound`, `heldout` or None, `components`, ...), one at least."""
    figure = Figure(figsize=(9, 6), dpi=120, layout="constrained")
    for axes, (label, lines) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        _panel(axes, label, lines, history)
        if "wait_share" in lines:
            axes.set_ylim(0, 1)
            axes.yaxis.set_major_formatter(PercentFormatter(1))
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def _panel(axes: Axes, label: str, lines: Mapping[str, str], history: Sequence[Mapping[str, Any]]) -> None:
    epochs = [row["epoch"] for row in history]
    for name, title in lines.items():
        values = [math.nan if row[name] is None else row[name] for row in history]
        axes.plot(epochs, values, marker="o", markersize=3, label=title)
    if len(lines) > 1:
        axes.legend(frameon=False)
    axes.set(xlabel="epoch", title=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
