"""What a metric of a task's predictions is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Metric:
    """name: its column in tables of scores; title and meaning: for people."""

    name: str
    title: str
    meaning: str


@dataclass(frozen=True)
class Measure:
    """Metrics of one kind of task ("single", "multi" or "value") that are computed together.

    compute: truth (song,) or (song, class), scores (song, width) and weights (resample, song) give (metric, resample),
    nan where a resample cannot be scored. A bootstrap resample is only another weighting.
    """

    kind: str
    metrics: tuple[Metric, ...]
    compute: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
