"""spectral_contrast of our kernel against librosa's function."""

import librosa
import numpy as np
import pytest

from features.spec import FeatureSpec, columns
from features.spectral import spectrogram
from features.spectral.frames import frame_features
from tests.features import signals

_RATE = signals.RATE_HZ
_AUDIO = {
    "chords": signals.chords(5.0),
    "noise": signals.noise(3.0, level=0.3),
    "noise that fades": signals.noise(6.0) * np.exp(-5 * np.linspace(0, 6, 6 * _RATE)).astype(np.float32),
    "tone after silence": np.concatenate([np.zeros(22050, np.float32), signals.sine(330.0)]),
    "begins and ends beyond zero": signals.sine(100.0)[300:-77],
    "silence": np.zeros(9000, np.float32),
    "two frames": signals.noise()[:600],
    "one sample": np.ones(1, np.float32),
}
DECIBELS = 2e-4  # librosa has the mean magnitudes in float32, added in another order


@pytest.mark.filterwarnings("ignore:n_fft=:UserWarning")
@pytest.mark.parametrize("audio", _AUDIO)
def test_equal_to_librosas(audio: str):
    samples = _AUDIO[audio]
    theirs = librosa.feature.spectral_contrast(y=samples, sr=_RATE).T
    ours = frame_features(samples, FeatureSpec(features=("spectral_contrast",)))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=DECIBELS)


@pytest.mark.parametrize(
    "given",
    [
        {"n_fft": 1024, "hop_length": 256, "window": "hamming", "sample_rate": 16000},
        {"n_fft": 4096, "hop_length": 1024, "sample_rate": 44100},
        {"n_fft": 2048, "hop_length": 512, "sample_rate": 12900},
    ],
)
def test_equal_with_other_parameters(given: dict):
    rate, samples = given["sample_rate"], signals.noise(2.0)
    names = {name: given[name] for name in given if name != "sample_rate"}
    theirs = librosa.feature.spectral_contrast(y=samples, sr=rate, **names).T
    ours = frame_features(samples, FeatureSpec(features=("spectral_contrast",), **given))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=DECIBELS)


def test_the_same_beside_other_blocks_and_in_a_long_track(monkeypatch: pytest.MonkeyPatch):
    samples, alone = _AUDIO["chords"], FeatureSpec(features=("spectral_contrast",))
    expected = frame_features(samples, alone)
    spec = FeatureSpec(features=("mfcc", "spectral_contrast", "chroma", "rms"))
    for kept in (spectrogram.KEPT_BYTES, 0):
        monkeypatch.setattr(spectrogram, "KEPT_BYTES", kept)
        beside = frame_features(samples, spec)[:, spec.block("spectral_contrast")]
        np.testing.assert_array_equal(beside, expected)


def test_columns():
    assert columns(FeatureSpec(features=("spectral_contrast",))) == [
        f"spectral_contrast_{i:02d}" for i in range(7)
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sample_rate": 8000}, "sample_rate=8000 lies between 6400 and 12800 Hz"),
        ({"n_fft": 64, "hop_length": 32}, "n_fft=64 at sample_rate=22050 lies between"),
    ],
)
def test_no_room_for_its_bands(given: dict, words: str):
    with pytest.raises(ValueError, match=words):
        FeatureSpec(features=("spectral_contrast",), **given)
