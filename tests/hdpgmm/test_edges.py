"""Features, songs and components that break naive ones, from raw frames to song vectors, in float32 as in training."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hdpgmm import model
from hdpgmm.components.prior import Spread, relearned, whitened_prior
from hdpgmm.components.statistics import Statistics
from hdpgmm.data.kmeans import from_sample, partition_statistics
from hdpgmm.data.whitening import Whitening, moments, standardising, whitening
from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model import State
from hdpgmm.ragged import Ragged, ragged
from hdpgmm.represent import Vectors, represent
from hdpgmm.score import completion
from tests.hdpgmm.corpora import F64, OPTIONS, skewed_prior

both_families = pytest.mark.parametrize("diagonal", [False, True])
both_levels = pytest.mark.parametrize("direct", [False, True])
Songs = list[np.ndarray]
LOCAL = LocalOptions(n_atoms=6)


def _songs(seed: int = 0, dim: int = 4) -> Songs:
    """Eighteen songs of 0 to 50 frames from five components, with correlated features."""
    rng = np.random.default_rng(seed)
    means, mixing = rng.normal(scale=3.0, size=(5, dim)), rng.normal(size=(dim, dim))
    lengths = [0, 1, 2, 1, 0, *rng.integers(3, 50, size=13)]
    labels = [rng.choice(5, n, p=rng.dirichlet(np.ones(5))) for n in lengths]
    return [(means[own] + rng.normal(size=(len(own), dim))) @ mixing for own in labels]


def _learn(
    songs: Songs, diagonal: bool, direct: bool, steps: int = 8
) -> tuple[State, Whitening, list[float]]:
    """Whitening, components by k-means, full-batch steps: the state, and the bound before each step."""
    frames = np.concatenate(songs)
    transform = (standardising if diagonal else whitening)(moments(frames))
    batch = _batch(songs, transform)
    prior, generator = whitened_prior(frames.shape[1], diagonal=diagonal, direct=direct), torch.Generator()
    state = from_sample(prior, batch.values, 8, len(frames), len(songs), generator.manual_seed(0))
    bounds = []
    for _ in range(steps):
        statistics, info = model.batch_statistics(model.prepare(state), batch, LOCAL)
        bounds.append(info.bound + model.corpus_bound(state))
        state = model.blend(state, statistics, scale=1.0, rho=1.0)
    return state, transform, bounds


def _batch(songs: Songs, transform: Whitening) -> Ragged[Tensor]:
    return ragged([len(song) for song in songs], torch.from_numpy(transform(np.concatenate(songs))))


def _vectors(songs: Songs, state: State, transform: Whitening) -> Vectors:
    return represent(model.prepare(state), _batch(songs, transform), LOCAL)


def _assert_sound(state: State) -> None:
    """Every expectation is finite, and every component's scale matrix is positive definite."""
    q = model.family(state.prior).posterior(state.prior, state.stats)
    scale = q.scale_inv if state.prior.diagonal else q.chol.diagonal(dim1=1, dim2=2)
    assert float(scale.min()) > 0.0
    ready = model.prepare(state)
    for part in (*state.stats.tensors(), ready.theta, ready.log_beta, ready.beta, q.mean, scale):
        assert bool(torch.isfinite(part).all())
    assert 0.0 < state.gamma < np.inf
    assert 0.0 < state.alpha0 < np.inf
    assert np.isfinite(model.corpus_bound(state))


def _with_constant(songs: Songs) -> Songs:
    return [np.column_stack([song, np.full(len(song), 1e6 / 3)]) for song in songs]


def _with_copies(songs: Songs) -> Songs:
    """A feature twice, and one that is another's multiple."""
    return [np.column_stack([song, song[:, 0], -3.0 * song[:, 1] + 2.0]) for song in songs]


def _with_switch(songs: Songs) -> Songs:
    """A feature of two values, one of them rare."""
    return [np.column_stack([song, np.arange(len(song)) % 29 == 5]) for song in songs]


def _with_outlier(songs: Songs) -> Songs:
    """One frame a million away."""
    return [*songs[:-1], np.concatenate([songs[-1], np.full((1, 4), 1e6)])]


HARD: dict[str, Callable[[Songs], Songs]] = {
    "as they are": lambda songs: songs,
    "constant feature": _with_constant,
    "duplicated features": _with_copies,
    "rare switch": _with_switch,
    "outlier": _with_outlier,
    "every frame five times": lambda songs: [np.repeat(song, 5, axis=0) for song in songs],
    "large": lambda songs: [1e6 * song + 3e7 for song in songs],
    "scales of every size": lambda songs: [song * [1e-9, 1.0, 1e9, 1e4] for song in songs],
    "one frame everywhere": lambda songs: [0.0 * song + 0.1 for song in songs],
    "a single frame": lambda songs: [songs[1]],
    "fewer frames than features": lambda songs: songs[:3],
    "songs of one frame": lambda songs: [song[:1] for song in songs],
}


@pytest.mark.parametrize("name", HARD)
@both_families
@both_levels
def test_a_model_of_hard_frames_is_sound(direct: bool, diagonal: bool, name: str):
    songs = HARD[name](_songs())
    state, transform, bounds = _learn(songs, diagonal, direct)
    _assert_sound(state)
    assert np.isfinite(bounds).all()
    vectors = _vectors(songs, state, transform)
    for part in (vectors.posterior, vectors.responsibility, vectors.expected):
        assert float(part.min()) >= 0.0
        torch.testing.assert_close(part.sum(1), torch.ones(len(songs)), atol=1e-5, rtol=0)
    with_frames = torch.tensor([len(song) > 0 for song in songs])
    assert torch.equal(torch.isfinite(vectors.log_likelihood), with_frames)
    total, _ = completion(model.prepare(state), _batch(songs, transform), LOCAL)
    assert np.isfinite(total)


@both_families
@both_levels
def test_units_of_a_feature_do_not_change_the_vectors(direct: bool, diagonal: bool):
    """To 1e-4, through whitening, k-means and four steps."""
    songs = _songs()
    plain = _vectors(songs, *_learn(songs, diagonal, direct)[:2])
    for scales in ([1e6, 1, 1, 1], [1e-3, 1e9, 1, 1e-6]):
        scaled = [song * scales for song in songs]
        found = _vectors(scaled, *_learn(scaled, diagonal, direct)[:2])
        for one, two in zip(plain.tensors()[:4], found.tensors()[:4], strict=True):
            torch.testing.assert_close(one, two, atol=1e-4, rtol=0)


@both_families
@both_levels
def test_empty_songs_change_nothing(direct: bool, diagonal: bool):
    """But how many songs there are, which the start's atoms are scaled by."""
    songs = _songs()
    state, transform, _ = _learn(songs, diagonal, direct)
    with_frames = [song for song in songs if len(song)]
    ready = model.prepare(state)
    (one, info), (two, other) = (
        model.batch_statistics(ready, _batch(some, transform), LOCAL) for some in (songs, with_frames)
    )
    assert all(torch.equal(a, b) for a, b in zip(one.tensors(), two.tensors(), strict=True))
    assert info == other
    assert info.songs == 16


@both_families
def test_constant_dimensions_have_unit_variance_in_every_component(diagonal: bool):
    """As if each frame had noise of unit variance there, about its own value."""
    rng = np.random.default_rng(3)
    frames = torch.tensor(rng.normal(size=(30, 3)) * [1.0, 0.0, 1.0])
    noisy = frames.clone()
    noisy[::2, 1], noisy[1::2, 1] = 1.0, -1.0
    prior = replace(skewed_prior(3, diagonal=diagonal), mean=torch.zeros(3, dtype=F64), dependence=2.5)
    family = model.family(prior)
    plain, other = (partition_statistics([part[:10], part[10:]], diagonal) for part in (frames, noisy))
    found = family.posterior(replace(prior, constant=torch.tensor([False, True, False])), plain)
    expected = family.posterior(prior, other)
    own, wanted = (
        q.scale_inv if diagonal else (q.chol @ q.chol.mT).diagonal(dim1=1, dim2=2) for q in (found, expected)
    )
    torch.testing.assert_close(own, wanted)
    torch.testing.assert_close(found.mean, expected.mean)


@both_families
def test_frames_that_are_alike_are_as_narrow_as_float32_can_tell(diagonal: bool):
    """Digital silence: without that its component, and the prior with it, become narrower with every step."""
    silence = torch.tensor([[0.7, -0.2]], dtype=F64).expand(1000, 2)
    prior = replace(whitened_prior(2, diagonal=diagonal), learned=True)
    stats = partition_statistics([silence, 0.0 * silence + torch.randn(1000, 2, dtype=F64)], diagonal)
    state = State(prior, stats, 1.0, 1.0)
    for _ in range(200):
        state = model.with_prior(state)
    _assert_sound(state)
    q = model.family(state.prior).posterior(state.prior, state.stats)
    variance = (q.scale_inv if diagonal else (q.chol @ q.chol.mT).diagonal(dim1=1, dim2=2))[0] / 1000
    assert bool((variance >= 1e-6 * silence[0].square()).all())
    assert bool((variance < 1e-4).all())
    assert relearned(prior, Spread(2, 1e3, 1e40, 1.0)).scale_inv.max() >= 1e-12


@both_families
@both_levels
def test_components_with_almost_no_data_are_sound(direct: bool, diagonal: bool):
    """From 1e-300 of a frame to 1e9, and none, with and without atoms; another step from there is sound too."""
    counts = torch.tensor([1e9, 1e-300, 0.0, 1e-30, 3.0, 1e-12, 1e-3, 0.0], dtype=F64)
    atoms = torch.tensor([40.0, 1e-300, 1e-9, 0.0, 2.0, 1e-12, 1e-30, 0.0], dtype=F64)
    at = torch.tensor([0.5, -3.0], dtype=F64)
    second = (at.square() if diagonal else torch.outer(at, at)) * 1.5
    spread = counts.view(-1, *[1] * second.ndim) * second
    stats = Statistics(counts, counts[:, None] * at, spread, atoms, torch.tensor([30.0, 12.0], dtype=F64))
    state = State(skewed_prior(2, diagonal=diagonal, direct=direct), stats, 1.3, 0.6)
    _assert_sound(state)
    values = torch.tensor(np.random.default_rng(0).normal(size=(50, 2)), dtype=torch.float32)
    batch, info = model.batch_statistics(model.prepare(state), ragged([1, 19, 30], values), OPTIONS)
    assert np.isfinite(info.bound)
    for rho in (1e-9, 0.5, 1.0):
        _assert_sound(model.blend(state, batch, scale=1e6, rho=rho))
