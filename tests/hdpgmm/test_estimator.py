"""HDPGMM as its users meet it: lists of arrays in, numpy out, in the features' own units."""

import doctest
import itertools
import json
import subprocess
import sys
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal, multivariate_t
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from hdpgmm import estimator, schedule, training_step
from hdpgmm.estimator import HDPGMM
from hdpgmm.kinds import KINDS
from hdpgmm.memory import heldout_songs
from hdpgmm.model import BatchInfo, State

SHARES = ("posterior", "soft", "responsibility")
MEANS = np.array([[0.0, 0.0, 0.0], [12.0, 0.0, 3.0], [0.0, 12.0, -5.0]])
SCALE, ORIGIN = np.array([100.0, 1.0, 0.01]), np.array([-3000.0, 7.0, 0.2])


@cache
def _corpus(covariance_type: str = "full") -> tuple[list[np.ndarray], list[np.ndarray]]:
    """60 songs of 30 to 60 frames and their labels: three components no two of which meet, in uneven units."""
    rng = np.random.default_rng(0)
    factors = np.eye(3) + (
        0.5 * rng.normal(size=(3, 3, 3)) if covariance_type == "full" else np.zeros((3, 3, 3))
    )
    labels = [rng.choice(3, rng.integers(30, 60), p=rng.dirichlet([3.0, 2.0, 1.0])) for _ in range(60)]
    songs = [
        MEANS[own] + np.einsum("nij,nj->ni", factors[own], rng.normal(size=(len(own), 3))) for own in labels
    ]
    return [ORIGIN + SCALE * song for song in songs], labels


@cache
def _fitted(covariance_type: Any = "full") -> HDPGMM:
    """Of all songs at once: nothing held out, no mini-batches."""
    songs, _ = _corpus(covariance_type)
    model = HDPGMM(8, covariance_type=covariance_type, batch_songs=60, max_epochs=30, early_stopping=False)
    return model.fit(songs)


def _bits(model: HDPGMM) -> dict[str, bytes]:
    parts = (model.weights_, model.means_, model.covariances_, model.degrees_of_freedom_)
    return {str(i): part.tobytes() for i, part in enumerate(parts)} | {
        "learned": str(model.concentrations_).encode()
    }


def _small(seed: int = 3, n_songs: int = 30) -> list[np.ndarray]:
    """Songs of 20 frames of four components in a plane that overlap a little."""
    rng = np.random.default_rng(seed)
    means = 4.0 * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    labels = [rng.choice(4, 20, p=rng.dirichlet(np.ones(4))) for _ in range(n_songs)]
    return [means[own] + rng.normal(size=(20, 2)) for own in labels]


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_attributes_are_the_moments_of_what_made_the_frames(covariance_type: str):
    """In the features' units, within a frame: means to 0.01 deviations, covariances to 2 %, the prior's pull."""
    songs, labels = _corpus(covariance_type)
    frames, own = np.concatenate(songs), np.concatenate(labels)
    model = _fitted(covariance_type)
    assert (model.n_components_, model.n_features_in_) == (3, 3)
    parts = [frames[own == k] for k in np.argsort(-np.bincount(own))]
    for k, part in enumerate(parts):
        deviation = part.std(0)
        assert model.weights_[k] == pytest.approx(len(part) / len(frames), abs=1e-3)
        counted = len(part) / model.prior_["dependence"] + model.prior_["dof"]
        assert model.degrees_of_freedom_[k] == pytest.approx(counted, abs=1.0)
        np.testing.assert_allclose((model.means_[k] - part.mean(0)) / deviation, 0.0, atol=0.01)
        if covariance_type == "diag":
            np.testing.assert_allclose(model.covariances_[k], part.var(0), rtol=0.02)
        else:
            correlation = (model.covariances_[k] - np.cov(part.T, bias=True)) / np.outer(deviation, deviation)
            np.testing.assert_allclose(correlation, 0.0, atol=0.02)
    shapes = {"full": (3, 3, 3), "diag": (3, 3)}
    assert model.covariances_.shape == shapes[covariance_type]


def test_units_do_not_matter():
    """Other scales and origins: the same vectors, and scores that differ by the log of the volume. float32 frames."""
    songs = _small()
    scale, origin = np.array([1e-3, 400.0]), np.array([5.0, -9000.0])
    one = HDPGMM(8, max_epochs=3).fit(songs)
    moved = [origin + scale * song for song in songs]
    two = HDPGMM(8, max_epochs=3).fit(moved)
    np.testing.assert_allclose(two.means_, origin + scale * one.means_, rtol=1e-4)
    np.testing.assert_allclose(
        two.covariances_, one.covariances_ * np.outer(scale, scale), rtol=2e-3, atol=1e-3 * 1e-3
    )
    for kind in KINDS:
        np.testing.assert_allclose(two.transform(moved, kind), one.transform(songs, kind), atol=2e-3)
    assert two.score(moved) == pytest.approx(one.score(songs) - np.log(scale).sum(), abs=1e-3)


def test_values_with_offsets_are_the_list_bit_for_bit():
    songs = [*_small(), np.empty((0, 2))]
    whole = np.concatenate(songs), np.array([0, *itertools.accumulate(map(len, songs))])
    one, two = HDPGMM(8, max_epochs=3).fit(songs), HDPGMM(8, max_epochs=3).fit(whole)
    assert _bits(one) == _bits(two)
    assert one.transform(songs).tobytes() == two.transform(whole).tobytes()
    assert one.score(songs) == two.score(whole)


def test_the_seed_decides_and_the_threads_do_not():
    songs = _small(n_songs=40)
    one, two = HDPGMM(8, max_epochs=3).fit(songs), HDPGMM(8, max_epochs=3).fit(songs)
    torch.set_num_threads(2)
    try:
        threaded = HDPGMM(8, max_epochs=3).fit(songs)
        vectors = threaded.transform(songs)
    finally:
        torch.set_num_threads(1)
    assert _bits(one) == _bits(two) == _bits(threaded)
    assert vectors.tobytes() == one.transform(songs).tobytes()
    assert _bits(HDPGMM(8, max_epochs=3, seed=1).fit(songs)) != _bits(one)


def test_integers_and_float32_are_frames_too():
    songs = [np.round(10 * song) for song in _small()]
    found = [
        HDPGMM(8, max_epochs=2).fit([song.astype(kind) for song in songs])
        for kind in (int, np.float32, float)
    ]
    assert _bits(found[0]) == _bits(found[1]) == _bits(found[2])


def test_partial_fit_comes_near_fit():
    """Twelve passes in batches of 30, the size of the corpus given."""
    songs, more = _small(seed=5, n_songs=120), _small(seed=5, n_songs=200)[120:]
    whole, model, rng = HDPGMM(12).fit(songs), HDPGMM(12), np.random.default_rng(0)
    for _ in range(12):
        for index in rng.permutation(120).reshape(4, 30):
            model.partial_fit([songs[j] for j in index], corpus_songs=120)
    assert model.n_components_ == whole.n_components_ == 4
    assert model.score(more) == pytest.approx(whole.score(more), abs=0.05)


def test_partial_fit_learns_from_a_stream_of_unknown_length():
    """One pass. 2,048 songs have to be seen before components merge, so twelve for the four are still there."""
    songs, more = _small(seed=5, n_songs=240), _small(seed=5, n_songs=300)[240:]
    model, scores = HDPGMM(12), []
    for first in range(0, 240, 30):
        scores.append(model.partial_fit(songs[first : first + 30]).score(more))
    assert scores[-1] > scores[0] + 0.1
    assert scores[-1] == pytest.approx(HDPGMM(12).fit(songs).score(more), abs=0.2)


def test_partial_fit_goes_on_from_fit():
    """The corpus is that of the fit, so that one more batch does not outweigh it."""
    songs = _small(n_songs=60)
    model = HDPGMM(8, max_epochs=4, early_stopping=False).fit(songs)
    frames = float(model.degrees_of_freedom_.sum())
    model.partial_fit(songs[:5])
    assert float(model.degrees_of_freedom_.sum()) == pytest.approx(frames, rel=0.05)


@pytest.mark.parametrize("kind", SHARES)
def test_vectors_are_shares_of_the_components(kind: Any):
    """Components apart, so each is the share of the song's frames; "expected" lets alpha0 have a say."""
    songs, labels = _corpus()
    model = _fitted()
    order = np.argsort(-np.bincount(np.concatenate(labels)))
    expected = np.stack([np.bincount(own, minlength=3)[order] / len(own) for own in labels])
    found = model.transform(songs, kind)
    assert (found.shape, found.dtype) == ((60, 3), np.float32)
    np.testing.assert_allclose(found.sum(1), 1.0, atol=1e-6)
    np.testing.assert_allclose(found, expected, atol=0.1 if kind == "expected" else 1e-3)


def test_the_posterior_is_that_of_a_flat_prior():
    """Mean over frames of softmax_k log N(x | means_, covariances_); 60 degrees of freedom and more are near enough."""
    songs = _small(n_songs=60)
    model = HDPGMM(8).fit(songs)
    densities = [
        multivariate_normal(mean, cov) for mean, cov in zip(model.means_, model.covariances_, strict=True)
    ]
    log_lik = [np.stack([density.logpdf(song) for density in densities], axis=1) for song in songs]
    expected = np.stack([softmax(song, axis=1).mean(0) for song in log_lik])
    np.testing.assert_allclose(model.transform(songs), expected, atol=0.02)


def test_fisher_vectors_have_two_gradients_of_each_component():
    found = _fitted().transform(_corpus()[0], "fisher")
    assert found.shape == (60, 2 * 3 * 3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)


def test_fit_transform_is_fit_then_transform():
    songs = _small()
    found = HDPGMM(8, max_epochs=2).fit_transform(songs)
    assert found.tobytes() == HDPGMM(8, max_epochs=2).fit(songs).transform(songs).tobytes()


def _predictive(model: HDPGMM, k: int) -> Any:
    """Student t of one component (Bishop 10.81), from its attributes: W^-1 = (dof - D - 1) covariance."""
    dim = model.n_features_in_
    dof = model.degrees_of_freedom_[k]
    strength = dof - (dim + 2) + 0.01
    scale_inv = (dof - dim - 1) * model.covariances_[k]
    df = dof + 1 - dim
    return multivariate_t(model.means_[k], scale_inv * (1 + strength) / (strength * df), df)


def test_the_score_of_one_component_is_its_students_t():
    """In the features' units, odd frames only; songs of one frame have none. What is left to the unseen is small."""
    rng = np.random.default_rng(0)
    songs = [ORIGIN + SCALE * rng.normal(size=(n, 3)) for n in (9, 14, 30, 21, 8, 1)]
    model = HDPGMM(1, batch_songs=6, max_epochs=2).fit(songs)
    assert model.n_components_ == 1
    odd = np.concatenate([song[1::2] for song in songs])
    assert model.score(songs) == pytest.approx(_predictive(model, 0).logpdf(odd).mean(), abs=0.02)
    assert model.score([song[:1] for song in songs]) != model.score(songs)


def test_the_score_weighs_components_by_a_songs_even_frames():
    """Components apart, so (n_k + alpha0 beta_k) / (n + alpha0), and beta_k is near the components' shares."""
    songs, _ = _corpus()
    model = _fitted()
    log_lik = [np.stack([_predictive(model, k).logpdf(song) for k in range(3)], axis=1) for song in songs]
    total, n_odd = 0.0, 0
    alpha0 = model.concentrations_["alpha0"]
    for song in log_lik:
        counts = np.bincount(song[::2].argmax(1), minlength=3)
        weights = (counts + alpha0 * model.weights_) / (counts.sum() + alpha0)
        total += logsumexp(song[1::2] + np.log(weights), axis=1).sum()
        n_odd += len(song[1::2])
    assert model.score(songs) == pytest.approx(total / n_odd, abs=0.01)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_samples_have_the_moments_of_the_model(covariance_type: str):
    """Within five standard errors of 60,000 frames; shares of 300 songs vary by more than those of frames."""
    model = _fitted(covariance_type)
    songs, labels = model.sample(n_songs=300, n_frames=200)
    again, _ = model.sample(n_songs=300, n_frames=200)
    assert all(np.array_equal(one, two) for one, two in zip(songs, again, strict=True))
    assert (songs[0].shape, labels[0].shape, len(songs)) == ((200, 3), (200,), 300)
    frames, own = np.concatenate(songs), np.concatenate(labels)
    np.testing.assert_allclose(np.bincount(own, minlength=3) / len(own), model.weights_, atol=0.1)
    assert len({tuple(np.bincount(label, minlength=3)) for label in labels}) > 250
    for k, covariance in enumerate(model.covariances_):
        part = frames[own == k]
        full = covariance if covariance.ndim == 2 else np.diag(covariance)
        deviation = np.sqrt(np.diag(full))
        error = 5.0 / np.sqrt(len(part))
        np.testing.assert_allclose((part.mean(0) - model.means_[k]) / deviation, 0.0, atol=error)
        np.testing.assert_allclose(
            (np.cov(part.T) - full) / np.outer(deviation, deviation), 0.0, atol=2 * error
        )


@pytest.mark.parametrize(
    "arguments", [{}, {"covariance_type": "diag"}, {"song_level": "sticks", "alpha0": 0.5}]
)
def test_a_saved_model_is_the_same_to_the_last_bit(arguments: dict[str, Any], tmp_path: Path):
    songs = _small()
    model = HDPGMM(8, n_atoms=7, max_epochs=3, seed=4, **arguments).fit(songs)
    model.save(tmp_path / "new" / "folder")
    loaded = HDPGMM.load(tmp_path / "new" / "folder")
    assert _bits(loaded) == _bits(model)
    assert loaded.score(songs) == model.score(songs)
    for kind in KINDS:
        assert loaded.transform(songs, kind).tobytes() == model.transform(songs, kind).tobytes()
    assert (loaded.history_, loaded.moves_) == (model.history_, model.moves_)
    for name in ("n_atoms", "covariance_type", "song_level", "seed"):
        assert getattr(loaded, name) == getattr(model, name)
    assert _bits(loaded.partial_fit(songs[:9])) == _bits(model.partial_fit(songs[:9]))


def test_what_is_no_saved_model_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        HDPGMM.load(tmp_path)
    model = HDPGMM(2, max_epochs=1).fit(_small())
    model.save(tmp_path)
    record = (tmp_path / "model.json").read_text()
    for text, problem in (
        ("{", "not a saved HDPGMM"),
        ("[]", "expected format"),
        (record.replace('"format": 2', '"format": 99'), "expected format"),
        (record.replace("n_atoms", "n_ions"), "n_atoms"),
    ):
        (tmp_path / "model.json").write_text(text)
        with pytest.raises(ValueError, match=problem):
            HDPGMM.load(tmp_path)
    (tmp_path / "model.json").write_text(record)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-3])
    with pytest.raises(ValueError, match="not a saved HDPGMM"):
        HDPGMM.load(tmp_path)


GOOD = np.zeros((4, 2))


@pytest.mark.parametrize(
    ("songs", "message"),
    [
        ([], "songs: expected at least one song with at least one frame, found none"),
        ([GOOD[:0], GOOD[:0]], "songs: expected at least one song with at least one frame, found none"),
        ([GOOD, np.zeros(4)], r"song 1: expected shape \(n_frames, n_features\), found \(4,\)"),
        ([GOOD, GOOD, np.zeros((4, 3))], "song 2: expected 2 features as song 0 has, found 3"),
        ([GOOD, np.array([[0, 1], [np.nan, 2]])], "song 1, frame 1: values must be finite"),
        ([GOOD[:0], GOOD, GOOD[:0], np.array([[np.inf, 0]])], "song 3, frame 0: values must be finite"),
        (
            [GOOD, np.array([[0, 1], [2, -3e200]])],
            r"song 1, frame 1, feature 1: values must lie within ±1e\+100, found -3e\+200",
        ),
        ([GOOD, np.array([[1e308, 1], [2, 3]])], "song 1, frame 0, feature 0: .* found 1e\\+308"),
        (
            [GOOD, 1e-200 * np.array([[1.0, 0], [2, 3]])],
            "feature 1: the feature that varies most must vary by 1e-100 at least, found 3e-200",
        ),
        ([np.array([["a", "b"]])], "songs: expected real numbers, found dtype <U1"),
        ([GOOD * 1j], "songs: expected real numbers, found dtype complex128"),
        (
            (GOOD, np.array([0, 3])),
            r"offsets: expected whole numbers 0, ..., 4, never falling, found \[0 3\]",
        ),
        ((GOOD, np.array([0, 3, 2, 4])), "never falling"),
        ((GOOD, np.array([1, 4])), "offsets"),
        ((GOOD, np.array([0, 3, 1, 4], np.uint64)), "never falling"),
        ((GOOD, np.array([0.0, 4.0])), "offsets: expected whole numbers"),
        ([np.zeros((4, 0))], "dim must be at least 1, found 0"),
    ],
)
def test_bad_songs_are_named(songs: Any, message: str):
    with pytest.raises(ValueError, match=message):
        HDPGMM(2).fit(songs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_components": 0}, "n_components must be at least 1, found 0"),
        ({"n_atoms": 0}, "n_atoms must be at least 1, found 0"),
        ({"batch_songs": 0}, "batch_songs must be at least 1, found 0"),
        ({"max_epochs": 0}, "max_epochs must be at least 1, found 0"),
        ({"covariance_type": "tied"}, 'covariance_type must be "full" or "diag", found \'tied\''),
        ({"song_level": "atoms"}, 'song_level must be "direct" or "sticks", found \'atoms\''),
        ({"gamma": -1.0}, "a concentration must be positive and finite, found -1.0"),
        ({"alpha0": float("inf")}, "a concentration must be positive and finite, found inf"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        HDPGMM(**arguments).fit(_small())


def test_songs_of_another_kind_are_refused_after_fit():
    model = HDPGMM(2, max_epochs=1).fit(_small())
    other = [np.zeros((4, 3))]
    for use in (model.transform, model.score, model.partial_fit):
        with pytest.raises(ValueError, match="songs: the model has 2 features, found 3"):
            use(other)
        with pytest.raises(ValueError, match="song 0, frame 2: values must be finite"):
            use([np.array([[0, 0], [1, 1], [0, np.nan]])])
    with pytest.raises(ValueError, match=r"kind must be one of posterior, .*, found 'fischer'"):
        model.transform(_small(), "fischer")
    with pytest.raises(ValueError, match="a batch needs at least one song"):
        model.partial_fit([])


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_frames_that_float32_cannot_hold_are_named(covariance_type: Any):
    """Far from the songs fitted. A batch refused changes nothing, and float32 infinities are no other error."""
    songs = _small()
    model = HDPGMM(8, covariance_type=covariance_type, max_epochs=2).fit(songs)
    before, seen = _bits(model), model._songs_seen
    for value in (1e14, -1e25, 1e99):
        far = [songs[0], np.array([[0.0, 0.0], [0.0, value]])]
        for use in (model.transform, model.score, model.partial_fit):
            with pytest.raises(
                ValueError, match=r"song 1, frame 1, feature 1: frames must lie within 1e\+12 standard dev"
            ):
                use(far)
    assert (_bits(model), model._songs_seen) == (before, seen)
    near = [songs[0], np.array([[0.0, 0.0], [0.0, 1e10]])]
    assert np.isfinite(model.transform(near)).all()
    assert np.isfinite(model.score(near))


def test_a_song_held_out_that_float32_cannot_hold_has_the_name_its_user_knows():
    songs = _small(n_songs=40)
    model = HDPGMM(8, max_epochs=1)
    heldout = np.flatnonzero(heldout_songs(np.full(40, 20), model.seed))
    songs[heldout[1]] = songs[heldout[1]].copy()
    songs[heldout[1]][7, 0] = 1e30
    with pytest.raises(ValueError, match=f"song {heldout[1]}, frame 7, feature 0: .* found 1e\\+30 where"):
        model.fit(songs)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
@pytest.mark.parametrize("exponent", [-320, -100, 100, 320])
def test_frames_in_units_of_any_size_give_the_same_model(covariance_type: Any, exponent: int):
    """2^320 is about 1e96. Powers of two, so to the last bit."""
    songs, unit = _small(), 2.0**exponent
    one = HDPGMM(8, covariance_type=covariance_type, max_epochs=2).fit(songs)
    moved = [unit * song for song in songs]
    two = HDPGMM(8, covariance_type=covariance_type, max_epochs=2).fit(moved)
    assert two.transform(moved).tobytes() == one.transform(songs).tobytes()
    assert (two.means_ / unit).tobytes() == one.means_.tobytes()
    assert (two.covariances_ / unit / unit).tobytes() == one.covariances_.tobytes()
    assert two.score(moved) == pytest.approx(one.score(songs) - 2 * np.log(unit), abs=1e-9)
    np.testing.assert_allclose(two.sample()[0][0] / unit, one.sample()[0][0], rtol=1e-12)


def test_before_fit_there_is_nothing(tmp_path: Path):
    model = HDPGMM()
    uses = (
        model.transform,
        model.score,
        lambda songs: model.sample(),
        lambda songs: model.save(tmp_path / "x"),
    )
    for use in uses:
        with pytest.raises(AttributeError, match="not fitted yet; call fit or partial_fit first"):
            use(_small())
    for name in ("weights_", "means_", "covariances_", "n_components_", "n_features_in_", "history_"):
        assert not hasattr(model, name)
    assert not (tmp_path / "x").exists()


def test_songs_without_frames_take_part():
    """In fit they add nothing to the components; in transform they have what is expected of any song."""
    songs = _small()
    model = HDPGMM(8, max_epochs=3, early_stopping=False).fit([songs[0][:0], *songs, songs[0][:0]])
    assert model.n_components_ == HDPGMM(8, max_epochs=3, early_stopping=False).fit(songs).n_components_
    found = model.transform([songs[0][:0], songs[0], songs[0][:0]])
    assert found[1].tobytes() == model.transform([songs[0]])[0].tobytes()
    assert np.array_equal(found[0], found[2])
    assert found[0].sum() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(found[0], model.weights_, atol=0.1)
    assert model.transform([]).shape == (0, model.n_components_)
    assert np.isnan(model.score([songs[0][:1], songs[0][:0]]))


@pytest.mark.parametrize(
    "songs",
    [
        [np.zeros((1, 3))],
        [np.zeros((2, 3))],
        [np.full((20, 2), 7.0)] * 4,
        [np.c_[song, np.ones(20)] for song in _small()],
        [np.c_[song, song] for song in _small()],
        [1e6 * song + 1e9 for song in _small()],
        [1e99 * song for song in _small()],
        [np.c_[1e90 * song, song, 1e-90 * song] for song in _small()],
        [np.c_[song, 1e-200 * song] for song in _small()],
        [np.c_[song, np.full(20, 1e99)] for song in _small()],
        [np.c_[song, 1e60 + 1e46 * song] for song in _small()],
    ],
    ids=[
        "a frame",
        "two frames",
        "one point",
        "a constant feature",
        "features twice",
        "far from the origin",
        "huge",
        "huge and tiny",
        "a trace",
        "a huge constant",
        "float32 has no such constant",
    ],
)
def test_poor_corpora_give_finite_models(songs: list[np.ndarray]):
    model = HDPGMM(6, max_epochs=3).fit(songs)
    for part in (model.weights_, model.means_, model.covariances_, model.transform(songs)):
        assert np.isfinite(part).all()
    assert np.isfinite(model.history_[-1]["bound"])


def test_each_epoch_is_in_the_history_and_goes_to_the_callback():
    rows: list[dict[str, Any]] = []
    model = HDPGMM(8, max_epochs=3, early_stopping=False, callback=rows.append).fit(_small())
    assert rows == model.history_
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[0].keys() == {field.name for field in fields(schedule.Epoch)}
    assert rows[-1]["n_components"] == model.n_components_
    assert rows[-1]["bound"] > rows[0]["bound"]
    assert rows[-1]["heldout"] is None
    json.dumps(rows)


def test_training_stops_when_songs_held_out_gain_no_more():
    songs = _small(n_songs=60)
    model = HDPGMM(8, max_epochs=50).fit(songs)
    scores = [row["heldout"] for row in model.history_]
    assert 3 <= len(scores) < 50
    assert schedule.plateau(scores)
    assert not schedule.plateau(scores[:-1])
    small = HDPGMM(8, max_epochs=50).fit(songs[:19])  # too few to hold any out: the bound decides
    assert {row["heldout"] for row in small.history_} == {None}
    assert len(small.history_) < 50
    assert len(HDPGMM(8, max_epochs=7, early_stopping=False).fit(songs).history_) == 7


def test_the_model_is_that_of_the_epoch_that_songs_held_out_score_best(monkeypatch: pytest.MonkeyPatch):
    """Steps that make the model worse from the third epoch on leave it as it was."""
    songs, learn = _small(n_songs=60), training_step.learn

    def worsening(state: State, *rest: Any) -> tuple[State, BatchInfo]:
        new, info = learn(state, *rest)
        return (new if new.step < 9 else replace(new, stats=new.stats.scaled(1e-3))), info

    monkeypatch.setattr(training_step, "learn", worsening)
    model = HDPGMM(8, batch_songs=16, max_epochs=6).fit(songs)
    scores = [row["heldout"] for row in model.history_]
    best = schedule.best(scores)
    heldout = [songs[i] for i in np.flatnonzero(heldout_songs(np.full(60, 20), model.seed))]
    assert model.score(heldout) == pytest.approx(scores[best], abs=1e-6)
    assert scores[best] > scores[-1] + 0.02


def _interrupt(row: dict[str, Any]) -> None:
    if row["epoch"] == 2:
        raise KeyboardInterrupt


def test_an_interrupted_fit_leaves_the_model_of_its_last_step(tmp_path: Path):
    """After two of five epochs; the same two epochs alone give the same model but for its last moves."""
    songs = _small(n_songs=60)
    model = HDPGMM(8, max_epochs=5, callback=_interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(songs)
    assert len(model.history_) == 2
    assert np.isfinite(model.score(songs))
    assert model.transform(songs).shape == (60, model.n_components_)
    model.save(tmp_path)
    assert _bits(HDPGMM.load(tmp_path)) == _bits(model)
    assert len(model.set_params(callback=None).fit(songs).history_) > 2


def test_a_fit_interrupted_inside_a_step_keeps_the_step_before(monkeypatch: pytest.MonkeyPatch):
    songs, learn, states = _small(n_songs=60), training_step.learn, []

    def until_the_third(*arguments: Any) -> Any:
        if len(states) == 3:
            raise KeyboardInterrupt
        states.append(learn(*arguments))
        return states[-1]

    monkeypatch.setattr(training_step, "learn", until_the_third)
    model = HDPGMM(8, batch_songs=16)
    with pytest.raises(KeyboardInterrupt):
        model.fit(songs)
    np.testing.assert_allclose(model.weights_.sum(), 1.0)
    expected = states[-1][0].stats.count
    np.testing.assert_allclose(model.weights_, expected / expected.sum())


def test_a_fit_interrupted_before_its_first_step_keeps_the_model_before(monkeypatch: pytest.MonkeyPatch):
    songs = _small()
    model = HDPGMM(8, max_epochs=2).fit(songs)
    before = _bits(model), model.transform(songs).tobytes()

    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(training_step, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit([100.0 * song for song in songs])
    assert (_bits(model), model.transform(songs).tobytes()) == before


def test_settings_take_the_place_of_arguments():
    settings = training_step.Settings(n_components=5, moves=False, direct=False)
    model = HDPGMM(99, settings=settings, max_epochs=2).fit(_small())
    assert model.n_components_ == 5
    assert model.moves_ == []


def test_concentrations_are_learned_or_given():
    songs = _small()
    given = HDPGMM(8, gamma=2.5, alpha0=0.5, max_epochs=2).fit(songs)
    assert given.concentrations_ == {"gamma": 2.5, "alpha0": 0.5}
    assert HDPGMM(8, max_epochs=2).fit(songs).concentrations_.keys() == {"gamma", "alpha0"}


def test_scikit_learn_can_clone_and_chain_it():
    songs = [song + 9.0 * (j % 2) for j, song in enumerate(_small())]
    labels = [j % 2 for j in range(len(songs))]
    model = HDPGMM(6, n_atoms=5, covariance_type="diag", max_epochs=2, seed=3)
    copy: Any = clone(model.fit(songs))
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "means_")
    assert _bits(copy.fit(songs)) == _bits(model)
    chain = make_pipeline(HDPGMM(max_epochs=2), LogisticRegression())
    search = GridSearchCV(chain, {"hdpgmm__n_components": [6, 5]}, cv=3).fit(songs, labels)
    assert search.best_params_["hdpgmm__n_components"] in (5, 6)
    assert search.best_score_ == 1.0


@pytest.mark.parametrize(
    "first", ["passthrough", FunctionTransformer(lambda songs: [2.0 * song for song in songs])]
)
def test_it_can_be_the_last_step_of_a_pipeline(first: Any):
    songs = _small()
    chain: Any = make_pipeline(first, HDPGMM(8, max_epochs=2))
    with pytest.raises(NotFittedError):
        check_is_fitted(chain)
    chain.fit(songs)
    check_is_fitted(chain)
    given = songs if first == "passthrough" else [2.0 * song for song in songs]
    alone = HDPGMM(8, max_epochs=2).fit(given)
    assert _bits(chain[-1]) == _bits(alone)
    assert chain.score(songs) == alone.score(given)
    assert chain.transform(songs).tobytes() == alone.transform(given).tobytes()
    assert chain.fit_transform(songs).tobytes() == alone.transform(given).tobytes()
    assert "HDPGMM" in chain._repr_html_()
    copy: Any = clone(chain)
    assert copy[-1].get_params() == chain[-1].get_params()
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)


def test_scikit_learn_knows_whether_it_is_fitted(tmp_path: Path):
    model = HDPGMM(8, max_epochs=1)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    check_is_fitted(model.partial_fit(_small()))
    model.save(tmp_path)
    check_is_fitted(HDPGMM.load(tmp_path))
    tags = get_tags(model)
    assert tags.transformer_tags is not None
    assert (tags.target_tags.required, tags.requires_fit, tags.input_tags.two_d_array) == (False, True, False)
    assert (tags.estimator_type, tags.transformer_tags.preserves_dtype) == ("density_estimator", [])


def test_it_works_where_there_is_no_scikit_learn():
    """As if it were not installed: an import of it fails."""
    script = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import numpy as np; from hdpgmm.estimator import HDPGMM\n"
        "songs = list(np.random.default_rng(0).normal(size=(4, 9, 2)))\n"
        "print(HDPGMM(2, max_epochs=1).fit(songs).transform(songs).shape[0])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "4\n"


def test_parameters_can_be_asked_for_and_set():
    model = HDPGMM(5, alpha0=2.0)
    assert HDPGMM(**model.get_params()).get_params() == model.get_params()
    assert model.set_params(n_components=7, seed=9) is model
    assert (model.n_components, model.seed, model.alpha0) == (7, 9, 2.0)
    with pytest.raises(ValueError, match="'n_component' is no parameter of HDPGMM; known: n_components, "):
        model.set_params(n_component=7)


def test_the_example_in_the_docstring_runs():
    found = doctest.testmod(estimator)
    assert found.attempted >= 4
    assert found.failed == 0


@pytest.mark.parametrize("song_level", ["direct", "sticks"])
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_features_that_never_vary_change_nothing(covariance_type: Any, song_level: Any, tmp_path: Path):
    """Whose likelihoods grew from epoch to epoch, until they overflowed; and after a file."""
    rng = np.random.default_rng(0)
    means = 9.0 * np.array([[0, 0, 0], [1, 0, 1], [0, 1, 1], [1, 1, 0]])
    songs = [
        means[rng.choice(4, 60, p=rng.dirichlet(np.ones(4)))] + rng.normal(size=(60, 3)) for _ in range(30)
    ]
    more = [np.column_stack([np.full(60, 1e6 / 3), song, np.zeros(60)]) for song in songs]

    def fitted(of: list[np.ndarray]) -> HDPGMM:
        kinds = {"covariance_type": covariance_type, "song_level": song_level}
        return HDPGMM(6, 6, max_epochs=9, early_stopping=False, **kinds).fit(of)

    plain, model = fitted(songs), fitted(more)
    model.save(tmp_path)
    for one in (model, HDPGMM.load(tmp_path)):
        assert one.n_components_ == plain.n_components_ == 4
        np.testing.assert_allclose(np.sort(one.weights_), np.sort(plain.weights_), atol=0.01)
        np.testing.assert_allclose(one.means_[:, [0, 4]], [[1e6 / 3, 0.0]] * 4, atol=1e-6)
        order, expected = (np.argsort(m.weights_) for m in (one, plain))
        np.testing.assert_allclose(
            one.transform(more)[:, order], plain.transform(songs)[:, expected], atol=0.02
        )
        constants = 2 * multivariate_normal(np.zeros(1)).logpdf(np.zeros(1))  # at the mean of unit variance
        assert one.score(more) == pytest.approx(plain.score(songs) + constants, abs=0.05)
    scores = [row["bound"] for row in model.history_]
    assert scores[-1] - scores[len(scores) // 2] < 0.05


@pytest.mark.parametrize("song_level", ["direct", "sticks"])
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_songs_of_one_frame(covariance_type: Any, song_level: Any):
    """One embedding a track: nothing can be predicted from half a song, so nothing is held out."""
    rng = np.random.default_rng(1)
    songs = [9.0 * rng.integers(0, 2, size=(1, 2)) + rng.normal(size=(1, 2)) for _ in range(200)]
    model = HDPGMM(6, max_epochs=6, covariance_type=covariance_type, song_level=song_level).fit(songs)
    assert model.n_components_ == 4
    assert {row["heldout"] for row in model.history_} == {None}
    assert np.isfinite(model.transform(songs)).all()
    assert np.isnan(model.score(songs))


def test_songs_held_out_have_two_frames():
    rng = np.random.default_rng(2)
    songs = [rng.normal(size=(1 if i % 4 else 30, 2)) for i in range(100)]
    model = HDPGMM(2, max_epochs=2).fit(songs)
    assert all(np.isfinite(row["heldout"]) for row in model.history_)
    few = HDPGMM(2, max_epochs=2).fit(songs[:60])  # 15 with two frames
    assert {row["heldout"] for row in few.history_} == {None}
