"""Macro AUROC and macro average precision, of tags."""

import numpy as np

from evaluation.probing.metrics.metric import Measure, Metric


def ranking(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Macro AUROC and macro average precision under each weighting, (2, resample); nan where no tag can be tested.

    truth: bool (song, tag); scores: (song, tag), ties count one half. The mean is over the tags that have, in the
    resample, a song with and a song without them.
    """
    per_tag = np.stack([_rank_tag(truth[:, t], scores[:, t], weights) for t in range(truth.shape[1])])
    counted = ~np.isnan(per_tag)
    total = np.where(counted, per_tag, 0.0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return total / counted.sum(axis=0)


def _rank_tag(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC and AP of one tag: (2, resample)."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    drawn, mask = weights[:, order], truth[order]
    gained = np.add.reduceat(drawn * mask, starts, axis=1)
    lost = np.add.reduceat(drawn * ~mask, starts, axis=1)
    above, below = gained.cumsum(axis=1), lost.cumsum(axis=1)
    pairs, positives = above[:, -1] * below[:, -1], above[:, -1]
    ordered = (lost * (above - 0.5 * gained)).sum(axis=1)
    precision = (gained * above / np.maximum(above + below, 1e-300)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, np.stack([ordered / pairs, precision / positives]), np.nan)


MEASURE = Measure(
    "multi",
    (
        Metric(
            "macro_auroc",
            "Macro AUROC",
            "how often a song with a tag is ranked above one without it; guessing gives 0.5",
            sentence="a song with one of the {task} is told from one without in {percent:.0f} % of the cases",
            classes="tags",
        ),
        Metric(
            "macro_ap",
            "Average precision",
            "how clean the top of the ranking is for a tag; guessing gives the tag's share of songs",
            classes="tags",
        ),
    ),
    ranking,
)
