"""Sufficient statistics: what a batch of songs says about the components. Records that add; float64 throughout."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Statistics:
    """Sums over songs and frames, each linear in the responsibilities, so batches add and scale.

    count (comp,)           N_k   = sum_n r_nk
    first (comp, dim)       sum_n r_nk x_n
    second (comp, dim, dim) sum_n r_nk x_n x_n^T
    atoms (comp,)           sum_jt varphi_jtk, the song-level atoms drawn from each component
    """

    count: Tensor
    first: Tensor
    second: Tensor
    atoms: Tensor

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics(*(a + b for a, b in zip(self.tensors(), other.tensors(), strict=True)))

    def scaled(self, factor: float) -> "Statistics":
        return Statistics(*(factor * a for a in self.tensors()))

    def take(self, index: Tensor) -> "Statistics":
        """The components at `index`, in that order."""
        return Statistics(*(a[index] for a in self.tensors()))

    def to(self, device: torch.device | str) -> "Statistics":
        return Statistics(*(a.to(device) for a in self.tensors()))

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.count, self.first, self.second, self.atoms


def zeros(n_components: int, dim: int, device: torch.device | str = "cpu") -> Statistics:
    """Statistics of no data."""
    shapes = [(n_components,), (n_components, dim), (n_components, dim, dim), (n_components,)]
    return Statistics(*(torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes))


def expand(values: Tensor) -> Tensor:
    """t(x) = (upper triangle of x x^T, row by row; x; 1) of each frame: (frame, dim) -> (frame, D(D+1)/2 + D + 1).

    log-densities of Gaussians and their sufficient statistics are both linear in t(x).
    """
    n_frames, dim = values.shape
    out = values.new_empty(n_frames, expanded_size(dim))
    start = 0
    for i in range(dim):
        torch.mul(values[:, i : i + 1], values[:, i:], out=out[:, start : start + dim - i])
        start += dim - i
    out[:, start:-1] = values
    out[:, -1] = 1.0
    return out


def expanded_size(dim: int) -> int:
    return dim * (dim + 1) // 2 + dim + 1


def zero_sums(n_comp: int, dim: int, device: torch.device) -> Tensor:
    return torch.zeros(n_comp, expanded_size(dim), dtype=torch.float64, device=device)


def add_products(sums: Tensor, resp: Tensor, values: Tensor, block: int = 2048) -> None:
    """sums += resp^T t(values): float32 products of one block, float64 accumulation over blocks."""
    for start in range(0, values.shape[0], block):
        sums += resp[start : start + block].T @ expand(values[start : start + block])


def contract(sums: Tensor, atoms: Tensor, dim: int) -> Statistics:
    """Statistics from R^T t(X), (comp, expanded_size) float64, and the atom counts (comp,)."""
    n_pairs = dim * (dim + 1) // 2
    rows, cols = torch.triu_indices(dim, dim, device=sums.device)
    second = sums.new_zeros(sums.shape[0], dim, dim)
    second[:, rows, cols] = sums[:, :n_pairs]
    second[:, cols, rows] = sums[:, :n_pairs]
    return Statistics(sums[:, -1].clone(), sums[:, n_pairs:-1].clone(), second, atoms)
