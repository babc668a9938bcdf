"""G1 and the codebook against numpy, one song at a time."""

import numpy as np
import pytest

from evaluation.baselines import with_shares
from evaluation.baselines.codebook import fit_codebook, log_floor, vq_histogram
from evaluation.baselines.g1 import g1
from evaluation.baselines.sampling import sample_frames
from hdpgmm.ragged import Ragged, ragged


def random_songs(seed: int, lengths: list[int], dim: int = 3) -> Ragged[np.ndarray]:
    frames = np.random.default_rng(seed).normal(size=(sum(lengths), dim))
    return ragged(lengths, frames.astype(np.float32))


def test_g1_is_mean_and_sd_of_each_song():
    songs = random_songs(0, [5, 1, 9])
    songs.values[:] += 1000
    for row, frames in zip(g1(songs), songs, strict=True):
        song = frames.astype(np.float64)
        np.testing.assert_allclose(row, np.r_[song.mean(0), song.std(0)], atol=1e-9)


def test_a_song_without_frames_is_refused():
    with pytest.raises(ValueError, match="without frames"):
        g1(random_songs(0, [2, 0, 2]))


def test_sampled_frames_depend_on_seed_and_name_alone():
    frames = np.arange(46, dtype=np.float32).reshape(23, 2)
    found = sample_frames("a", frames, 10, seed=1)
    np.testing.assert_array_equal(found, sample_frames("a", frames.copy(), 10, seed=1))
    assert len(np.unique(found[:, 0])) == 10
    assert set(found[:, 0]) <= set(frames[:, 0])
    assert (np.diff(found[:, 0]) > 0).all()
    assert not np.array_equal(found, sample_frames("b", frames, 10, seed=1))
    assert not np.array_equal(found, sample_frames("a", frames, 10, seed=2))
    np.testing.assert_array_equal(sample_frames("a", frames[:3], 10, seed=1), frames[:3])


def test_codewords_find_clusters_and_histograms_count_them():
    rng = np.random.default_rng(0)
    places = np.array([[0.0, 0], [500, 0], [0, 5]])
    which = rng.integers(0, 3, 3000)
    frames = (places[which] + 0.01 * rng.normal(size=(3000, 2))).astype(np.float32)
    book = fit_codebook(frames, 3, seed=0)
    found = np.sort(vq_histogram(book, ragged([1000, 2000], frames)), axis=1)
    wanted = [np.sort(np.bincount(which[a:b], minlength=3) / (b - a)) for a, b in ((0, 1000), (1000, 3000))]
    np.testing.assert_allclose(found, wanted)


def test_histograms_in_chunks_equal_one_distance_table(monkeypatch: pytest.MonkeyPatch):
    songs = random_songs(1, [100, 60, 40], dim=4)
    book = fit_codebook(songs.values, 8, seed=0)
    monkeypatch.setattr("evaluation.baselines.codebook._CHUNK_FRAMES", 7)
    z = (songs.values - book.mean) / book.scale
    nearest = ((z[:, None] - book.centres) ** 2).sum(-1).argmin(1)
    wanted = [np.bincount(own, minlength=8) / len(own) for own in np.split(nearest, [100, 160])]
    np.testing.assert_allclose(vq_histogram(book, songs), wanted)


def test_few_frames_give_few_codewords_and_constant_features_pass():
    frames = np.zeros((35, 2), np.float32)
    frames[:, 0] = np.arange(35)
    assert len(fit_codebook(frames, 256, seed=0).centres) == 3
    assert len(fit_codebook(frames[:2], 256, seed=0).centres) == 1


def test_the_log_floor():
    np.testing.assert_allclose(log_floor(np.array([0.0, 1.0, 1e-9])), [np.log(1e-8), 0, np.log(1e-8)])


def test_models_with_units_have_a_row_of_shares():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(90, 3)).astype(np.float32)
    (words,) = with_shares({"codewords": 4})
    assert len(words.rows(len(values))) == 1
    (shares,) = words.fit(values, 0)(ragged([30, 20, 40], values))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
