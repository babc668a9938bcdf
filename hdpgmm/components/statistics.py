"""Sufficient statistics: what a batch of songs says about the components. Records that add; float64 throughout."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = {  # frames expanded at once: at 52 dimensions
    "cpu": 256,  # 1.5 MB, near what a core's own cache holds
    "cuda": 1 << 16,  # 375 MB, products large enough for a GPU
}


def blocks(n_frames: int, most: int) -> Iterator[slice]:
    """Consecutive ranges of at most `most` frames, of nearly the same size, whole vectors of 64 where they can be."""
    even = -(-n_frames // max(1, -(-n_frames // most)))
    size = max(1, min(most, -(-even // 64) * 64))
    for start in range(0, n_frames, size):
        yield slice(start, min(start + size, n_frames))


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


def pairs(dim: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """The dim (dim + 1) / 2 pairs of dimensions, in the order of the expanded frames.

    i and i + d mod dim: for each i every d below (dim + 1) / 2, and of the last d of an even dim the first half of i.
    On columns that stand there twice, all products are two operations. Squares first would cost float32 a digit.
    """
    turns, half = divmod(dim + 1, 2)
    place = torch.arange(dim * turns, device=device)
    first, turn = place // turns, place % turns
    if half:
        middle = torch.arange(dim // 2, device=device)
        first, turn = torch.cat([first, middle]), torch.cat([turn, turns + 0 * middle])
    return first, (first + turn) % dim


def expand(values: Tensor, diagonal: bool = False, out: Tensor | None = None) -> Tensor:
    """t(x) of each frame, one column each: (frame, dim) -> (expanded_size, frame).

    Rows are the products of `pairs` (with `diagonal` x^2 alone), x, and 1. Log-densities of Gaussians and their
    sufficient statistics are both linear in t(x). `out` (expanded_size, at least as many frames) is written when given,
    and what is returned is a view of it.
    """
    n_frames, dim = values.shape
    if out is None:
        out = values.new_empty(expanded_size(dim, diagonal), n_frames)
    out = out[:, :n_frames]
    columns = out[-dim - 1 : -1]
    columns.copy_(values.T)
    out[-1] = 1.0
    if diagonal:
        torch.mul(columns, columns, out=out[:dim])
        return out
    turns, half = divmod(dim + 1, 2)  # d below (dim + 1) / 2, and for even dim half of one more
    twice = torch.cat([columns, columns])
    turned = twice.as_strided((dim, turns, n_frames), (n_frames, n_frames, 1))
    torch.mul(columns[:, None, :], turned, out=out[: turns * dim].unflatten(0, (dim, turns)))
    if half:
        middle = slice(turns * dim, -dim - 1)
        torch.mul(twice[turns : turns + dim // 2], columns[: dim // 2], out=out[middle])
    return out


def contract(sums: Tensor, atoms: Tensor, sticks: Tensor, dim: int, diagonal: bool = False) -> Statistics:
    """Statistics from R^T t(X), (comp, expanded_size) float64, the atom counts (comp,) and the sticks (2,)."""
    products = sums[:, : -dim - 1]
    second = products.clone() if diagonal else symmetric(products, dim)
    return Statistics(sums[:, -1].clone(), sums[:, -dim - 1 : -1].clone(), second, atoms, sticks)


def symmetric(products: Tensor, dim: int) -> Tensor:
    """Products of `pairs`, (comp, dim (dim + 1) / 2), as symmetric matrices (comp, dim, dim)."""
    rows, cols = pairs(dim, products.device)
    full = products.new_zeros(products.shape[0], dim, dim)
    full[:, rows, cols] = products
    full[:, cols, rows] = products
    return full
