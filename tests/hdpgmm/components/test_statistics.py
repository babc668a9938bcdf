"""Sufficient statistics against einsum, and the sums that float32 would lose."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hdpgmm import model
from hdpgmm.components import statistics
from hdpgmm.components.prior import whitened_prior
from hdpgmm.components.statistics import Statistics
from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model import State
from hdpgmm.ragged import packed, ragged
from tests.hdpgmm.corpora import F64, OPTIONS

both_families = pytest.mark.parametrize("diagonal", [False, True])


def _case(dim: int, n_frames: int = 37) -> tuple[Tensor, Tensor]:
    """(resp (frame, 3), values (frame, dim)), float64."""
    rng = np.random.default_rng(dim)
    return torch.tensor(rng.dirichlet(np.ones(3), n_frames)), torch.tensor(
        rng.normal(2.0, 1.0, (n_frames, dim))
    )


def _statistics(diagonal: bool = False) -> Statistics:
    resp, values = _case(2)
    sums = resp.T @ statistics.expand(values, diagonal).T
    return statistics.contract(sums, resp.sum(0) / 9, torch.tensor([4.0, 2.5]), 2, diagonal)


@pytest.mark.parametrize("dim", [1, 2, 5, 6])
def test_expand_is_the_products_of_pairs_then_the_frame_then_one(dim: int):
    _, values = _case(dim)
    rows, cols = (index.tolist() for index in statistics.pairs(dim))
    assert sorted(tuple(sorted(pair)) for pair in zip(rows, cols, strict=True)) == sorted(
        zip(*np.triu_indices(dim), strict=True)
    )
    expected = np.vstack([values.T[rows] * values.T[cols], values.T, np.ones((1, len(values)))])
    assert len(expected) == statistics.expanded_size(dim)
    np.testing.assert_array_equal(statistics.expand(values), expected)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_expand_of_a_diagonal_is_the_squares_then_the_frame_then_one(dim: int):
    _, values = _case(dim)
    expected = np.vstack([values.T**2, values.T, np.ones((1, len(values)))])
    assert len(expected) == statistics.expanded_size(dim, diagonal=True)
    np.testing.assert_array_equal(statistics.expand(values, diagonal=True), expected)


@both_families
def test_expand_writes_where_it_is_told(diagonal: bool):
    _, values = _case(3)
    out = torch.full((statistics.expanded_size(3, diagonal), 37), torch.nan, dtype=F64)
    assert statistics.expand(values, diagonal, out).data_ptr() == out.data_ptr()
    assert torch.equal(out, statistics.expand(values, diagonal))


@pytest.mark.parametrize("dim", [1, 4])
@both_families
def test_products_contract_to_the_moments_by_einsum(dim: int, diagonal: bool):
    resp, values = _case(dim)
    sums = resp.T @ statistics.expand(values, diagonal).T
    atoms, sticks = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 2.5])
    found = statistics.contract(sums, atoms, sticks, dim, diagonal)
    np.testing.assert_allclose(found.count, resp.sum(0), rtol=1e-12)
    np.testing.assert_allclose(found.first, np.einsum("nk,ni->ki", resp, values), rtol=1e-12)
    second = np.einsum("nk,ni,nj->kij", resp, values, values)
    expected = np.diagonal(second, axis1=1, axis2=2) if diagonal else second
    np.testing.assert_allclose(found.second, expected, rtol=1e-12)
    assert (found.atoms is atoms, found.sticks is sticks) == (True, True)


def test_a_count_past_two_to_the_24_is_exact(monkeypatch: pytest.MonkeyPatch):
    """2^24 + 3 frames of ones, in songs of one component, float32: a float32 sum would stay at 2^24."""
    monkeypatch.setitem(model.GROUP_FRAMES, "cpu", model.GROUP_FRAMES["cuda"])  # fewer groups, for speed
    n_frames = 2**24 + 3
    one = Statistics(*(torch.ones(shape, dtype=F64) for shape in ((1,), (1, 1), (1, 1, 1), (1,), (2,))))
    ready = model.prepare(State(whitened_prior(1), one, 1.0, 1.0))
    n_songs, rest = divmod(n_frames, 8192)
    songs = ragged([8192] * n_songs + [rest], torch.ones(n_frames, 1))
    once = LocalOptions(n_atoms=1, max_refreshes=1, sweeps=1)
    found, info = model.batch_statistics(ready, songs, once)
    assert found.count.tolist() == found.first[0].tolist() == found.second[0, 0].tolist() == [n_frames]
    assert found.atoms.tolist() == [len(songs)]
    assert info.frames == n_frames


def test_batches_add_up_past_two_to_the_24():
    """A frame more on 2^24 + 1: the last of very many batches is not lost, nor what a small step adds."""
    full = statistics.zeros(1, 1)
    many = Statistics(*(part + 2.0**24 for part in full.tensors()))
    one = Statistics(*(part + 1.0 for part in full.tensors()))
    assert all(float(part.flatten()[0]) == 2**24 + 2 for part in (many + one + one).tensors())
    stepped = model.blend(State(whitened_prior(1), many, 1.0, 1.0), one, scale=1.0, rho=2.0**-24)
    assert float(stepped.stats.count) == 2**24 - 1 + 2.0**-24


def test_one_song_of_a_hundred_thousand_frames_keeps_its_digits():
    """float32 sums of blocks: to 1e-6."""
    values = torch.tensor(np.random.default_rng(0).normal(1.0, 1.0, (100_000, 1)))
    one = Statistics(*(torch.ones(shape, dtype=F64) for shape in ((1,), (1, 1), (1, 1, 1), (1,), (2,))))
    ready = model.prepare(State(whitened_prior(1), one, 1.0, 1.0))
    found, _ = model.batch_statistics(ready, packed([values.float()]), OPTIONS)
    assert float(found.count) == 100_000
    assert float(found.first) == pytest.approx(float(values.sum()), rel=1e-6)
    assert float(found.second) == pytest.approx(float(values.square().sum()), rel=1e-6)


@both_families
def test_statistics_add_scale_and_select(diagonal: bool):
    one = _statistics(diagonal)
    twice, chosen = one + one.scaled(0.5), one.take(torch.tensor([2, 0]))
    for part, more, some in zip(one.tensors(), twice.tensors(), chosen.tensors(), strict=True):
        torch.testing.assert_close(more, 1.5 * part)
        torch.testing.assert_close(some, part if part is one.sticks else torch.stack([part[2], part[0]]))


@both_families
def test_zeros_add_nothing(diagonal: bool):
    one = _statistics(diagonal)
    both = one + statistics.zeros(3, 2, diagonal=diagonal)
    assert all(torch.equal(a, b) for a, b in zip(both.tensors(), one.tensors(), strict=True))


def test_a_matrix_from_its_upper_triangle():
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(3, 4, 4))
    matrices = matrices + np.swapaxes(matrices, 1, 2)
    rows, cols = (index.numpy() for index in statistics.pairs(4))
    np.testing.assert_array_equal(statistics.symmetric(torch.tensor(matrices[:, rows, cols]), 4), matrices)


@pytest.mark.parametrize(
    ("n", "most"), [(0, 256), (1, 1), (5, 1), (100, 7), (257, 256), (1000, 256), (700, 300)]
)
def test_blocks_follow_one_another(n: int, most: int):
    found = list(statistics.blocks(n, most))
    assert [i for block in found for i in range(n)[block]] == list(range(n))
    assert all(0 < block.stop - block.start <= most for block in found)
