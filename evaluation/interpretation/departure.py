"""Which components move a song away from other songs, by the blocks of its Fisher vector."""

import numpy as np

PART = 0.3  # cosine of a shift and an axis from which a direction is worth a word


def block_shares(blocks: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Each component's share of the squared distance between a song's vector and the mean of songs': (comp,).

    blocks, mean (2, comp, dim): mean and variance gradients. What all songs have in common is no departure: gradients
    of tempered responsibilities do not add up to zero over a corpus. Zeros where the two are the same.
    """
    squares = ((blocks - mean) ** 2).sum(axis=(0, 2))
    total = squares.sum()
    return squares / total if total > 0 else squares


def cosines(shifts: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """How much of a shift lies along each axis, (..., axis) from -1 to 1: shifts (..., dim), axes (axis, dim).

    0 where there is no shift. A positive factor changes nothing: of a song's shifts one is not known.
    """
    length = np.linalg.norm(shifts, axis=-1)[..., None] * np.linalg.norm(axes, axis=-1)
    return np.divide(shifts @ axes.T, length, out=np.zeros(length.shape), where=length > 0)


def directions(own: np.ndarray, mean: np.ndarray, has: np.ndarray) -> np.ndarray:
    """-1, 0 or 1 for less, no word or more along each axis of a song at each component: (comp, axis).

    own: `cosines` of where the song's frames lie off the component's mean; mean: the same of songs; has bool (comp,):
    whether the song has frames there, without which the shift says where others are. A word needs a good part of the
    shift, and a larger one than of songs.
    """
    told = (np.abs(own) >= PART) & ((own - mean) * np.sign(own) > 0) & has[:, None]
    return np.where(told, np.sign(own), 0.0)
