"""The grid of scores: one representation, of one trained model, on one task; what many of them say together.

A cell keeps its bootstrap draws. All cells of a task are drawn on the same resamples of its test songs, so that the
draws of two cells can be subtracted: that is the paired interval of their difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from evaluation.probing.metrics import METRICS
from evaluation.probing.metrics.resampling import resamples
from evaluation.probing.probe import Predictions, measure, probe
from evaluation.probing.splits import Splits
from evaluation.probing.tasks import Task

CHANCE, MAJORITY = "chance", "majority"
SIMULATIONS = 100  # random answers behind the chance row
ALIKE = 0.5  # adjusted Rand index between repeats from which that is said beside the table
COINCIDE = (
    "the repeats are one and the same split, because there are too few groups (or songs) for another; "
    "an SD over them says nothing of other splits"
)
MUCH_ALIKE = (
    "the repeats are much alike (adjusted Rand index {:.2f} between them), because there are few groups (or songs), or "
    "large ones; an SD over them is too small"
)


@dataclass(frozen=True)
class Cell:
    """One metric of one representation on one task.

    seed: of the trained model, or of the codebook. values: one a repeat of the splits (for chance: a simulation).
    draws: the metric, mean over repeats, under each resample of the test items; nan where that cannot be scored.
    n_songs: items tested, songs or users; n_classes: labels, or tags that could be tested, 0 for numbers.
    alike: of the splits (splits.Splits). ours: whether it is of the model that is evaluated, not of one beside it;
    simple: whether of a comparison model from the same frames. guess: whether it answers without looking at the songs;
    chance: whether at random.
    """

    representation: str
    task: str
    metric: str
    seed: int
    n_songs: int
    n_classes: int
    splits: str
    values: tuple[float, ...]
    draws: tuple[float, ...]
    alike: float = float("nan")
    ours: bool = False
    simple: bool = False
    guess: bool = False
    chance: bool = False


@dataclass(frozen=True)
class Summary:
    """Mean, SD between trained models, and the 95 % bootstrap interval of the mean over test songs.

    The SD of a representation with one model is over repeats of the splits, and nan if there is one of these too.
    The chance row's interval is where 95 % of random answers fall. The other fields are those of a Cell.
    """

    representation: str
    task: str
    metric: str
    mean: float
    sd: float
    low: float
    high: float
    n_songs: int
    n_classes: int
    splits: str
    models: int = 1
    alike: float = float("nan")
    ours: bool = False
    simple: bool = False
    guess: bool = False
    chance: bool = False


@dataclass(frozen=True)
class Difference:
    """How much better a representation is than another one, with the paired 95 % interval over test songs."""

    representation: str
    other: str
    task: str
    metric: str
    mean: float
    low: float
    high: float


def score_vectors(
    name: str, x: np.ndarray, task: Task, splits: Splits, bootstrap: int, seed: int
) -> list[Cell]:
    """Probe x (song, dim), rows in the order of task.songs; a cell for each metric, of seed 0."""
    if len(x) != len(task.songs) or not np.isfinite(x).all():
        raise ValueError(f"{name}: {task.name} needs one finite vector for each of {len(task.songs)} songs")
    return _score(name, probe(x, task, splits), task, splits, bootstrap, seed)


def score_majority(task: Task, splits: Splits, bootstrap: int, seed: int) -> list[Cell]:
    """The training part's most frequent label or its mean; for tags, the same score for every song."""
    answers = []
    for folds in splits.repeats:
        scores, tested = np.zeros((len(task.songs), task.width)), np.full(len(task.songs), -1)
        for number, fold in enumerate(folds):
            tested[fold.test] = number
            if task.kind == "single":
                counts = np.bincount(task.targets[fold.train], minlength=len(task.classes))
                scores[fold.test, counts.argmax()] = 1.0
            elif task.kind == "value":
                scores[fold.test] = task.targets[fold.train].mean()
        answers.append(Predictions(scores, tested))
    return [replace(cell, guess=True) for cell in _score(MAJORITY, answers, task, splits, bootstrap, seed)]


def score_chance(task: Task, splits: Splits, seed: int) -> list[Cell]:
    """Random labels with the labels' frequencies; for tags, random scores. Measured by simulation."""
    rng = np.random.default_rng(seed)
    answers = [_guess(task, splits, number, rng) for number in range(SIMULATIONS)]
    everyone = np.ones((1, len(task.songs)))
    values = np.concatenate([measure(guess, task, everyone) for guess in answers], axis=1)
    cells = _cells(CHANCE, values, values, task, splits, answers[0])
    return [replace(cell, guess=True, chance=True) for cell in cells]


def _guess(task: Task, splits: Splits, number: int, rng: np.random.Generator) -> Predictions:
    folds, tested = splits.repeats[number % len(splits.repeats)], np.full(len(task.songs), -1)
    for f, fold in enumerate(folds):
        tested[fold.test] = f
    if task.kind == "multi":
        return Predictions(rng.random((len(task.songs), len(task.classes))), tested)
    if task.kind == "value":
        return Predictions(rng.choice(task.targets, (len(task.songs), 1)), tested)
    share = np.bincount(task.targets, minlength=len(task.classes)) / len(task.targets)
    return Predictions(np.eye(len(share))[rng.choice(len(share), size=len(task.songs), p=share)], tested)


def _score(
    name: str, answers: list[Predictions], task: Task, splits: Splits, bootstrap: int, seed: int
) -> list[Cell]:
    everyone = np.ones((1, len(task.songs)))
    values = np.concatenate([measure(answer, task, everyone) for answer in answers], axis=1)
    draws = [
        np.mean([measure(answer, task, weights) for answer in answers], axis=0)
        for weights in resamples(len(task.songs), task.groups, bootstrap, seed)
    ]
    return _cells(name, values, np.concatenate(draws, axis=1), task, splits, answers[0])


def _cells(
    name: str, values: np.ndarray, draws: np.ndarray, task: Task, splits: Splits, answer: Predictions
) -> list[Cell]:
    """values: (metric, repeat); draws: (metric, resample)."""
    about = (0, int((answer.folds >= 0).sum()), len(task.classes), splits.digest)
    return [
        Cell(name, task.name, metric.name, *about, tuple(value.tolist()), tuple(draw.tolist()), splits.alike)
        for metric, value, draw in zip(METRICS[task.kind], values, draws, strict=True)
    ]


def summarise(cells: Sequence[Cell]) -> list[Summary]:
    """One row for each representation, task and metric, over its trained models; in the order of the cells."""
    return [_summary(list(same)) for same in _gathered(cells)]


def _summary(cells: list[Cell]) -> Summary:
    first, means = cells[0], np.array([np.mean(cell.values) for cell in cells])
    spread = means if len(means) > 1 else np.array(first.values)
    sd = float(spread.std(ddof=1)) if len(spread) > 1 else float("nan")
    low, high = _interval(_draws(cells))
    return Summary(
        representation=first.representation,
        task=first.task,
        metric=first.metric,
        mean=float(means.mean()),
        sd=sd,
        low=low,
        high=high,
        n_songs=first.n_songs,
        n_classes=first.n_classes,
        splits=first.splits,
        models=len(cells),
        alike=first.alike,
        ours=first.ours,
        simple=first.simple,
        guess=first.guess,
        chance=first.chance,
    )


def alike_notes(summaries: Sequence[Summary]) -> list[tuple[str, str]]:
    """(task, what to know) of each task whose repeats are so much alike that their SD says little."""
    found = {s.task: s.alike for s in summaries if s.alike >= ALIKE}
    return [
        (task, COINCIDE if alike > 1.0 - 1e-9 else MUCH_ALIKE.format(alike)) for task, alike in found.items()
    ]


def differences(cells: Sequence[Cell], recommended: str | None) -> list[Difference]:
    """The recommended representation against every other model and the majority, for each task and metric.

    It is named beforehand: the best of several on the same test songs would be flattered by them. Chance has no test
    songs to be paired with.
    """
    tables: dict[tuple[str, str], list[list[Cell]]] = {}
    for same in _gathered(cells):
        if not same[0].chance:
            tables.setdefault((same[0].task, same[0].metric), []).append(same)
    found: list[Difference] = []
    for (task, metric), rows in tables.items():
        for own in (row for row in rows if row[0].ours and row[0].representation == recommended):
            for other in (row for row in rows if not row[0].ours):
                names = (own[0].representation, other[0].representation, task, metric)
                ends = _interval(_draws(own) - _draws(other))
                found.append(Difference(*names, _mean(own) - _mean(other), *ends))
    return found


def best_simple(summaries: Sequence[Summary], task: str, metric: str) -> Summary | None:
    """The comparison model with the highest mean on the test songs, which flatters it a little; None without one."""
    rows = [row for row in summaries if row.simple and (row.task, row.metric) == (task, metric)]
    return max(rows, key=lambda row: row.mean, default=None)


def _gathered(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """Cells of one representation, task and metric together, in the order of the first ones."""

    def key(cell: Cell) -> tuple[str, str, str]:
        return cell.task, cell.representation, cell.metric

    order = {name: place for place, name in enumerate(dict.fromkeys(map(key, cells)))}
    return (list(same) for _, same in groupby(sorted(cells, key=lambda c: order[key(c)]), key=key))


def _mean(cells: Sequence[Cell]) -> float:
    return float(np.mean([np.mean(cell.values) for cell in cells]))


def _draws(cells: Sequence[Cell]) -> np.ndarray:
    return np.mean([cell.draws for cell in cells], axis=0)


def _interval(draws: np.ndarray) -> tuple[float, float]:
    if np.isnan(draws).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return float(low), float(high)
