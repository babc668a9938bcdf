"""The map: distances by another route, layouts that keep them, circles that stay apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from evaluation.interpretation.component_map import bhattacharyya, hues, layout, placed


def test_the_distance_is_minus_the_log_of_the_overlap_integral():
    """-log of the integral of sqrt(p q), by quadrature in one dimension."""
    means, sds = np.array([0.3, 2.0, -1.0]), np.array([1.0, 0.4, 2.5])
    found = bhattacharyya(means[:, None], (sds**2)[:, None, None])
    for i in range(3):
        for j in range(3):
            p, q = norm(means[i], sds[i]), norm(means[j], sds[j])
            overlap = quad(lambda x, p=p, q=q: np.sqrt(p.pdf(x) * q.pdf(x)), -30, 30, points=[0, 2])[0]
            assert found[i, j] == pytest.approx(-np.log(overlap), abs=1e-7)


def test_it_does_not_depend_on_units():
    rng = np.random.default_rng(0)
    means, a, b = rng.normal(size=(4, 3)), rng.normal(size=(4, 3, 3)), rng.normal(size=(3, 3))
    covariances = a @ a.transpose(0, 2, 1) + np.eye(3)
    np.testing.assert_allclose(
        bhattacharyya(means @ b.T, b @ covariances @ b.T), bhattacharyya(means, covariances), atol=1e-9
    )


def test_points_of_a_plane_are_found_again():
    points = np.random.default_rng(1).normal(size=(7, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    found = layout(distances)
    np.testing.assert_allclose(np.linalg.norm(found[:, None] - found[None], axis=2), distances, atol=1e-9)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)


@given(st.integers(1, 64), st.integers(0, 1000))
def test_circles_are_inside_and_apart(n: int, seed: int):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 2)) * (seed % 3)  # all in one place where the seed is a multiple of three
    radii = np.sqrt(rng.uniform(0.3, 1, n) * 0.4 * 640 * 520 / n / np.pi).clip(max=104)
    found = placed(points, radii, 640, 520, gap=0)
    assert (found >= radii[:, None] - 1e-9).all()
    assert (found <= np.array([640, 520]) - radii[:, None] + 1e-9).all()
    distance = np.linalg.norm(found[:, None] - found[None], axis=2) + 1e9 * np.eye(n)
    assert (distance - radii[:, None] - radii[None]).min() > -0.35 * radii.min()


def test_hues_go_round_once():
    points = np.array([[1.0, 0], [0, 1.0], [-1.0, 0], [0, -1.0]])
    assert sorted(hues(points).tolist()) == [0, 90, 180, 270]
