"""The mixture that music is compared with stays scikit-learn's where torch computes for it."""

import numpy as np
import pytest
from sklearn.mixture import BayesianGaussianMixture

from tests.bench.quality.music import products_on


def _fit(frames: np.ndarray) -> BayesianGaussianMixture:
    return BayesianGaussianMixture(n_components=5, max_iter=40, tol=1e-9, random_state=0).fit(frames)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_products_by_torch_leave_the_mixture_as_it_is() -> None:
    rng = np.random.default_rng(0)
    frames = (rng.normal(size=(3, 4)) * 4)[rng.integers(3, size=600)] + rng.normal(size=(600, 4))
    own = _fit(frames)
    with products_on("cpu"):
        ours = _fit(frames)
    assert ours.n_iter_ == own.n_iter_
    for name in (
        "weights_",
        "means_",
        "covariances_",
        "degrees_of_freedom_",
        "mean_precision_",
        "lower_bound_",
    ):
        np.testing.assert_allclose(
            getattr(ours, name), getattr(own, name), rtol=1e-8, atol=1e-9, err_msg=name
        )
