"""A model's arrays and back, bit for bit."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from hdpgmm import serialization
from hdpgmm.components.prior import Concentration
from hdpgmm.data.whitening import Whitening, moments, whitening
from hdpgmm.model import State
from tests.hdpgmm.corpora import mixture, partition_state, skewed_prior


def _model(diagonal: bool = False, direct: bool = False) -> tuple[State, Whitening]:
    """Every number differs from every other; gamma is learned, alpha0 fixed."""
    corpus = mixture(seed=1, n_songs=3, n_comp=4, dim=3, frames=(10, 20), spread=2.0)
    prior = replace(skewed_prior(3, diagonal=diagonal, direct=direct), alpha0=Concentration(2.5, False))
    state = partition_state(corpus, 4, prior)
    return replace(state, step=41), whitening(moments(corpus.values.numpy()))


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("diagonal", [False, True])
def test_round_trip_is_bit_for_bit(diagonal: bool, direct: bool):
    state, transform = _model(diagonal, direct)
    buffer = io.BytesIO()
    np.savez(buffer, **serialization.to_arrays(state, transform))  # pyright: ignore[reportArgumentType]
    buffer.seek(0)
    again, transform_again = serialization.from_arrays(dict(np.load(buffer)))
    assert (again.step, again.gamma, again.alpha0) == (41, state.gamma, state.alpha0)
    for name in ("gamma", "alpha0", "strength", "dof", "direct", "diagonal"):
        assert getattr(again.prior, name) == getattr(state.prior, name), name
    pairs = [(again.prior.mean, state.prior.mean), (again.prior.scale_inv, state.prior.scale_inv)]
    pairs += zip(again.stats.tensors(), state.stats.tensors(), strict=True)
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in pairs)
    assert np.array_equal(transform_again.mean, transform.mean)
    assert np.array_equal(transform_again.transform, transform.transform)


def test_what_was_read_shares_no_memory_with_the_arrays():
    arrays = serialization.to_arrays(*_model())
    state, _ = serialization.from_arrays(arrays)
    before = state.stats.count.clone()
    arrays["count"] *= 2.0
    assert torch.equal(state.stats.count, before)


def test_every_array_is_float64():
    assert {array.dtype for array in serialization.to_arrays(*_model()).values()} == {np.dtype(np.float64)}


@pytest.mark.parametrize("name", sorted(serialization.to_arrays(*_model())))
def test_a_missing_array_is_named(name: str):
    arrays = serialization.to_arrays(*_model())
    del arrays[name]
    with pytest.raises(ValueError, match=f"^{name}: "):
        serialization.from_arrays(arrays)


@pytest.mark.parametrize(
    "name",
    ["count", "first", "second", "atoms", "sticks", "prior_numbers", "prior_mean", "whitening_transform"],
)
def test_an_array_of_another_shape_is_named(name: str):
    arrays = serialization.to_arrays(*_model())
    arrays[name] = arrays[name].ravel()[:-1]
    with pytest.raises(ValueError, match=f"^{name}: expected an array of shape"):
        serialization.from_arrays(arrays)


def test_a_full_prior_does_not_go_with_diagonal_statistics():
    arrays = serialization.to_arrays(*_model())
    arrays["second"] = np.diagonal(arrays["second"], axis1=1, axis2=2)
    with pytest.raises(ValueError, match=r"^prior_scale_inv: expected an array of shape"):
        serialization.from_arrays(arrays)
