"""Every block that librosa computes, against librosa called as its user would."""

from collections.abc import Callable

import librosa
import numpy as np
import pytest

from features.blocks import BLOCKS, sources
from features.spec import FeatureSpec, columns
from features.spectral.frames import frame_features
from tests.features import signals

# A short track is shorter than the constant-Q transform's windows.
pytestmark = pytest.mark.filterwarnings(
    "ignore:n_fft=:UserWarning", "ignore:Trying to estimate tuning:UserWarning"
)
_RATE = signals.RATE_HZ
_CALLS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "spectral_centroid": lambda y: librosa.feature.spectral_centroid(y=y, sr=_RATE),
    "spectral_bandwidth": lambda y: librosa.feature.spectral_bandwidth(y=y, sr=_RATE),
    "spectral_rolloff": lambda y: librosa.feature.spectral_rolloff(y=y, sr=_RATE),
    "spectral_flatness": lambda y: librosa.feature.spectral_flatness(y=y),
    "chroma_stft": lambda y: librosa.feature.chroma_stft(y=y, sr=_RATE),
    "chroma_cqt": lambda y: librosa.feature.chroma_cqt(y=y, sr=_RATE),
    "tonnetz": lambda y: librosa.feature.tonnetz(y=y, sr=_RATE),
    "tempogram": lambda y: librosa.feature.tempogram(y=y, sr=_RATE),
    "rms": lambda y: librosa.feature.rms(y=y),
    "zero_crossing_rate": librosa.feature.zero_crossing_rate,
}
_AUDIO = {
    "chords": signals.chords(5.0),
    "noise": signals.noise(3.0, level=0.3),
    "begins and ends beyond zero": signals.sine(100.0)[300:-77],
    "tone after silence": np.concatenate([np.zeros(22050, np.float32), signals.sine(330.0)]),
    "two frames": signals.noise()[:600],
}
_BY_LIBROSA = [name for name, block in BLOCKS.items() if "librosa" in block.libraries]


def test_every_such_block_is_compared():
    assert set(_CALLS) == set(_BY_LIBROSA)


@pytest.mark.parametrize("audio", _AUDIO)
@pytest.mark.parametrize("name", _CALLS)
def test_equal_to_librosas_own_function(name: str, audio: str):
    samples = _AUDIO[audio]
    ours, theirs = frame_features(samples, FeatureSpec(features=(name,))), _CALLS[name](samples)
    assert ours.shape == (1 + len(samples) // 512, len(theirs))
    np.testing.assert_array_equal(ours, theirs.T.astype(np.float32))


@pytest.mark.parametrize("name", [name for name in _BY_LIBROSA if BLOCKS[name].source == "part"])
def test_the_parts_of_a_long_track_do_not_change_a_bit(name: str, monkeypatch: pytest.MonkeyPatch):
    spec, samples = FeatureSpec(features=(name,)), _AUDIO["chords"]
    whole = frame_features(samples, spec)
    monkeypatch.setattr(sources, "PART_FRAMES", 50)
    np.testing.assert_array_equal(frame_features(samples, spec), whole)


def test_a_part_holds_little_of_the_track(monkeypatch: pytest.MonkeyPatch):
    held = []
    monkeypatch.setattr(sources, "PART_FRAMES", 50)
    stft = librosa.stft
    monkeypatch.setattr(librosa, "stft", lambda y, **more: held.append(len(y)) or stft(y, **more))
    spec = FeatureSpec(features=("spectral_centroid", "spectral_bandwidth", "spectral_rolloff"))
    frame_features(_AUDIO["chords"], spec)
    assert held == [2048 + 49 * 512] * 4 + [
        2048 + 15 * 512
    ]  # 216 frames, each transformed once for three blocks


def test_the_constant_q_transform_is_done_once(monkeypatch: pytest.MonkeyPatch):
    calls, cqt = [], librosa.feature.chroma_cqt
    monkeypatch.setattr(librosa.feature, "chroma_cqt", lambda **given: calls.append(1) or cqt(**given))
    frame_features(_AUDIO["chords"], FeatureSpec(features=("tonnetz", "chroma_cqt")))
    frame_features(_AUDIO["noise"], FeatureSpec(features=("chroma_cqt",)))
    assert len(calls) == 2


_SPECTRUM = {"n_fft": 1024, "hop_length": 256, "window": "hamming"}
_OTHER_CALLS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "spectral_centroid": lambda y: librosa.feature.spectral_centroid(y=y, sr=16000, **_SPECTRUM),
    "spectral_bandwidth": lambda y: librosa.feature.spectral_bandwidth(y=y, sr=16000, **_SPECTRUM),
    "spectral_rolloff": lambda y: librosa.feature.spectral_rolloff(y=y, sr=16000, **_SPECTRUM),
    "spectral_flatness": lambda y: librosa.feature.spectral_flatness(y=y, **_SPECTRUM),
    "chroma_stft": lambda y: librosa.feature.chroma_stft(y=y, sr=16000, n_chroma=24, **_SPECTRUM),
    "chroma_cqt": lambda y: librosa.feature.chroma_cqt(y=y, sr=16000, hop_length=256),
    "tonnetz": lambda y: librosa.feature.tonnetz(y=y, sr=16000, hop_length=256),
    "tempogram": lambda y: librosa.feature.tempogram(
        onset_envelope=librosa.onset.onset_strength(y=y, sr=16000, **_SPECTRUM)
    ),
    "rms": lambda y: librosa.feature.rms(y=y, frame_length=1024, hop_length=256),
    "zero_crossing_rate": lambda y: librosa.feature.zero_crossing_rate(y, frame_length=1024, hop_length=256),
}


@pytest.mark.parametrize("name", _BY_LIBROSA)
def test_the_specification_reaches_librosa(name: str):
    spec = FeatureSpec(features=(name,), sample_rate=16000, n_chroma=24, **_SPECTRUM)
    samples = signals.chords(3.0, 16000)
    np.testing.assert_array_equal(
        frame_features(samples, spec), _OTHER_CALLS[name](samples).T.astype(np.float32)
    )


@pytest.mark.parametrize(
    "samples",
    [np.zeros(9000, np.float32), np.ones(1, np.float32), 1e12 * signals.chords()],
    ids=["silence", "one sample", "beyond full scale"],
)
def test_finite_where_a_track_is_extreme(samples: np.ndarray):
    spec = FeatureSpec(features=tuple(_BY_LIBROSA))
    values = frame_features(samples.astype(np.float32), spec)
    names = np.array(columns(spec))
    assert not names[~np.isfinite(values).all(axis=0)].tolist()


def test_of_a_tone():
    """What a musician would say of a quiet 440 Hz tone."""
    spec = FeatureSpec(features=("rms", "zero_crossing_rate", "spectral_centroid", "chroma_cqt"))
    frames = frame_features(signals.sine(440.0, 3.0, level=0.1), spec)[20:-20]
    assert frames[:, spec.block("rms")].mean() == pytest.approx(0.1 / np.sqrt(2), rel=1e-2)
    assert frames[:, spec.block("zero_crossing_rate")].mean() == pytest.approx(2 * 440 / _RATE, rel=2e-2)
    assert frames[:, spec.block("spectral_centroid")].mean() == pytest.approx(440, rel=1e-2)
    loudest = frames[:, spec.block("chroma_cqt")].argmax(axis=1)
    assert {columns(spec)[spec.block("chroma_cqt")][i] for i in loudest} == {"chroma_cqt_A"}
