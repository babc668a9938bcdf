"""Where components lie beside each other: distances of their Gaussians, and a map on which alike is near.

Everything is a pure function of arrays; the same model gives the same map.
"""

import numpy as np

ROUNDS = 400  # of pushing circles apart; 64 circles settle within 150


def bhattacharyya(means: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Bhattacharyya distances of Gaussians, (comp, comp): symmetric, zero for equals, in nats.

    1/8 d^T S^-1 d + 1/2 log(|S| / sqrt(|S_i| |S_j|)) with d the difference of means and S the mean covariance (Fukunaga
    1990, equation 3.152). It does not depend on the units of the features.
    means (comp, dim), covariances (comp, dim, dim).
    """
    n = len(means)
    log_dets = np.linalg.slogdet(covariances)[1]
    found = np.zeros((n, n))
    for i in range(n - 1):
        between = 0.5 * (covariances[i] + covariances[i + 1 :])
        shift = means[i + 1 :] - means[i]
        near = np.einsum("kd,kd->k", shift, np.linalg.solve(between, shift[:, :, None])[:, :, 0])
        spread = np.linalg.slogdet(between)[1] - 0.5 * (log_dets[i] + log_dets[i + 1 :])
        found[i, i + 1 :] = found[i + 1 :, i] = near / 8 + spread / 2
    return np.maximum(found, 0.0)


def layout(distances: np.ndarray) -> np.ndarray:
    """Classical scaling (Torgerson 1952) of distances (comp, comp) to the plane: (comp, 2), centred.

    The first axis is the wider one. Its sign, which scaling leaves open, is such that the item farthest out is on the
    positive side.
    """
    n = len(distances)
    centring = np.eye(n) - 1.0 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ distances**2 @ centring)
    kept = np.zeros((n, 2))
    for axis, column in enumerate(np.argsort(-values, kind="stable")[:2]):
        vector = vectors[:, column] * np.sqrt(max(values[column], 0.0))
        kept[:, axis] = vector * (1.0 if vector[np.abs(vector).argmax()] >= 0 else -1.0)
    return kept


def placed(
    points: np.ndarray, radii: np.ndarray, width: float, height: float, gap: float = 3.0
) -> np.ndarray:
    """Centres of circles of the given radii inside width x height that do not overlap, near where `points` are.

    points (comp, 2) in any unit: along each axis between where a point lies and its rank, so that one far out does
    not push all others together. radii (comp,), gap: in the unit of width and height.
    """
    size = np.array([width, height])
    centres = _spread(points) * (size - 2 * radii.max(initial=0.0)) + radii.max(initial=0.0)
    for _ in range(ROUNDS):
        shift = centres[:, None] - centres[None]
        distance = np.linalg.norm(shift, axis=2)
        same = distance < 1e-9
        shift[same], distance[same] = (1e-3, 1e-3), 1.0  # circles in one place part along the diagonal
        shift[np.tril(same)] *= -1
        overlap = np.maximum(radii[:, None] + radii[None] + gap - distance, 0.0)
        np.fill_diagonal(overlap, 0.0)
        if not overlap.any():
            break
        push = 0.5 * (overlap / np.maximum(distance, 1e-9))[:, :, None] * shift
        centres = centres + push.sum(axis=1)
        centres = np.clip(centres, radii[:, None], size - radii[:, None])
    return centres


def hues(points: np.ndarray) -> np.ndarray:
    """A hue for each point, degrees in [0, 360): the rank of its angle about the middle, so that all hues are used."""
    angle = np.arctan2(points[:, 1], points[:, 0])
    rank = np.argsort(np.argsort(angle, kind="stable"), kind="stable")
    return 360.0 * rank / max(len(points), 1)


def _spread(points: np.ndarray) -> np.ndarray:
    """Each axis to [0, 1], more by rank than by value."""
    n = len(points)
    low, high = points.min(axis=0, initial=0.0), points.max(axis=0, initial=0.0)
    value = (points - low) / np.where(high > low, high - low, 1.0)
    rank = np.argsort(np.argsort(points, axis=0, kind="stable"), axis=0, kind="stable") / max(n - 1, 1)
    return 0.3 * value + 0.7 * rank
