"""The rows of the score table: one model on one task, and the two rows that know nothing."""

from dataclasses import dataclass

import numpy as np

from evaluation.probe import Predictions, measure, probe
from evaluation.scores import METRICS, resamples
from evaluation.splits import Splits
from evaluation.tasks import Task

CHANCE, MAJORITY = "chance", "majority"
SIMULATIONS = 100  # random answers behind the chance row


@dataclass(frozen=True)
class Score:
    """One metric of one representation in one repeat of the splits (for chance: in one simulation)."""

    representation: str
    task: str
    metric: str
    repeat: int
    value: float


@dataclass(frozen=True)
class Summary:
    """Mean and SD over repeats, and the 95 % bootstrap interval of the mean over test songs.

    The chance row's interval is where 95 % of random answers fall.
    n_classes: labels, or tags that could be tested.
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


@dataclass(frozen=True)
class Row:
    """What one representation scored on one task."""

    scores: tuple[Score, ...]
    summaries: tuple[Summary, ...]


def score_vectors(name: str, x: np.ndarray, task: Task, splits: Splits, bootstrap: int, seed: int) -> Row:
    """Probe x (song, dim), rows in the order of task.songs."""
    if len(x) != len(task.songs) or not np.isfinite(x).all():
        raise ValueError(f"{name}: {task.name} needs one finite vector for each of {len(task.songs)} songs")
    return _score(name, probe(x, task, splits), task, splits, bootstrap, seed)


def score_majority(task: Task, splits: Splits, bootstrap: int, seed: int) -> Row:
    """Always the training part's most frequent label; for tags, the same score for every song."""
    answers = []
    for folds in splits.repeats:
        scores, tested = np.zeros((len(task.songs), len(task.classes))), np.full(len(task.songs), -1)
        for number, fold in enumerate(folds):
            tested[fold.test] = number
            if task.kind == "single":
                counts = np.bincount(task.targets[fold.train], minlength=len(task.classes))
                scores[fold.test, counts.argmax()] = 1.0
        answers.append(Predictions(scores, tested))
    return _score(MAJORITY, answers, task, splits, bootstrap, seed)


def score_chance(task: Task, splits: Splits, seed: int) -> Row:
    """Random labels with the labels' frequencies; for tags, random scores. Measured by simulation."""
    rng = np.random.default_rng(seed)
    answers = [_guess(task, splits, number, rng) for number in range(SIMULATIONS)]
    everyone = np.ones((1, len(task.songs)))
    values = np.concatenate([measure(guess, task, everyone) for guess in answers], axis=1)
    return _row(CHANCE, values, values, task, splits, answers[0])


def _guess(task: Task, splits: Splits, number: int, rng: np.random.Generator) -> Predictions:
    folds, tested = splits.repeats[number % len(splits.repeats)], np.full(len(task.songs), -1)
    for f, fold in enumerate(folds):
        tested[fold.test] = f
    if task.kind == "multi":
        return Predictions(rng.random((len(task.songs), len(task.classes))), tested)
    share = np.bincount(task.targets, minlength=len(task.classes)) / len(task.targets)
    return Predictions(np.eye(len(share))[rng.choice(len(share), size=len(task.songs), p=share)], tested)


def _score(
    name: str, answers: list[Predictions], task: Task, splits: Splits, bootstrap: int, seed: int
) -> Row:
    everyone = np.ones((1, len(task.songs)))
    values = np.concatenate([measure(answer, task, everyone) for answer in answers], axis=1)
    draws = [
        np.mean([measure(answer, task, weights) for answer in answers], axis=0)
        for weights in resamples(len(task.songs), task.groups, bootstrap, seed)
    ]
    return _row(name, values, np.concatenate(draws, axis=1), task, splits, answers[0])


def _row(
    name: str, values: np.ndarray, draws: np.ndarray, task: Task, splits: Splits, answer: Predictions
) -> Row:
    """values: (metric, repeat); draws: (metric, resample), nan where a resample could not be scored."""
    done = answer.folds >= 0
    scores, summaries = [], []
    for metric, value, draw in zip(METRICS[task.kind], values, draws, strict=True):
        scores += [Score(name, task.name, metric, r, float(v)) for r, v in enumerate(value)]
        low, high = np.nanpercentile(draw, [2.5, 97.5]) if not np.isnan(draw).all() else (np.nan, np.nan)
        sd = float(value.std(ddof=1)) if len(value) > 1 else 0.0
        mean, n_songs = float(value.mean()), int(done.sum())
        figures = (mean, sd, float(low), float(high), n_songs, len(task.classes), splits.digest)
        summaries.append(Summary(name, task.name, metric, *figures))
    return Row(tuple(scores), tuple(summaries))
