"""The compiled Fourier transform against numpy's."""

import numpy as np
import pytest
import scipy.signal

from features.spectral.fft import LANES, Transform


def _frames(samples: np.ndarray, n_fft: int, hop: int, count: int) -> np.ndarray:
    return np.stack([samples[i * hop : i * hop + n_fft] for i in range(count)])


@pytest.mark.parametrize("n_fft", [32, 64, 128, 512, 1024, 2048, 4096])
@pytest.mark.parametrize("n_groups", [1, 3])
def test_is_the_real_transform_of_each_windowed_frame(n_fft, n_groups):
    hop = n_fft // 4 + 1
    count = n_groups * LANES
    samples = np.random.default_rng(n_fft).standard_normal(n_fft + count * hop).astype(np.float32)
    window = scipy.signal.get_window("hann", n_fft)
    found = Transform(window)(samples, hop, n_groups)
    assert found.shape == (n_groups, n_fft // 2 + 1, LANES)
    assert found.dtype == np.complex64
    expected = np.fft.rfft(_frames(samples, n_fft, hop, count) * window)
    ours = found.transpose(0, 2, 1).reshape(count, -1)
    # float64 inside: what is left is the rounding to complex64.
    np.testing.assert_array_less(np.abs(ours - expected), 1e-7 * np.abs(expected) + 1e-12 * n_fft)


def test_rounded_as_librosa_rounds():
    rng = np.random.default_rng(1)
    samples = rng.standard_normal(2048 + 7 * 512).astype(np.float32)
    window = scipy.signal.get_window("hann", 2048)
    expected = np.fft.rfft(_frames(samples, 2048, 512, 8) * window).astype(np.complex64)
    found = Transform(window)(samples, 512, 1)[0].T
    assert (found != expected).mean() < 1e-4


@pytest.mark.parametrize("n_fft", [16, 48, 2047])
def test_other_lengths_are_refused(n_fft):
    with pytest.raises(ValueError, match=f"power of two and at least 32, got {n_fft}"):
        Transform(np.ones(n_fft))


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="2 groups of frames need 9728 samples, got 9727"):
        Transform(np.ones(2048))(np.zeros(9727, np.float32), 512, 2)
