"""Frame features against the plain librosa script, and on audio whose answer is known.

Tolerances are those of the project's promise: MFCC 5e-4, deltas 1e-4, log chroma 1e-5, and 5e-3 of the log onset
where the onset exceeds 1e-3 (below that librosa's own float32 rounding is what is measured).
"""

import numpy as np
import pytest

from features.frames import estimate_tuning, frame_features, power_spectrogram
from features.spec import PRESETS, columns
from tests.features import signals
from tests.oracles import librosa_script

_SPEC = PRESETS["paper-52"]
_COLUMNS = columns(_SPEC)


def _impulses() -> np.ndarray:
    samples = np.zeros(2 * signals.RATE_HZ, np.float32)
    samples[::5000] = 1.0
    return samples


_AUDIO = {
    "sine at a bin centre": signals.sine(64 * 22050 / 2048),
    "chords": signals.chords(),
    "chords a quarter tone up": signals.chords(detune=2 ** (0.5 / 12)),
    "noise": signals.noise(),
    "impulses": _impulses(),
    "full-scale square": np.sign(signals.sine(440.0, level=1.0)),
    "clipped": np.clip(4 * signals.chords(), -1, 1),
    "quiet": 1e-3 * signals.chords(),
    "constant and a tone": signals.sine(440.0, level=0.2) + np.float32(0.5),
    "constant": np.full(signals.RATE_HZ, 0.5, np.float32),
    "tone after silence": np.concatenate([np.zeros(22050, np.float32), signals.sine(330.0)]),
    "9 frames": signals.noise()[:4096],
    "beyond full scale": 30000 * signals.chords(),
    "more frames than a block": signals.chords(7.0),
}


@pytest.mark.parametrize("name", _AUDIO)
def test_equal_to_the_librosa_script(name):
    samples = _AUDIO[name]
    ours, script = frame_features(samples, _SPEC), librosa_script.features(samples)
    assert ours.shape == script.shape
    assert ours.dtype == np.float32
    assert np.abs(ours - script)[:, :13].max() <= 5e-4
    assert np.abs(ours - script)[:, 13:39].max() <= 1e-4
    assert np.abs(ours - script)[:, 39:51].max() <= 1e-5
    audible = script[:, 51] > np.log(1e-3)
    assert np.abs(ours - script)[audible, 51].max(initial=0) <= 5e-3
    assert np.abs(np.exp(ours[:, 51]) - np.exp(script[:, 51])).max() <= 5e-5


@pytest.mark.parametrize("name", _AUDIO)
def test_tuning_is_exactly_that_of_librosa(name):
    samples = _AUDIO[name]
    assert estimate_tuning(power_spectrogram(samples, _SPEC), _SPEC) == librosa_script.tuning(samples)


@pytest.mark.parametrize("cents", [-30, 0, 30])
def test_tuning_of_a_tone(cents):
    power = power_spectrogram(signals.sine(440 * 2 ** (cents / 1200)), _SPEC)
    assert estimate_tuning(power, _SPEC) == pytest.approx(cents / 100, abs=0.05)


@pytest.mark.parametrize(("note", "frequency_hz"), [("C", 523.25), ("F#", 739.99), ("A", 440.0)])
def test_a_note_has_its_pitch_class(note, frequency_hz):
    frames = frame_features(signals.sine(frequency_hz), _SPEC)
    inner = frames[5:-5, 39:51]
    assert {_COLUMNS[39 + i] for i in inner.argmax(axis=1)} == {f"log_chroma_{note}"}
    np.testing.assert_allclose(inner.max(axis=1), 0, atol=1e-6)


def test_gain_shifts_the_first_mfcc_only():
    # 20 dB in each of 128 bands is 20 sqrt(128) in the orthonormal DCT's first coefficient.
    loud, soft = (frame_features(level * signals.noise(level=1.0), _SPEC) for level in (0.1, 0.01))
    np.testing.assert_allclose(loud[:, 0] - soft[:, 0], 20 * np.sqrt(128), atol=1e-3)
    np.testing.assert_allclose(loud[:, 1:39], soft[:, 1:39], atol=1e-3)


def test_an_impulse_is_the_loudest_onset_at_its_frame():
    samples = signals.noise(level=1e-3)
    samples[40 * 512] = 1.0
    onset = frame_features(samples, _SPEC)[:, 51]
    assert abs(int(onset.argmax()) - 40) <= 1


def test_silence_is_finite():
    assert np.isfinite(frame_features(np.zeros(8192, np.float32), _SPEC)).all()


def test_below_nine_frames_is_refused():
    with pytest.raises(ValueError, match="8 frames"):
        frame_features(signals.noise()[:4095], _SPEC)
