"""The map: distances against integrals and sampling, places that keep distances, spots that lead somewhere."""

import re

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from evaluation.component_map import Spot, bhattacharyya, figure, plane, spread


def test_distance_is_minus_the_logarithm_of_the_overlap():
    found = bhattacharyya(np.array([[0.0], [1.5], [1.5]]), np.array([[[1.0]], [[4.0]], [[0.3]]]))
    for i, j in ((0, 1), (1, 2), (0, 2)):
        one, two = (norm((0.0, 1.5, 1.5)[k], (1.0, 4.0, 0.3)[k] ** 0.5) for k in (i, j))
        overlap = quad(lambda x, one=one, two=two: np.sqrt(one.pdf(x) * two.pdf(x)), -20, 20)[0]
        assert found[i, j] == found[j, i] == pytest.approx(-np.log(overlap), abs=1e-7)


def test_distance_in_several_dimensions_by_sampling_and_of_diagonals():
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(2, 3, 3)) * 0.4 + np.eye(3)
    covariance, mean = roots @ roots.transpose(0, 2, 1), np.array([[0.0, 0, 0], [0.5, -0.5, 0.2]])
    one, two = (multivariate_normal(m, c) for m, c in zip(mean, covariance, strict=True))
    x = one.rvs(200_000, random_state=1)
    overlap = np.mean(np.exp((two.logpdf(x) - one.logpdf(x)) / 2))
    assert bhattacharyya(mean, covariance)[0, 1] == pytest.approx(-np.log(overlap), abs=0.01)
    variances = rng.uniform(0.5, 2, (4, 3))
    means = rng.normal(size=(4, 3))
    full = np.stack([np.diag(v) for v in variances])
    np.testing.assert_allclose(bhattacharyya(means, variances), bhattacharyya(means, full), atol=1e-12)


def test_places_keep_the_distances_of_a_plane():
    points = np.random.default_rng(1).normal(size=(12, 2)) * [3.0, 1.0]
    squared = ((points[:, None] - points[None]) ** 2).sum(-1)
    found = plane(squared)
    assert (found.min(), found.max()) == (0.0, 1.0)
    axes = np.linalg.svd(points - points.mean(0), full_matrices=False)[2]
    turned = points @ axes.T
    turned = (turned - turned.min(0)) / np.ptp(turned, axis=0)
    for axis in range(2):
        same = np.abs(found[:, axis] - turned[:, axis]).max()
        assert min(same, np.abs(found[:, axis] - (1 - turned[:, axis])).max()) < 1e-9


def test_one_component_or_equal_ones_lie_in_the_middle():
    assert plane(np.zeros((1, 1))).tolist() == [[0.5, 0.5]]
    assert (plane(np.zeros((3, 3))) == 0.5).all()
    assert figure([Spot(0, 0.5, 0.5, 1.0, "", True)]) == ""


def test_spots_lead_to_their_cards_and_names_are_harmless():
    spots = [Spot(7, 0.0, 1.0, 0.5, "<b>jazz</b>", True), Spot(9, 1.0, 0.0, 0.1, "", False)]
    text = figure(spots)
    assert 'href="#component-7"' in text
    assert "&lt;b&gt;jazz" in text
    assert "<b>" not in text
    assert "component-9" not in text
    sizes = [float(size) for size in re.findall(r"width:([\d.]+)%", text)]
    assert sizes[0] < sizes[1]  # spots with a card lie on top of the others, so they come last


def test_spreading_keeps_the_order_and_gives_room():
    places = np.array([[0.0, 1.0], [0.01, 0.02], [0.02, 0.01], [1.0, 0.0]])
    found = spread(places)
    np.testing.assert_array_equal(np.argsort(found, axis=0), np.argsort(places, axis=0))
    assert np.diff(found[:, 0]).min() > 0.2
    assert (found.min(), found.max()) == (0.0, 1.0)
    assert spread(np.array([[0.5, 0.5]])).shape == (1, 2)
