"""Metrics, all with song weights, so that a bootstrap resample is only another weight vector.

A new one is one file here and one entry in MEASURES; of each kind of task the first one chooses the regularisation.
"""

import numpy as np

from evaluation.probing.metrics import classification, ranking, regression

MEASURES = (classification.MEASURE, ranking.MEASURE, regression.MEASURE)
METRICS = {
    kind: tuple(metric for measure in MEASURES if measure.kind == kind for metric in measure.metrics)
    for kind in ("single", "multi", "value")
}


def measured(kind: str, truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """All metrics of a kind of task, (metric, resample), in the order of METRICS; arguments as in `Measure`."""
    return np.concatenate(
        [measure.compute(truth, scores, weights) for measure in MEASURES if measure.kind == kind]
    )
