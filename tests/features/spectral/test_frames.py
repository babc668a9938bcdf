"""Frame features against the plain librosa script, and on audio whose answer is known.

Tolerances are those of the project's promise: MFCC 5e-4, deltas 1e-4, log chroma 1e-5, and 5e-3 of the log onset
where the onset exceeds 1e-3 (below that librosa's own float32 rounding is what is measured).
"""

import tracemalloc
from contextlib import suppress

import numpy as np
import pytest

from features.audio.decode import decode
from features.errors import BadTrack
from features.spec import PRESETS, columns
from features.spectral import spectrogram
from features.spectral.fft import LANES
from features.spectral.frames import frame_features
from features.spectral.spectrogram import Spectra
from features.spectral.tuning import Peaks
from tests.features import signals
from tests.oracles import librosa_script
from tests.places import SHARED

MUSIC = SHARED / "music"
_SPEC = PRESETS["paper-52"]
_COLUMNS = columns(_SPEC)
_MFCC, _CHROMA, _ONSET = (_SPEC.block(name) for name in ("mfcc", "chroma", "onset_strength"))
_DELTAS = slice(_SPEC.block("mfcc_delta").start, _SPEC.block("mfcc_delta2").stop)


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
    "silence and one click": np.concatenate(
        [np.zeros(30000, np.float32), np.ones(1, np.float32), np.zeros(9000, np.float32)]
    ),
    "one sample under a frame more": signals.noise()[:5119],
    "constant": np.full(signals.RATE_HZ, 0.5, np.float32),
    "tone after silence": np.concatenate([np.zeros(22050, np.float32), signals.sine(330.0)]),
    "9 frames": signals.noise()[:4096],
    "beyond full scale": 30000 * signals.chords(),
    "more frames than a block": signals.chords(7.0),
}


def _tuning(samples: np.ndarray) -> float:
    peaks = Peaks(_SPEC)
    for start, power in Spectra(samples, _SPEC).blocks():
        peaks.add(power, min(len(power) * LANES, _SPEC.n_frames(len(samples)) - start))
    return peaks.tuning()


def _assert_equal_to_the_script(samples: np.ndarray) -> None:
    ours, script = frame_features(samples, _SPEC), librosa_script.features(samples)
    assert ours.shape == script.shape
    assert ours.dtype == np.float32
    assert np.abs(ours - script)[:, _MFCC].max() <= 5e-4
    rounding = 1e-6 * np.abs(script)[:, _DELTAS]  # of librosa's own float32, where a column reaches 136
    assert (np.abs(ours - script)[:, _DELTAS] <= 1e-4 + rounding).all()
    assert np.abs(ours - script)[:, _CHROMA].max() <= 1e-5
    audible = script[:, _ONSET.start] > np.log(1e-3)
    assert np.abs(ours - script)[audible][:, _ONSET].max(initial=0) <= 5e-3
    assert np.abs(np.exp(ours[:, _ONSET]) - np.exp(script[:, _ONSET])).max() <= 5e-5


@pytest.mark.parametrize("name", _AUDIO)
def test_equal_to_the_librosa_script(name):
    _assert_equal_to_the_script(_AUDIO[name])


@pytest.mark.skipif(not MUSIC.exists(), reason="the shared music is not on this machine")
def test_equal_to_the_librosa_script_on_real_music():
    """A tenth of ../shared/music; `tests.bench.extract --music` compares all of it."""
    clips = sorted(path for path in MUSIC.rglob("*") if path.suffix in (".mp3", ".wav", ".flac", ".ogg"))
    compared = 0
    for clip in clips[::10]:
        with suppress(BadTrack):
            samples = decode(clip.read_bytes(), clip.name, _SPEC).samples
            _assert_equal_to_the_script(samples)
            assert _tuning(samples) == librosa_script.tuning(samples), clip
            compared += 1
    assert compared > 10


@pytest.mark.parametrize("name", _AUDIO)
def test_tuning_is_exactly_that_of_librosa(name):
    samples = _AUDIO[name]
    assert _tuning(samples) == librosa_script.tuning(samples)


@pytest.mark.parametrize("cents", [-30, 0, 30])
def test_tuning_of_a_tone(cents):
    assert _tuning(signals.sine(440 * 2 ** (cents / 1200))) == pytest.approx(cents / 100, abs=0.05)


@pytest.mark.parametrize(("note", "frequency_hz"), [("C", 523.25), ("F#", 739.99), ("A", 440.0)])
def test_a_note_has_its_pitch_class(note, frequency_hz):
    frames = frame_features(signals.sine(frequency_hz), _SPEC)
    inner = frames[5:-5, _CHROMA]
    assert {_COLUMNS[_CHROMA][i] for i in inner.argmax(axis=1)} == {f"log_chroma_{note}"}
    np.testing.assert_allclose(inner.max(axis=1), 0, atol=1e-6)


def test_gain_shifts_the_first_mfcc_only():
    # 20 dB in each of 128 bands is 20 sqrt(128) in the orthonormal DCT's first coefficient.
    loud, soft = (frame_features(level * signals.noise(level=1.0), _SPEC) for level in (0.1, 0.01))
    np.testing.assert_allclose(loud[:, 0] - soft[:, 0], 20 * np.sqrt(128), atol=1e-3)
    np.testing.assert_allclose(loud[:, 1 : _DELTAS.stop], soft[:, 1 : _DELTAS.stop], atol=1e-3)


def test_an_impulse_is_the_loudest_onset_at_its_frame():
    samples = signals.noise(level=1e-3)
    samples[40 * 512] = 1.0
    onset = frame_features(samples, _SPEC)[:, _ONSET]
    assert abs(int(onset.argmax()) - 40) <= 1


def test_silence_is_finite():
    assert np.isfinite(frame_features(np.zeros(8192, np.float32), _SPEC)).all()


def test_below_nine_frames_is_refused():
    with pytest.raises(ValueError, match="8 frames"):
        frame_features(signals.noise()[:4095], _SPEC)


@pytest.mark.parametrize(("kept_bytes", "block_frames"), [(0, 128), (0, 8), (1 << 30, 24)])
def test_neither_blocks_nor_what_is_kept_of_the_spectrogram_change_a_bit(
    kept_bytes, block_frames, monkeypatch
):
    samples = signals.chords(4.0)
    before = frame_features(samples, _SPEC)
    monkeypatch.setattr(spectrogram, "KEPT_BYTES", kept_bytes)
    monkeypatch.setattr(spectrogram, "BLOCK_FRAMES", block_frames)
    np.testing.assert_array_equal(frame_features(samples, _SPEC), before)


def test_a_long_track_does_not_keep_its_spectrogram(monkeypatch):
    samples = signals.noise(60.0)
    monkeypatch.setattr(spectrogram, "KEPT_BYTES", 0)
    frame_features(samples, _SPEC)
    tracemalloc.start()
    frame_features(samples, _SPEC)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6  # the whole spectrogram is 10.6 MB
