"""Metrics, all with song weights, so that a bootstrap resample is only another weight vector."""

from collections.abc import Iterator

import numpy as np

METRICS = {
    "single": ("macro_f1", "accuracy"),
    "multi": ("macro_auroc", "macro_ap"),
    "value": ("r2", "pearson_r"),
}
_CHUNK = 4_000_000  # weights held at once


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


def resamples(n_songs: int, groups: np.ndarray | None, count: int, seed: int) -> Iterator[np.ndarray]:
    """Bootstrap weights in blocks (resample, song): how often each song is drawn. Groups are drawn whole.

    The same seed gives the same draws, so models are compared on the same resamples.
    """
    rng = np.random.default_rng([seed, n_songs])
    codes = np.arange(n_songs) if groups is None else np.unique(groups, return_inverse=True)[1]
    units, block = int(codes.max()) + 1, max(1, _CHUNK // n_songs)
    for start in range(0, count, block):
        size = min(block, count - start)
        drawn = rng.multinomial(units, np.full(units, 1 / units), size=size)
        yield drawn[:, codes].astype(np.float64)
