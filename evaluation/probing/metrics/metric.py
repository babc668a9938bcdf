"""What a metric of a task's predictions, or of lists of songs, is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Metric:
    """name: its column in tables of scores; title and meaning: for people.

    sentence: a score in one sentence for anybody, with {task} and {percent}; "" where it takes more.
    tested, classes: what n_songs and n_classes of a score count.
    """

    name: str
    title: str
    meaning: str
    sentence: str = ""
    tested: str = "songs"
    classes: str = "labels"


@dataclass(frozen=True)
class Measure:
    """Metrics of one kind of task ("single", "multi" or "value") that are computed together.

    compute: truth (song,) or (song, class), scores (song, width) and weights (resample, song) give (metric, resample),
    nan where a resample cannot be scored. A bootstrap resample is only another weighting.
    """

    kind: str
    metrics: tuple[Metric, ...]
    compute: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ListMeasure:
    """Metrics of lists of songs made for users, computed together; the mean over users is the score.

    compute: scores (user, song), finite; held (user, song), the songs that count; seen (user, song), songs that are not
    listed, or None; and the list's length give (metric, user), nan for a user without a song that counts.
    """

    metrics: tuple[Metric, ...]
    compute: Callable[[np.ndarray, csr_matrix, csr_matrix | None, int], np.ndarray]
