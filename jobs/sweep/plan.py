"""Which models a study trains: points on its axes, each some settings; the paper's two studies by name."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hdpgmm.schedule import batch_songs
from infra.errors import ConfigError

SMALLEST = 32  # songs of the smallest part
ETA0 = (0, 0.0001, 0.001, 0.01, 0.1)


@dataclass(frozen=True)
class Point:
    """Settings (`section.key=value`) of the models at one place of a study.

    x: its name on the axis; series: the line it belongs to.
    """

    settings: tuple[str, ...]
    x: str
    series: str = ""

    def __str__(self) -> str:
        return " ".join(self.settings)


def over(axes: Sequence[str]) -> list[Point]:
    """Every combination of `section.key=value,value,...`; the first is the axis, the others are lines."""
    parsed: list[list[str]] = []
    for axis in axes:
        key, sep, values = axis.partition("=")
        words = [word.strip() for word in values.split(",") if word.strip()]
        if not sep or "." not in key or not words:
            raise ConfigError(
                f"--over {axis!r}: expected section.key=value,value,... as in train.n_components=64,256"
            )
        parsed.append([f"{key.strip()}={word}" for word in words])
    return [
        Point(chosen, chosen[0].partition("=")[2], ", ".join(chosen[1:]))
        for chosen in itertools.product(*parsed)
    ]


def regularisation(songs: int, epochs: int) -> list[Point]:
    """The paper's first: the splash, a uniform share mixed into responsibilities, eta0."""
    return over([f"train.splash={','.join(map(str, ETA0))}"])


def corpus_size(songs: int, epochs: int) -> list[Point]:
    """The paper's second: nested random parts of the corpus. Once with as many epochs, and once with as many updates.

    Mini-batches are those of the smallest part, and no training stops early: otherwise a larger corpus also means more
    or other updates.
    """
    sizes = [songs]
    while sizes[-1] >= 4 * SMALLEST:
        sizes.append(sizes[-1] // 4)
    batch = min(batch_songs(songs), max(1, sizes[-1] // 2))
    common = (f"train.batch_songs={batch}", "train.early_stopping=false")
    points = []
    for size in sorted(sizes):
        whole = (f"train.subset={size}", *common)
        points.append(Point((*whole, f"train.epochs={epochs}"), str(size), "same epochs"))
        matched = max(epochs, round(epochs * songs / size))
        points.append(Point((*whole, f"train.epochs={matched}"), str(size), "same updates"))
    return points


STUDIES: Mapping[str, Callable[[int, int], list[Point]]] = {
    "regularisation": regularisation,
    "corpus-size": corpus_size,
}


def points_of(study: str | None, axes: Sequence[str], songs: int, epochs: int) -> tuple[str, list[Point]]:
    """The study's name and its points; songs and epochs are what the whole corpus is trained on, and for how long."""
    if bool(study) == bool(axes):
        raise ConfigError(f"give either --study ({', '.join(STUDIES)}) or --over section.key=value,value,...")
    if study and study not in STUDIES:
        raise ConfigError(f"--study {study!r}: expected {' or '.join(STUDIES)}")
    if study:
        return study, STUDIES[study](songs, epochs)
    points = over(axes)
    return " x ".join(axis.partition("=")[0].strip() for axis in axes), points


def with_seed(point: Point, seed: int) -> tuple[str, ...]:
    """The settings of one model."""
    return (*point.settings, f"train.seed={seed}")


def table_rows(point: Point, found: Sequence[Any], about: Mapping[str, float]) -> list[dict[str, Any]]:
    """Rows of the study's table: the scores of the models at a point, and what they have in common."""
    names = ("representation", "ours", "guess", "task", "metric", "models", "mean", "sd", "low", "high")
    return [
        {
            "x": point.x,
            "series": point.series,
            "settings": str(point),
            **about,
            **{n: getattr(row, n) for n in names},
        }
        for row in found
    ]
