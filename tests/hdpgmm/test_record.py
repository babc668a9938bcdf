"""A model's arrays and back, bit for bit."""

import io

import numpy as np
import pytest
import torch

from hdpgmm import record
from hdpgmm.model import State
from hdpgmm.whitening import Whitening, moments, whitening
from tests.hdpgmm.corpora import mixture, partition_state, skewed_prior


def _model() -> tuple[State, Whitening]:
    corpus = mixture(seed=1, n_songs=3, n_comp=4, dim=3, frames=(10, 20), spread=2.0)
    state = partition_state(corpus, 4, skewed_prior(3))
    return State(state.prior, state.stats, 41), whitening(moments(corpus.values.numpy()))


def test_round_trip_is_bit_for_bit():
    state, transform = _model()
    buffer = io.BytesIO()
    np.savez(buffer, **record.to_arrays(state, transform))
    buffer.seek(0)
    again, transform_again = record.from_arrays(dict(np.load(buffer)))
    assert again.step == 41
    assert (again.prior.gamma, again.prior.alpha0) == (state.prior.gamma, state.prior.alpha0)
    assert (again.prior.strength, again.prior.dof) == (state.prior.strength, state.prior.dof)
    pairs = [(again.prior.mean, state.prior.mean), (again.prior.scale_inv, state.prior.scale_inv)]
    pairs += zip(again.stats.tensors(), state.stats.tensors(), strict=True)
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in pairs)
    assert np.array_equal(transform_again.mean, transform.mean)
    assert np.array_equal(transform_again.transform, transform.transform)


def test_every_array_is_float64():
    assert {array.dtype for array in record.to_arrays(*_model()).values()} == {np.dtype(np.float64)}


@pytest.mark.parametrize("name", sorted(record.to_arrays(*_model())))
def test_a_missing_array_is_named(name: str):
    arrays = record.to_arrays(*_model())
    del arrays[name]
    with pytest.raises(ValueError, match=f"^{name}: "):
        record.from_arrays(arrays)


@pytest.mark.parametrize("name", ["count", "first", "second", "atoms", "prior_mean", "whitening_transform"])
def test_an_array_of_another_shape_is_named(name: str):
    arrays = record.to_arrays(*_model())
    arrays[name] = arrays[name].ravel()[:-1]
    with pytest.raises(ValueError, match=f"^{name}: expected an array of shape"):
        record.from_arrays(arrays)
