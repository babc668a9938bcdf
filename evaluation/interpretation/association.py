"""Which labels go with which component: lift, NPMI and a permutation test, from shares between 0 and 1.

A song's share of a component is the mean responsibility over its frames. The joint probability of a label and a
component is the mean, over songs, of the share where the song has the label: hard counts where shares are 0 and 1.
"""

from dataclasses import dataclass

import numpy as np

from evaluation.interpretation.lift import label_lift
from evaluation.interpretation.tally import Tally


@dataclass(frozen=True)
class Association:
    """One component and one label.

    npmi in [-1, 1]; p: of the permutation test; low, high: 95 % interval of the lift.
    """

    component: int
    label: str
    songs: int
    lift: float
    low: float
    high: float
    npmi: float
    p: float


def npmi(counted: Tally) -> np.ndarray:
    """Normalised pointwise mutual information (label, component), smoothed as the lift is (Bouma 2009).

    log(p(l, k) / (p(l) p(k))) / -log p(l, k), with p(l, k) = lift p(l) p(k). 0 where either is absent.
    """
    p_label = counted.members / counted.n_songs
    p_component = counted.songs / counted.n_songs
    lift = label_lift(counted)
    joint = lift * p_label[:, None] * p_component[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(lift) / -np.log(joint)
    return np.where((joint > 0) & (joint < 1), found, 0.0)


def permutation_p(
    shares: np.ndarray, members: np.ndarray, groups: np.ndarray | None, permutations: int, seed: int
) -> np.ndarray:
    """How often, with songs permuted over labels, some label would go with a component as strongly: (label, comp).

    The statistic is the standardised sum of shares over a label's songs; its maximum over labels corrects for having
    looked at all of them (Westfall and Young 1993). Groups of songs are permuted whole, so that an artist's sound is
    not taken for a label's. Groups count as alike whatever their size: each is its songs' mean share and the share of
    its songs with the label. Smallest value 1 / (permutations + 1).
    """
    units, having = _by_group(shares, members, groups)
    centred = units - units.mean(0)
    apart = having - having.mean(1, keepdims=True)
    scale = np.sqrt((apart**2).sum(1)[:, None] * (centred**2).sum(0)[None, :] / max(1, len(units) - 1))
    scale = np.where(scale > 0, scale, np.inf)
    observed = (apart @ centred) / scale
    rng, beaten = np.random.default_rng(seed), np.zeros(observed.shape)
    for _ in range(permutations):
        most = ((apart @ centred[rng.permutation(len(units))]) / scale).max(0)
        beaten += most >= observed - 1e-12
    return (1.0 + beaten) / (permutations + 1.0)


def _by_group(
    shares: np.ndarray, members: np.ndarray, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean shares (group, component) and shares of songs with each label (label, group)."""
    if groups is None:
        return shares.astype(np.float64), members.astype(np.float64)
    codes = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(codes).astype(np.float64)
    mean = np.zeros((len(sizes), shares.shape[1]))
    np.add.at(mean, codes, shares)
    having = np.stack([np.bincount(codes, weights=mask, minlength=len(sizes)) for mask in members])
    return mean / sizes[:, None], having / sizes
