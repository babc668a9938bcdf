"""The end of MPEG files: what real files carry there, and what a cut leaves."""

import io

import numpy as np
import pytest
import soundfile as sf

from features.audio.containers import mpeg
from features.audio.decode import decode
from features.spec import PRESETS
from tests.features import signals

_SPEC = PRESETS["paper-52"]
_ID3V1 = b"TAG" + bytes(125)
_ID3V2 = b"ID3\x03\x00\x00\x00\x00\x10\x00" + bytes(2048)
_APE = b"APETAGEX" + bytes(200)


def _cut(data):
    return mpeg.structure(data).cut


def _encoded(bitrate_mode):
    file = io.BytesIO()
    samples = signals.stereo(signals.chords(3.0, 44100), 44100)
    settings = {"format": "MP3", "bitrate_mode": bitrate_mode, "compression_level": 0.5}
    with sf.SoundFile(file, "w", 44100, 2, **settings) as out:
        out.write(samples)
    return file.getvalue()


def _without_info(data):
    """The file as old encoders write it: the Info frame left out."""
    return data[mpeg.first_frame(data, 4) :]


def _frame_starts(data):
    starts, position = [], 0
    while (position := mpeg.first_frame(data, position)) is not None:
        starts.append(position)
        position += 4
    return starts


_VARIABLE, _CONSTANT = _encoded("VARIABLE"), _encoded("CONSTANT")
_OLD = _without_info(_CONSTANT)
_OLD_STARTS = _frame_starts(_OLD)


def _cut_at_a_frame(data, near):
    return data[: mpeg.first_frame(data, near)]


_WHOLE = {
    "variable bitrate": _VARIABLE,
    "constant bitrate": _CONSTANT,
    "no Info frame": _OLD,
    "ID3v1 at the end": _VARIABLE + _ID3V1,
    "APE and ID3v1 at the end": _VARIABLE + _APE + _ID3V1,
    "ID3v2 at the start": _ID3V2 + _VARIABLE,
    "zeros at the end": _VARIABLE + bytes(5000),
    "a last frame four bytes short": _OLD[:-4],
    "junk and a tag after a stale frame count": _cut_at_a_frame(_CONSTANT, 20_000) + bytes(100) + _ID3V1,
    "a tag after a stale frame count": _cut_at_a_frame(_CONSTANT, 20_000) + _ID3V1,
}
_CUT = {
    "variable bitrate": _VARIABLE[: len(_VARIABLE) // 2],
    "constant bitrate": _CONSTANT[: len(_CONSTANT) // 2],
    "between two frames": _cut_at_a_frame(_VARIABLE, 20_000),
    "no Info frame": _cut_at_a_frame(_OLD, 20_000)[:-100],
    "two frames less": _VARIABLE[: _frame_starts(_VARIABLE)[-2]],
    "after a damaged frame header": _OLD[: _OLD_STARTS[20]]
    + bytes(4)
    + _OLD[_OLD_STARTS[20] + 4 : _OLD_STARTS[60] + 200],
    "inside ID3v2": _ID3V2[:500],
}


@pytest.mark.parametrize("name", _WHOLE)
def test_whole_files_are_not_suspected(name):
    assert _cut(_WHOLE[name]) is None


@pytest.mark.parametrize("name", [name for name in _WHOLE if "stale" not in name])
def test_whole_files_decode_to_the_end(name):
    assert decode(_WHOLE[name], "track", _SPEC).duration_seconds == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("name", _CUT)
def test_cut_files_are_found(name):
    assert _cut(_CUT[name])


def test_every_cut_beyond_the_last_frame_is_found():
    rng = np.random.default_rng(3)
    for length in rng.integers(2000, len(_VARIABLE) - 1500, 50):
        assert _cut(_VARIABLE[:length]), length


def test_a_variable_bitrate_without_a_header_is_read_to_its_end():
    # libsndfile guesses its length and stops there, in silence.
    loud_then_silent = np.concatenate([signals.noise(3.0, 44100, 0.2), np.zeros(3 * 44100, np.float32)])
    audio = decode(_without_info(signals.encode(loud_then_silent, 44100, "mp3")), "track", _SPEC)
    assert audio.duration_seconds == pytest.approx(6.0, abs=0.1)
    assert "could be decoded" in audio.fallback
