"""Which parts of a track are kept, and that their features are those of the parts alone."""

from dataclasses import replace

import numpy as np
import pytest

from features.audio.decode import decode
from features.audio.excerpts import frame_sample, kept_seconds, pieces
from features.errors import BadTrack
from features.extract import extract
from features.spec import PRESETS, FeatureSpec
from tests.features import signals
from tests.oracles import librosa_script

_RATE = 22050


def _spec(excerpt: str, seconds: float = 2.0, every: float = 3.0) -> FeatureSpec:
    return FeatureSpec(excerpt=excerpt, excerpt_seconds=seconds, every_seconds=every)


@pytest.mark.parametrize(
    ("excerpt", "seconds", "kept"),
    [
        ("whole", 7.0, [(0.0, 7.0)]),
        ("first", 7.0, [(0.0, 2.0)]),
        ("middle", 7.0, [(2.5, 4.5)]),
        ("every", 7.0, [(0.0, 2.0), (3.0, 5.0), (6.0, 7.0)]),
        ("every", 6.1, [(0.0, 2.0), (3.0, 5.0)]),  # a tenth of a second is under nine frames
        ("first", 1.5, [(0.0, 1.5)]),
        ("middle", 1.5, [(0.0, 1.5)]),
        ("every", 0.01, [(0.0, 0.01)]),
    ],
)
def test_pieces(excerpt: str, seconds: float, kept: list[tuple[float, float]]):
    spec = _spec(excerpt)
    found = pieces(int(seconds * _RATE), spec)
    assert found == [(int(start * _RATE), int(stop * _RATE)) for start, stop in kept]
    assert kept_seconds(seconds, spec) == pytest.approx(sum(b - a for a, b in kept), abs=1e-3)


@pytest.mark.parametrize("excerpt", ["first", "middle", "every"])
@pytest.mark.parametrize("file_format", ["wav", "mp3", "flac"])
def test_features_are_those_of_the_parts_alone(excerpt: str, file_format: str):
    """And the part that is decoded for a first excerpt ends in the bits that the whole would give."""
    data = signals.encode(signals.stereo(signals.chords(7.5, 44100), 44100), 44100, file_format)
    samples = decode(data, "track", FeatureSpec()).samples
    spec = _spec(excerpt)
    expected = [librosa_script.features(samples[start:stop]) for start, stop in pieces(len(samples), spec)]
    track = extract(data, "track", spec)
    assert track.frames.shape == (sum(map(len, expected)), 52)
    gap = np.abs(track.frames - np.concatenate(expected))
    assert np.delete(gap, spec.block("onset_strength"), axis=1).max() <= 5e-4
    assert track.duration_seconds == pytest.approx(7.5, abs=0.06)


def test_a_first_excerpt_is_not_paid_for_by_decoding_the_rest():
    data = signals.encode(signals.stereo(signals.chords(20.0, 44100), 44100), 44100, "wav")
    first, whole = (decode(data, "track", spec) for spec in (_spec("first"), FeatureSpec()))
    assert len(first.samples) < 0.4 * len(whole.samples)
    kept = 2 * _RATE
    np.testing.assert_array_equal(first.samples[:kept], whole.samples[:kept])


def test_a_frame_is_found_in_the_track():
    """At a click in the third piece: the frame with the most energy lies within a hop of it."""
    samples = np.full(9 * _RATE, 1e-3, np.float32)
    click = int(7.4 * _RATE)
    samples[click : click + 20] = 1.0
    spec = replace(_spec("every"), features=("mel",))
    frames = extract(signals.encode(samples, _RATE, "wav", "FLOAT"), "click", spec).frames
    loudest = int(frames.sum(axis=1).argmax())
    assert abs(frame_sample(loudest, len(samples), spec) - click) <= spec.hop_length
    assert frame_sample(0, len(samples), spec) == 0
    assert frame_sample(87, len(samples), spec) == 3 * _RATE  # 87 frames of two seconds come before


def test_silence_is_judged_by_what_is_kept():
    samples = np.zeros(9 * _RATE, np.float32)
    samples[: 2 * _RATE] = 0.5
    data = signals.encode(samples, _RATE, "wav", "FLOAT")
    assert len(extract(data, "track", _spec("every")).frames) == 87 * 3
    with pytest.raises(BadTrack, match="SILENT"):
        extract(data, "track", _spec("middle"))


def test_a_log_mel_of_the_preset_is_librosas():
    import librosa

    samples = signals.chords(3.0, _RATE).astype(np.float32)
    mel = librosa.feature.melspectrogram(y=samples, sr=_RATE)
    track = extract(signals.encode(samples, _RATE, "wav", "FLOAT"), "track", PRESETS["log-mel-128"])
    assert track.frames.dtype == np.float32
    assert np.abs(track.frames - librosa.power_to_db(mel).T).max() < 5e-4


@pytest.mark.parametrize("preset", ["log-mel-128", "pcm-22050"])
def test_one_sample_is_enough_where_no_derivative_is_taken(preset: str):
    spec = PRESETS[preset]
    one = signals.encode(np.full(1, 0.5, np.float32), _RATE, "wav", "FLOAT")
    assert extract(one, "track", spec).frames.shape == (1, spec.n_features)
    with pytest.raises(BadTrack, match=r"TOO_SHORT: track: 0\.000 s give [01] frames, 1 are needed"):
        extract(signals.encode(np.zeros(0, np.float32), _RATE, "wav", "FLOAT"), "track", spec)


def test_pcm_is_the_mono_waveform():
    samples = np.array([0.0, 0.25, -0.25, 1.5, -1.5, 3e-5] * 100, np.float32)
    frames = extract(signals.encode(samples, _RATE, "wav", "FLOAT"), "track", PRESETS["pcm-22050"]).frames
    assert frames.dtype == np.int16
    assert frames[:6, 0].tolist() == [0, 8192, -8192, 32767, -32768, 1]


def test_a_sixteen_bit_file_at_the_rate_comes_back_bit_for_bit():
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 5000).astype(np.int16)
    frames = extract(signals.encode(samples, _RATE, "flac", "PCM_16"), "t", PRESETS["pcm-22050"]).frames
    np.testing.assert_array_equal(frames[:, 0], samples)
