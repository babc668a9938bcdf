"""Sufficient statistics: what a batch of songs says about the components. Records that add; float64 throughout."""

from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 1024  # frames expanded at once: 6 MB at 52 dimensions, inside a core's share of the cache


@dataclass(frozen=True)
class Statistics:
    """Sums over songs and frames, each linear in the responsibilities, so batches add and scale.

    count (comp,)           N_k   = sum_n r_nk
    first (comp, dim)       sum_n r_nk x_n
    second (comp, dim, dim) sum_n r_nk x_n x_n^T; with diagonal covariances (comp, dim), its diagonal
    atoms (comp,)           sum_jt varphi_jtk, the song-level atoms drawn from each component
    sticks (2,)             of the songs: how many sticks are in use, and -sum of E[log(1 - v)] over those
    """

    count: Tensor
    first: Tensor
    second: Tensor
    atoms: Tensor
    sticks: Tensor

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics(*(a + b for a, b in zip(self.tensors(), other.tensors(), strict=True)))

    def scaled(self, factor: float) -> "Statistics":
        return Statistics(*(factor * a for a in self.tensors()))

    def take(self, index: Tensor) -> "Statistics":
        """The components at `index`, in that order. The songs' sticks are nobody's in particular and stay."""
        count, first, second, atoms = (a[index] for a in self.tensors()[:-1])
        return Statistics(count, first, second, atoms, self.sticks)

    def to(self, device: torch.device | str) -> "Statistics":
        return Statistics(*(a.to(device) for a in self.tensors()))

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return self.count, self.first, self.second, self.atoms, self.sticks


def zeros(
    n_components: int, dim: int, device: torch.device | str = "cpu", diagonal: bool = False
) -> Statistics:
    """Statistics of no data."""
    second = (n_components, dim) if diagonal else (n_components, dim, dim)
    shapes = [(n_components,), (n_components, dim), second, (n_components,), (2,)]
    return Statistics(*(torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes))


def expanded_size(dim: int, diagonal: bool = False) -> int:
    return 2 * dim + 1 if diagonal else dim * (dim + 1) // 2 + dim + 1


def expand(values: Tensor, diagonal: bool = False, out: Tensor | None = None) -> Tensor:
    """t(x) of each frame, one column each: (frame, dim) -> (expanded_size, frame).

    Rows are the upper triangle of x x^T row by row (with `diagonal` x^2 alone), x, and 1. Log-densities of Gaussians
    and their sufficient statistics are both linear in t(x). Rows are contiguous: seven times faster than columns.
    `out` (expanded_size, frame) is written when given.
    """
    n_frames, dim = values.shape
    if out is None:
        out = values.new_empty(expanded_size(dim, diagonal), n_frames)
    columns = out[-dim - 1 : -1]
    columns.copy_(values.T)
    out[-1] = 1.0
    if diagonal:
        torch.mul(columns, columns, out=out[:dim])
        return out
    start = 0
    for i in range(dim):
        torch.mul(columns[i], columns[i:], out=out[start : start + dim - i])
        start += dim - i
    return out


def contract(sums: Tensor, atoms: Tensor, sticks: Tensor, dim: int, diagonal: bool = False) -> Statistics:
    """Statistics from R^T t(X), (comp, expanded_size) float64, the atom counts (comp,) and the sticks (2,)."""
    pairs = sums[:, : -dim - 1]
    second = pairs.clone() if diagonal else symmetric(pairs, dim)
    return Statistics(sums[:, -1].clone(), sums[:, -dim - 1 : -1].clone(), second, atoms, sticks)


def symmetric(pairs: Tensor, dim: int) -> Tensor:
    """Upper triangles, row by row, (comp, dim (dim + 1) / 2), as symmetric matrices (comp, dim, dim)."""
    rows, cols = torch.triu_indices(dim, dim, device=pairs.device)
    full = pairs.new_zeros(pairs.shape[0], dim, dim)
    full[:, rows, cols] = pairs
    full[:, cols, rows] = pairs
    return full
