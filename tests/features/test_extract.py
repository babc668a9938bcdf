"""Whole files: a sample of the real music in ../shared/music where that exists, composed files otherwise."""

import pickle

import numpy as np
import pytest

from features.errors import BadTrack
from features.extract import extract
from features.spec import PRESETS
from tests.features import signals
from tests.oracles import librosa_script
from tests.places import SHARED

_SPEC = PRESETS["paper-52"]
_MUSIC = SHARED / "music"
_SAMPLE = sorted((_MUSIC / "clips").rglob("*.*"))[::27]
# libFLAC's own test files; those that libsndfile cannot read must be refused in one line.
_HARD_FLAC = {
    "faulty_06_-_missing_streaminfo_metadata_block.flac": "DECODE_ERROR",
    "subset_19_-_samplerate_35467Hz.flac": None,
    "subset_22_-_12_bit_per_sample.flac": None,
    "subset_41_-_6_channels_(5.1).flac": None,
    "subset_45_-_no_total_number_of_samples_set.flac": None,
    "uncommon_01_-_changing_samplerate.flac": None,
    "uncommon_02_-_increasing_number_of_channels.flac": None,
    "uncommon_10_-_file_starting_at_frame_header.flac": None,
    "uncommon_11_-_file_starting_with_unparsable_data.flac": None,
}


def _assert_equal_to_the_script(path):
    track = extract(path.read_bytes(), path.name, _SPEC)
    script = librosa_script.features(librosa_script.load(str(path)))
    assert track.frames.shape == script.shape
    onset, gap = _SPEC.block("onset_strength"), np.abs(track.frames - script)
    audible = script[:, onset.start] > np.log(1e-3)
    assert np.delete(gap, onset, axis=1).max() <= 5e-4
    assert gap[audible, onset].max() <= 5e-3


@pytest.mark.parametrize("path", _SAMPLE, ids=lambda path: path.name)
def test_real_music_equals_the_librosa_script(path):
    _assert_equal_to_the_script(path)


@pytest.mark.parametrize(
    ("file_format", "rate_hz"), [("wav", 48000), ("flac", 22050), ("ogg", 44100), ("mp3", 44100)]
)
def test_composed_music_equals_the_librosa_script(file_format, rate_hz, tmp_path):
    path = tmp_path / f"track.{file_format}"
    path.write_bytes(
        signals.encode(signals.stereo(signals.chords(3.0, rate_hz), rate_hz), rate_hz, file_format)
    )
    _assert_equal_to_the_script(path)


@pytest.mark.parametrize("name", _HARD_FLAC)
def test_hard_flac_files(name):
    path = _MUSIC / "robustness" / name
    if not path.exists():
        pytest.skip("../shared/music is not here")
    reason = _HARD_FLAC[name]
    if reason is None:
        assert np.isfinite(extract(path.read_bytes(), name, _SPEC).frames).all()
        return
    with pytest.raises(BadTrack) as caught:
        extract(path.read_bytes(), name, _SPEC)
    assert caught.value.reason == reason


def test_what_a_track_says_of_its_source():
    samples = signals.stereo(signals.chords(2.0, 48000), 48000)
    track = extract(signals.encode(samples, 48000, "flac", "PCM_24"), "track", _SPEC)
    assert track.frames.shape == (1 + 2 * 22050 // 512, 52)
    assert (track.duration_seconds, track.sample_rate, track.channels) == (2.0, 48000, 2)
    assert track.decoder == "libsndfile flac/pcm_24"


def test_a_refusal_survives_pickling():
    bad = pickle.loads(pickle.dumps(BadTrack("SILENT", "two\nlines")))  # noqa: S301
    assert (bad.reason, bad.message, str(bad)) == ("SILENT", "two lines", "SILENT: two lines")
