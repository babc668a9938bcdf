"""Components on a plane: those that sound alike lie close to each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.markup import Html, html, join

SMALLEST, LARGEST = 1.2, 6.0  # diameter of a spot, percent of the map's width
MARGIN = 5.0  # percent
CROWDING = 0.25  # how much of the distances is kept where the map is spread


@dataclass(frozen=True)
class Spot:
    """A component on the map: place in [0, 1] x [0, 1], share of all frames, what it goes with; shown: has a card."""

    number: int
    x: float
    y: float
    share: float
    words: str
    shown: bool


def bhattacharyya(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Distances of Gaussians (comp, comp), nats; mean (comp, dim), covariance (comp, dim, dim) or variance (comp, dim).

    (m - m')^T S^-1 (m - m') / 8 + log(det S / sqrt(det C det C')) / 2, S the mean of both covariances (Bhattacharyya
    1943): minus the logarithm of how much two densities overlap.
    """
    full = covariance if covariance.ndim == 3 else covariance[:, :, None] * np.eye(covariance.shape[1])
    log_det = np.linalg.slogdet(full)[1]
    found = np.zeros((len(mean), len(mean)))
    for k in range(len(mean) - 1):
        others = slice(k + 1, None)
        middle = (full[k] + full[others]) / 2
        apart = mean[others] - mean[k]
        solved = np.linalg.solve(middle, apart[:, :, None])[:, :, 0]
        terms = np.einsum("kd,kd->k", apart, solved) / 8
        terms += (np.linalg.slogdet(middle)[1] - (log_det[k] + log_det[others]) / 2) / 2
        found[k, others] = found[others, k] = np.maximum(terms, 0.0)
    return found


def plane(distance: np.ndarray) -> np.ndarray:
    """Places (comp, 2) in [0, 1], distances near the square roots of these: classical scaling (Torgerson 1952).

    The axes' signs are fixed by the largest coordinate. One component, or all alike, lie in the middle.
    """
    n = len(distance)
    centring = np.eye(n) - 1.0 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ distance @ centring)
    places = np.zeros((n, 2))
    for axis in range(min(2, n)):
        value, vector = values[-1 - axis], vectors[:, -1 - axis]
        if value > 1e-12 * max(1.0, float(distance.max(initial=0.0))):
            places[:, axis] = np.sqrt(value) * vector * np.sign(vector[np.abs(vector).argmax()])
    low, reach = places.min(0), np.ptp(places, axis=0)
    return np.where(reach > 0, (places - low) / np.where(reach > 0, reach, 1.0), 0.5)


def spread(places: np.ndarray) -> np.ndarray:
    """The same order along each axis with room for everybody: (comp, 2) in [0, 1], by rank and a little by place."""
    order = np.argsort(np.argsort(places, axis=0, kind="stable"), axis=0, kind="stable")
    return (1 - CROWDING) * order / max(1, len(places) - 1) + CROWDING * places


def figure(spots: Sequence[Spot]) -> Html:
    """The map; spots with a card are links to it and lie on top, small ones above large ones."""
    if len(spots) < 2:
        return Html("")
    most = max(spot.share for spot in spots)
    drawn = join(_spot(spot, most) for spot in sorted(spots, key=lambda spot: (spot.shown, -spot.share)))
    return html(
        '<figure><h3>Map of the components</h3><div class="map" role="group" aria-label="Map of {} components">{}</div>'
        "<figcaption>Components that sound alike lie close to each other (spread out for room); larger ones explain "
        "more of what was heard. Numbered ones can be chosen and are described below.</figcaption></figure>",
        len(spots), drawn,
    )  # fmt: skip


def _spot(spot: Spot, most: float) -> Html:
    size = SMALLEST + (LARGEST - SMALLEST) * (spot.share / most) ** 0.5
    reach = 100 - 2 * MARGIN
    style = f"left:{MARGIN + reach * spot.x:.1f}%;top:{MARGIN + reach * spot.y:.1f}%;width:{size:.1f}%"
    about = f"Component {spot.number}" + (f": {spot.words}" if spot.words else "")
    if spot.shown:
        return html(
            '<a class="spot" href="#component-{}" style="{}" title="{}" aria-label="{}">{}</a>',
            spot.number, style, about, about, spot.number,
        )  # fmt: skip
    return html('<i class="spot" style="{}" title="{}"></i>', style, about)
