"""How components sound: readings against drawn frames, the spectrum against plain cosines, words against a list."""

import math

import numpy as np
import pytest

from evaluation.interpretation.naming import told_apart
from evaluation.interpretation.sound import (
    PLAIN,
    Gaussians,
    deviations,
    in_pitches,
    in_words,
    inverse_dct,
    mixture_moments,
)

NAMES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]


def two_components(rng: np.random.Generator) -> tuple[np.ndarray, Gaussians, np.ndarray]:
    """Shares, Gaussians of three features, and 400,000 frames drawn from them."""
    share, mean = np.array([0.3, 0.7]), np.array([[1.0, -2.0, 0.5], [-1.0, 1.0, 0.0]])
    factor = rng.normal(size=(2, 3, 3))
    covariance = factor @ factor.transpose(0, 2, 1)
    which = rng.random(400_000) < 0.3
    frames = np.where(
        which[:, None],
        *(rng.multivariate_normal(m, c, len(which)) for m, c in zip(mean, covariance, strict=True)),
    )
    return share, Gaussians(mean, covariance), frames


def test_readings_and_the_whole_mixture_have_the_moments_of_its_frames():
    share, components, frames = two_components(np.random.default_rng(0))
    whole = mixture_moments(share, components)
    np.testing.assert_allclose(whole.mean[0], frames.mean(0), atol=0.02)
    np.testing.assert_allclose(whole.covariance[0], np.cov(frames.T), atol=0.1)
    weights = np.array([[1.0, 0.0, 0.0], [0.5, -1.0, 2.0]])
    (mean,), (sd,) = whole.read(weights)
    np.testing.assert_allclose(mean, (frames @ weights.T).mean(0), atol=0.03)
    np.testing.assert_allclose(sd, (frames @ weights.T).std(0), rtol=0.01)


def test_independent_features_are_diagonal_covariances():
    variance = np.array([[1.0, 4.0], [9.0, 0.25]])
    mean, weights = np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[1.0, 2.0], [0.5, -1.0]])
    own, full = Gaussians(mean, variance), Gaussians(mean, np.stack([np.diag(row) for row in variance]))
    for found, expected in zip(own.read(weights), full.read(weights), strict=True):
        np.testing.assert_allclose(found, expected)
    share = np.array([0.25, 0.75])
    np.testing.assert_allclose(
        mixture_moments(share, own).covariance, mixture_moments(share, full).covariance
    )


def test_a_reading_that_never_varies_is_as_usual():
    np.testing.assert_allclose(
        deviations(np.array([[3.0, 5.0]]), np.array([1.0, 5.0]), np.array([2.0, 0.0])), [[1, 0]]
    )


@pytest.mark.parametrize(
    ("deviation", "words"), [(0.1, ""), (-0.39, ""), (-0.9, "quiet"), (0.9, "loud"), (-2.0, "very quiet")]
)
def test_deviations_in_words(deviation: float, words: str):
    assert in_words(deviation, "quiet", "loud") == words


@pytest.mark.parametrize(
    ("high", "words"),
    [
        ({}, ""),
        ({"C": PLAIN - 0.01}, ""),
        ({"A": 0.7}, "on A"),
        ({"A": 0.7, "A#": 0.6, "G#": 0.5}, "on A"),  # it leaks into both sides
        ({"D": 0.7, "A": 0.9}, "on A/D"),
        ({"C": 0.9, "E": 0.5, "G": 0.6}, "on C major"),
        ({"C": 0.5, "E": 0.6, "A": 0.9}, "on A minor"),
        ({"C": 0.9, "E": 0.5, "G#": 0.6}, "on C/G#/E"),
        ({"C": 0.9, "E": 0.8, "G": 0.7, "A": 0.5}, "on C major"),
    ],
)
def test_pitch_classes_in_words(high: dict[str, float], words: str):
    deviation = np.array([high.get(name, -0.3) for name in NAMES])
    assert in_pitches(deviation, NAMES) == (words, pytest.approx(max(high.values()) if words else 0.0))


def test_every_triad_is_found_by_its_root():
    for root in range(12):
        for kind, third in (("major", 4), ("minor", 3)):
            deviation = np.zeros(12)
            deviation[[root, (root + third) % 12, (root + 7) % 12]] = 0.8, 0.6, 0.7
            assert in_pitches(deviation, NAMES)[0] == f"on {NAMES[root]} {kind}"


def test_the_spectrum_is_the_sum_of_the_cosines_of_its_coefficients():
    """Orthonormal DCT-II: sqrt(1 / n) of the first, sqrt(2 / n) of the others."""
    mfcc = np.random.default_rng(0).normal(size=5)
    for band, level in enumerate(inverse_dct(16, 5) @ mfcc):
        expected = mfcc[0] / math.sqrt(16)
        for k in range(1, 5):
            expected += math.sqrt(2 / 16) * mfcc[k] * math.cos(math.pi * k * (2 * band + 1) / 32)
        assert level == pytest.approx(expected)


def test_names_that_are_alike_say_more_and_then_their_number():
    parts = [
        ["loud", "dark", "smooth"],
        ["loud", "dark", "tonal"],
        ["quiet", "dark"],
        ["bright", "loud", "smooth"],
        ["bright", "loud"],
        ["jazz"],
        ["jazz", "loud"],
        [],
        [],
        ["noisy", "on A"],
        ["noisy", "on A"],
        ["noisy", "bright", "loud"],
    ]
    first = [2, 2, 2, 2, 2, 1, 1, 2, 2, 2, 2, 2]
    assert told_apart(parts, first, range(10, 22)) == [
        "loud, dark, smooth",
        "loud, dark, tonal",
        "quiet, dark",
        "bright, loud, smooth",
        "bright, loud",
        "jazz",
        "jazz, loud",
        "an ordinary sound (17)",
        "an ordinary sound (18)",
        "noisy, on A (19)",
        "noisy, on A (20)",
        "noisy, bright",
    ]


@pytest.mark.parametrize("seed", range(20))
def test_no_two_components_have_the_same_name(seed: int):
    rng = np.random.default_rng(seed)
    words = ["loud", "dark", "tonal", "smooth"]
    parts = [[words[i] for i in rng.permutation(4)[: rng.integers(0, 5)]] for _ in range(30)]
    names = told_apart(parts, [2] * 30, range(30))
    assert len(set(names)) == 30
    assert all(name.startswith(", ".join(some[:2])) for name, some in zip(names, parts, strict=True))
