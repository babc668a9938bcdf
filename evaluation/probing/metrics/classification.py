"""Macro F1 and accuracy, of one label a song."""

import numpy as np

from evaluation.probing.metrics.metric import Measure, Metric


def classification(
    truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray, n_classes: int
) -> np.ndarray:
    """Macro F1 and accuracy under each weighting: (2, resample).

    truth, predicted: int (song,); weights: (resample, song). A class that a resample neither has nor predicts
    does not count there.
    """
    true, said = np.eye(n_classes)[truth], np.eye(n_classes)[predicted]
    hits, total = weights @ (true * said), weights @ true + weights @ said
    with np.errstate(invalid="ignore"):
        f1 = np.where(total > 0, 2 * hits / total, np.nan)
    return np.stack([np.nanmean(f1, axis=1), hits.sum(axis=1) / weights.sum(axis=1)])


def _of_scores(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return classification(truth, scores.argmax(axis=1), weights, scores.shape[1])


MEASURE = Measure(
    "single",
    (
        Metric("macro_f1", "Macro F1", "right and complete answers per label, every label counting the same"),
        Metric(
            "accuracy",
            "Accuracy",
            "share of songs that got the right label",
            sentence="the right {task} is found for {percent:.0f} % of the songs",
        ),
    ),
    _of_scores,
)
