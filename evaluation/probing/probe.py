"""Linear probes: how much of a label a straight line can read from the vectors.

Standardise, logistic regression, C chosen by cross-validation inside the training part. The folds' answers are pooled.
For tags they are log-likelihood ratios, the logit without the training part's prior: where a fold tests more of a tag,
its training part has less, so with the prior included vectors that know nothing would rank below one half. And they
are calibrated: folds choose their own C, and the logits of a small C are near zero, those of a large one far from it;
pooled as they are, the ranking would be one of folds. So each fold's are multiplied by what fits the answers of its
inner folds best (Platt 1999, with one parameter), which changes no ranking inside a fold.
Numbers are read by ridge regression, its penalty chosen in the same way.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from threadpoolctl import threadpool_limits

from evaluation.probing.logistic import fit_path
from evaluation.probing.metrics import measured
from evaluation.probing.ridge import fit_ridge
from evaluation.probing.splits import Fold, Splits
from evaluation.probing.tasks import Task

GRID = (1e-3, 1e-2, 1e-1, 1.0)
VALUE_GRID = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # 1 / penalty of the ridge regression
DEFAULT_C = 1e-1  # where the training part is too small to be split again
DEFAULT_VALUE_C = 1e-3
SLOPES = (1e-2, 1e2)


@dataclass(frozen=True)
class Predictions:
    """Out-of-fold answers of one repeat.

    scores: (song, class), of a number (song, 1); folds: int (song,), which fold tested it.
    """

    scores: np.ndarray
    folds: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """The best class of each song, int (song,)."""
        return self.scores.argmax(axis=1)


def out_of_fold(x: np.ndarray, task: Task, folds: tuple[Fold, ...]) -> Predictions:
    """Scores of every song by the probe that has not seen it. x (song, dim), rows in the order of task.songs.

    Songs that no fold tests keep fold -1.
    """
    scores = np.zeros((len(task.songs), task.width))
    tested = np.full(len(task.songs), -1)
    for number, fold in enumerate(folds):
        c, slope = _choose_c(x, task, fold)
        scores[fold.test] = slope * _path(x, task, fold.train, fold.test, (c,))[0]
        tested[fold.test] = number
    return Predictions(scores, tested)


def measure(predictions: Predictions, task: Task, weights: np.ndarray) -> np.ndarray:
    """The task's metrics (`metrics.METRICS`) under each weighting of the songs: (metric, resample)."""
    done = predictions.folds >= 0
    return measured(task.kind, task.targets[done], predictions.scores[done], weights[:, done])


def probe(x: np.ndarray, task: Task, splits: Splits) -> list[Predictions]:
    """One set of out-of-fold predictions per repeat. One thread: the matrices are small."""
    with threadpool_limits(1):
        return [out_of_fold(x, task, folds) for folds in splits.repeats]


def _choose_c(x: np.ndarray, task: Task, fold: Fold) -> tuple[float, float]:
    """The smallest C with the best score over the inner folds, and for tags what its answers there are to be multiplied
    by.
    """
    grid, default = (VALUE_GRID, DEFAULT_VALUE_C) if task.kind == "value" else (GRID, DEFAULT_C)
    if not fold.inner:
        return default, 1.0
    scores = np.zeros((len(grid), len(task.songs), task.width))
    tested = np.full(len(task.songs), -1)
    for number, (train, test) in enumerate(fold.inner):
        scores[:, test] = _path(x, task, train, test, grid)
        tested[test] = number
    everyone = np.ones((1, len(task.songs)))
    values = [measure(Predictions(s, tested), task, everyone)[0, 0] for s in scores]
    if np.all(np.isnan(values)):
        return default, 1.0
    best = int(np.nanargmax(values))
    train = fold.train[tested[fold.train] >= 0]
    return grid[best], _slope(scores[best][train], task.targets[train]) if task.kind == "multi" else 1.0


def _slope(ratios: np.ndarray, truth: np.ndarray) -> float:
    """a with the greatest likelihood of P(tag) = logistic(a ratio + logit(share of the songs that have it)).

    ratios: log-likelihood ratios (song, tag); truth: bool (song, tag). In SLOPES: where the answers were worse than
    none it is the least of them.
    """
    share = truth.mean(axis=0)
    told = (share > 0) & (share < 1)
    ratios, truth, prior = ratios[:, told], truth[:, told], _logit(share[told])

    def loss(log_a: float) -> float:
        return float(np.logaddexp(0.0, np.where(truth, -1.0, 1.0) * (np.exp(log_a) * ratios + prior)).sum())

    found = minimize_scalar(loss, bounds=tuple(np.log(SLOPES)), method="bounded")
    return float(np.exp(found.x))


def _path(
    x: np.ndarray, task: Task, train: np.ndarray, test: np.ndarray, cs: tuple[float, ...]
) -> np.ndarray:
    """Scores (c, test song, class). What the training part cannot teach is never chosen, or left unranked."""
    if task.kind == "value":
        models = fit_ridge(x[train], task.targets[train], cs)
        return np.stack([model.scores(x[test]) for model in models])
    y = _one_hot(task)[train]
    single = task.kind == "single"
    scores = np.full((len(cs), len(test), len(task.classes)), -np.inf if single else 0.0)
    scores[:, :, y.all(axis=0)] = 0.0
    teachable = y.any(axis=0) & ~y.all(axis=0)
    if teachable.any():
        prior = 0.0 if single else _logit(y[:, teachable].mean(axis=0))
        for row, model in zip(scores, fit_path(x[train], y[:, teachable], cs, exclusive=single), strict=True):
            row[:, teachable] = model.scores(x[test]) - prior
    return scores


def _logit(share: np.ndarray) -> np.ndarray:
    return np.log(share / (1 - share))


def _one_hot(task: Task) -> np.ndarray:
    return task.targets if task.kind == "multi" else np.eye(len(task.classes), dtype=bool)[task.targets]
