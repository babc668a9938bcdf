"""Moments of frames as one streamed, mergeable pass, and the whitening they give. numpy, float64."""

from dataclasses import dataclass

import numpy as np

RIDGE = 1e-6  # of the correlation matrix: duplicated and constant features stay finite
CHUNK_FRAMES = 1024  # whitened at a time, in float64: they stay in the cache
ROUNDING = 1e-12  # a feature that varies by less than this much of its mean, or of the others, is constant


@dataclass(frozen=True)
class Moments:
    """count frames, their mean (dim,), and the scatter about it (dim, dim): sum (x - mean)(x - mean)^T."""

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    def __add__(self, other: "Moments") -> "Moments":
        """Chan, Golub, LeVeque (1979): exact merging without the cancellation of raw second moments."""
        count = self.count + other.count
        if count == 0:
            return self
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.count / count)
        between = np.outer(shift, shift) * (self.count * other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + between)


@dataclass(frozen=True)
class Whitening:
    """x -> (x - mean) @ transform has zero mean and unit covariance. log_det = log |det transform|."""

    mean: np.ndarray  # (dim,) float64
    transform: np.ndarray  # (dim, dim) float64

    @property
    def log_det(self) -> float:
        """Add it to a log-density of whitened frames to have that of the frames in their own units."""
        return float(np.linalg.slogdet(self.transform)[1])

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(frame, dim) in feature units -> float32 (frame, dim)."""
        whitened = np.empty((len(values), self.transform.shape[1]), np.float32)
        for start in range(0, len(values), CHUNK_FRAMES):
            chunk = slice(start, start + CHUNK_FRAMES)
            whitened[chunk] = (values[chunk] - self.mean) @ self.transform
        return whitened

    def mean_in_units(self, mean: np.ndarray) -> np.ndarray:
        """Means (comp, dim) of whitened frames as means in feature units."""
        return mean @ np.linalg.inv(self.transform) + self.mean

    def covariance_in_units(self, covariance: np.ndarray) -> np.ndarray:
        """Covariances (comp, dim, dim), or variances (comp, dim) where the transform is diagonal, in feature units."""
        back = np.linalg.inv(self.transform)
        return covariance * np.diag(back) ** 2 if covariance.ndim == 2 else back.T @ covariance @ back


def moments(values: np.ndarray) -> Moments:
    """Moments of (frame, dim)."""
    values = values.astype(np.float64)
    mean = values.mean(0) if len(values) else np.zeros(values.shape[1])
    centred = values - mean
    return Moments(len(values), mean, centred.T @ centred)


def whitening(total: Moments) -> Whitening:
    """chol(inv(cov)) of the paper, computed through the correlation matrix so that scales do not matter.

    A constant feature has no scale; it is centred and left as it is.
    """
    deviation, varies = _deviation(total)
    correlation = total.scatter / total.count / np.outer(deviation, deviation)
    correlation[~np.outer(varies, varies)] = 0.0
    np.fill_diagonal(correlation, 1.0 + RIDGE)
    factor = np.linalg.cholesky(np.linalg.inv(correlation))
    return Whitening(total.mean, factor / deviation[:, None])


def standardising(total: Moments) -> Whitening:
    """Unit variance of each feature and nothing else, as diagonal covariances of the features themselves want it."""
    return Whitening(total.mean, np.diag(1.0 / _deviation(total)[0]))


def _deviation(total: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations, of constant features what rounding may leave of them but at least 1, and which vary.

    Beside features that vary by 1 and more, one that varies by less than ROUNDING is constant: it is what others'
    rounding leaves of a zero. Where all are small, in whatever units, the widest decides.
    """
    if total.count < 1:
        raise ValueError("whitening needs at least one frame")
    deviation = np.sqrt(np.diag(total.scatter) / total.count)
    widest = min(1.0, deviation.max(initial=0.0))
    varies = deviation > ROUNDING * (widest + np.abs(total.mean))
    return np.where(varies, deviation, np.maximum(1.0, ROUNDING * np.abs(total.mean))), varies
