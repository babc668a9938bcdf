"""R2 and Pearson's r, of a number a song."""

import numpy as np

from evaluation.probing.metrics.metric import Measure, Metric


def regression(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """R2 and Pearson's r under each weighting, (2, resample); nan where a resample holds one value alone.

    truth, predicted: float (song,). R2 = 1 - sum w (y - p)^2 / sum w (y - mean y)^2; r is 0 where predictions do not
    vary.
    """
    w = weights / weights.sum(axis=1, keepdims=True)
    y, p = truth - truth.mean(), predicted - truth.mean()
    mean_y, mean_p = w @ y, w @ p
    var_y, var_p = w @ y**2 - mean_y**2, w @ p**2 - mean_p**2
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = 1.0 - (w @ (y - p) ** 2) / var_y
        r = np.where(
            var_p > 1e-15 * np.abs(p).max() ** 2,
            (w @ (y * p) - mean_y * mean_p) / np.sqrt(var_y * var_p),
            0.0,
        )
    return np.where(var_y > 1e-15 * np.abs(y).max() ** 2, np.stack([r2, r]), np.nan)


MEASURE = Measure(
    "value",
    (
        Metric(
            "r2",
            "R2",
            "share of the differences between songs that is explained; guessing the mean gives 0",
        ),
        Metric(
            "pearson_r",
            "Pearson's r",
            "how well predicted and true numbers go together, from -1 to 1; guessing gives 0",
        ),
    ),
    lambda truth, scores, weights: regression(truth, scores[:, 0], weights),
)
