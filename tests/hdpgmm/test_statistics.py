"""Sufficient statistics against einsum, and the sums that float32 would lose."""

import numpy as np
import pytest
import torch

from hdpgmm import statistics
from hdpgmm.statistics import Statistics


def _case(dim: int, n_frames: int = 37) -> tuple[torch.Tensor, torch.Tensor]:
    """(resp (frame, 3), values (frame, dim)), float64."""
    rng = np.random.default_rng(dim)
    return torch.tensor(rng.dirichlet(np.ones(3), n_frames)), torch.tensor(
        rng.normal(2.0, 1.0, (n_frames, dim))
    )


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_expand_is_the_upper_triangle_then_the_frame_then_one(dim: int):
    _, values = _case(dim)
    expanded = statistics.expand(values)
    outer = np.einsum("ni,nj->nij", values, values)
    expected = np.column_stack([outer[:, *np.triu_indices(dim)], values, np.ones(len(values))])
    assert expanded.shape[1] == statistics.expanded_size(dim)
    np.testing.assert_allclose(expanded, expected, rtol=1e-15)


@pytest.mark.parametrize("dim", [1, 4])
@pytest.mark.parametrize("block", [5, 37, 2048])
def test_products_contract_to_the_moments_by_einsum(dim: int, block: int):
    resp, values = _case(dim)
    sums = statistics.zero_sums(3, dim, values.device)
    statistics.add_products(sums, resp, values, block=block)
    atoms = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    found = statistics.contract(sums, atoms, dim)
    np.testing.assert_allclose(found.count, resp.sum(0), rtol=1e-12)
    np.testing.assert_allclose(found.first, np.einsum("nk,ni->ki", resp, values), rtol=1e-12)
    np.testing.assert_allclose(found.second, np.einsum("nk,ni,nj->kij", resp, values, values), rtol=1e-12)
    assert found.atoms is atoms


def test_float32_frames_do_not_saturate_at_two_to_the_24():
    """2^24 + 3 frames of ones, in one component: float32 sums would stay at 2^24."""
    n_frames = 2**24 + 3
    ones = torch.ones(1, 1).expand(n_frames, 1)
    sums = statistics.zero_sums(1, 1, ones.device)
    statistics.add_products(sums, ones, ones)
    assert sums.tolist() == [[n_frames] * 3]


def test_statistics_add_scale_and_select():
    resp, values = _case(2)
    sums = statistics.zero_sums(3, 2, values.device)
    statistics.add_products(sums, resp, values)
    one = statistics.contract(sums, resp.sum(0) / 9, 2)
    for part, twice, chosen in zip(
        one.tensors(),
        (one + one.scaled(0.5)).tensors(),
        one.take(torch.tensor([2, 0])).tensors(),
        strict=True,
    ):
        torch.testing.assert_close(twice, 1.5 * part)
        torch.testing.assert_close(chosen, torch.stack([part[2], part[0]]))


def test_zeros_add_nothing():
    resp, values = _case(2)
    sums = statistics.zero_sums(3, 2, values.device)
    statistics.add_products(sums, resp, values)
    one = statistics.contract(sums, resp.sum(0), 2)
    both: Statistics = one + statistics.zeros(3, 2)
    assert all(torch.equal(a, b) for a, b in zip(both.tensors(), one.tensors(), strict=True))
