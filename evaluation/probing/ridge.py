"""Ridge regression of a number along a path of penalties, from one singular value decomposition."""

from collections.abc import Sequence

import numpy as np

from evaluation.probing.logistic import Linear, standardise


def fit_ridge(x: np.ndarray, y: np.ndarray, cs: Sequence[float]) -> list[Linear]:
    """One model for each C: the weights that minimise |y - b - z w|^2 + |w|^2 / C; x (song, dim), y (song,).

    z is x standardised; the intercept b is free (Hoerl and Kennard 1970).
    """
    z, mean, scale = standardise(x)
    left, singular, right = np.linalg.svd(z, full_matrices=False)
    projected, middle = left.T @ (y - y.mean()), np.array([y.mean()])
    return [
        Linear(mean, scale, (right.T @ (singular / (singular**2 + 1.0 / c) * projected))[:, None], middle)
        for c in cs
    ]
