"""How components sound: readings of their Gaussians, in the features' own units, set beside those of the whole corpus.

A reading is a weighted sum of a frame's features, as of its loudness; under a Gaussian it has a mean and a deviation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import idct

PLAIN = 0.4  # standard deviations below which a difference is not worth a word
STRONG = 1.2
PITCHES = 3  # named, at most
_TRIADS = {"major": (0, 4, 7), "minor": (0, 3, 7)}  # semitones above the root


@dataclass(frozen=True)
class Gaussians:
    """mean (comp, dim), covariance (comp, dim, dim), or variance (comp, dim) where features are independent."""

    mean: np.ndarray
    covariance: np.ndarray

    def read(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, (comp, reading) each, of readings with these weights (reading, dim)."""
        if self.covariance.ndim == 2:
            variance = self.covariance @ (weights**2).T
        else:
            variance = np.einsum("rd,kde,re->kr", weights, self.covariance, weights, optimize=True)
        return self.mean @ weights.T, np.sqrt(np.maximum(variance, 0.0))


def mixture_moments(share: np.ndarray, components: Gaussians) -> Gaussians:
    """The mean and the covariance of the whole mixture, as one Gaussian; share (comp,) sums to one.

    By the laws of total expectation and total variance: sum_k w_k m_k, and sum_k w_k (C_k + (m_k - m) (m_k - m)^T).
    """
    mean = share @ components.mean
    apart = components.mean - mean
    within = np.tensordot(share, components.covariance, axes=1)
    if components.covariance.ndim == 2:
        within = np.diag(within)
    return Gaussians(mean[None], (within + (share * apart.T) @ apart)[None])


def deviations(own: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """How far readings (..., reading) are from the corpus' mean (reading,), in its deviations sd (reading,)."""
    return (own - mean) / np.where(sd > 0, sd, np.inf)


def in_words(deviation: float, less: str, more: str) -> str:
    """A deviation in standard deviations as a person says it: "very loud", "" where it is as usual."""
    if abs(deviation) < PLAIN:
        return ""
    return ("very " if abs(deviation) >= STRONG else "") + (more if deviation > 0 else less)


def in_pitches(deviation: np.ndarray, names: Sequence[str]) -> tuple[str, float]:
    """The pitch classes that stand out, (pitch class,) in standard deviations, in words, and by how much: "on C/G".

    At most PITCHES, the most outstanding of those above both neighbours, into which a tone leaks; three that make a
    major or a minor triad are called by it. "" and 0 where none stands out.
    """
    peak = (deviation >= np.roll(deviation, 1)) & (deviation >= np.roll(deviation, -1))
    order = [int(i) for i in np.argsort(-deviation, kind="stable") if peak[i] and deviation[i] >= PLAIN]
    found = order[:PITCHES]
    if not found:
        return "", 0.0
    chord = _triad(found) if len(names) == 12 else None
    said = f"{names[chord[0]]} {chord[1]}" if chord else "/".join(names[i] for i in found)
    return f"on {said}", float(deviation[found[0]])


def _triad(pitches: Sequence[int]) -> tuple[int, str] | None:
    """The root and the kind of the triad that these pitch classes are, None where they are none."""
    for root in pitches:
        for kind, steps in _TRIADS.items():
            if {(root + step) % 12 for step in steps} == set(pitches):
                return root, kind
    return None


def inverse_dct(n_bands: int, n_coefficients: int) -> np.ndarray:
    """(band, coefficient): the log-mel spectrum in dB of mel-frequency cepstral coefficients, orthonormal DCT-II.

    The coefficients that are not there are zero, which smooths the spectrum (Davis, Mermelstein 1980).
    """
    found: np.ndarray = idct(np.eye(n_bands)[:n_coefficients], type=2, norm="ortho", axis=1)  # pyright: ignore
    return found.T
