"""Metrics: of tasks, all with song weights, so that a bootstrap resample is only another weight vector, and of lists.

A new one is one file here and one entry: in MEASURES, where of each kind of task the first one chooses the
regularisation, or in LISTS, where the first one chooses the settings.
"""

import numpy as np
from scipy.sparse import csr_matrix

from evaluation.probing.metrics import classification, ndcg, ranking, regression

MEASURES = (classification.MEASURE, ranking.MEASURE, regression.MEASURE)
LISTS = (ndcg.MEASURE,)
METRICS = {
    **{
        kind: tuple(metric for measure in MEASURES if measure.kind == kind for metric in measure.metrics)
        for kind in ("single", "multi", "value")
    },
    "plays": tuple(metric for measure in LISTS for metric in measure.metrics),
}


def measured(kind: str, truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """All metrics of a kind of task, (metric, resample), in the order of METRICS; arguments as in `Measure`."""
    return np.concatenate(
        [measure.compute(truth, scores, weights) for measure in MEASURES if measure.kind == kind]
    )


def measured_lists(scores: np.ndarray, held: csr_matrix, seen: csr_matrix | None, length: int) -> np.ndarray:
    """All metrics of lists, (metric, user), in the order of METRICS["plays"]; arguments as in `ListMeasure`."""
    return np.concatenate([measure.compute(scores, held, seen, length) for measure in LISTS])
