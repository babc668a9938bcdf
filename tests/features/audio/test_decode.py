"""Decoding against `librosa.load`, and every reason why a file is refused."""

import contextlib
import dataclasses
import struct
import tracemalloc

import numpy as np
import pytest

from features.audio.decode import decode
from features.errors import BadTrack
from features.extract import extract
from features.spec import PRESETS
from tests.features import signals
from tests.oracles import librosa_script

_SPEC = PRESETS["paper-52"]
# An exception inside a callback of libsndfile is printed and dropped.
_NOTHING_IGNORED = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
_FORMATS = [  # format, subtype, rate, channels
    ("wav", "PCM_16", 22050, 1),
    ("wav", "PCM_24", 44100, 2),
    ("wav", "FLOAT", 48000, 2),
    ("wav", "PCM_U8", 8000, 1),
    ("wav", "PCM_16", 96000, 6),
    ("flac", "PCM_16", 48000, 2),
    ("flac", "PCM_24", 22050, 1),
    ("ogg", "VORBIS", 44100, 2),
    ("ogg", "VORBIS", 22050, 1),
    ("ogg", "OPUS", 48000, 2),
    ("mp3", "MPEG_LAYER_III", 44100, 2),
    ("mp3", "MPEG_LAYER_III", 22050, 1),
    ("mp3", "MPEG_LAYER_III", 48000, 1),
    ("aiff", "PCM_16", 44100, 2),
    ("au", "PCM_16", 32000, 1),
    ("RF64", "PCM_16", 44100, 2),
    ("wav", "PCM_24", 192_000, 8),
    ("wav", "PCM_32", 48000, 3),
    ("wav", "DOUBLE", 11025, 1),
    ("wav", "ULAW", 8000, 1),
    ("flac", "PCM_S8", 96000, 8),
    ("aiff", "PCM_S8", 8000, 2),
]


def _file(file_format="wav", subtype=None, rate_hz=44100, channels=2, seconds=3.001):
    mono = signals.chords(seconds, rate_hz)
    other = signals.stereo(mono, rate_hz)[:, 1]
    columns = [mono, *(np.roll(other, 50 * i) for i in range(channels - 1))]
    return signals.encode(np.stack(columns, axis=1), rate_hz, file_format, subtype)


def _reason(data, spec=_SPEC):
    with pytest.raises(BadTrack) as caught:
        extract(data, "track", spec)
    assert caught.value.message.startswith("track: ")
    assert "\n" not in caught.value.message
    return caught.value.reason


@pytest.mark.parametrize(("file_format", "subtype", "rate_hz", "channels"), _FORMATS)
def test_equal_to_librosa_load(file_format, subtype, rate_hz, channels, tmp_path):
    path = tmp_path / "track"
    path.write_bytes(_file(file_format, subtype, rate_hz, channels))
    audio = decode(path.read_bytes(), "track", _SPEC)
    assert audio.samples.dtype == np.float32
    # numpy adds eight channels and more in another order.
    tolerance = 2e-7 if channels >= 8 else 0.0
    np.testing.assert_allclose(audio.samples, librosa_script.load(str(path)), rtol=0.0, atol=tolerance)
    assert (audio.source_rate, audio.channels) == (rate_hz, channels)
    assert audio.duration_seconds == pytest.approx(3.001, abs=1e-4)
    assert subtype.lower() in audio.decoder


def test_mono_is_the_mean_of_the_channels():
    left, right = signals.sine(440.0), signals.sine(660.0)
    data = signals.encode(np.stack([left, right], axis=1), 22050, "wav", "FLOAT")
    np.testing.assert_allclose(decode(data, "track", _SPEC).samples, (left + right) / 2, atol=1e-7)


_NOT_AUDIO = {
    "text": b"hello, world\n" * 1000,
    "UTF-16 text, which begins like MPEG": "hello, world\n".encode("utf-16") * 1000,
    "random bytes": np.random.default_rng(0).bytes(50_000),
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(5000),
    "an archive": b"PK\x03\x04" + bytes(5000),
    "one byte": b"R",
}


@pytest.mark.parametrize("name", _NOT_AUDIO)
def test_not_audio(name):
    assert _reason(_NOT_AUDIO[name]) == "NOT_AUDIO"


def test_empty():
    assert _reason(b"") == "EMPTY"


@pytest.mark.parametrize("file_format", ["wav", "flac", "ogg", "mp3", "aiff", "au", "RF64"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.97])
def test_truncated(file_format, kept):
    data = _file(file_format)
    assert _reason(data[: int(kept * len(data))]) == "TRUNCATED"


def test_an_ogg_without_its_last_ten_bytes():
    assert _reason(_file("ogg")[:-10]) == "TRUNCATED"


@pytest.mark.parametrize("file_format", ["wav", "aiff", "au", "RF64", "w64", "caf", "flac"])
def test_what_lacks_less_than_a_packet_is_whole_and_says_so(file_format):
    whole, cut = (decode(data, "track", _SPEC) for data in (_file(file_format), _file(file_format)[:-12]))
    lost = whole.duration_seconds - cut.duration_seconds
    assert whole.missing_seconds == 0.0
    assert 0.0 < lost < 0.1
    assert cut.missing_seconds == pytest.approx(lost, abs=1e-4)
    # The resampler makes something else of the last samples.
    n = len(cut.samples) - 200
    np.testing.assert_allclose(cut.samples[:n], whole.samples[:n], atol=1e-6)


@pytest.mark.parametrize(("blocks", "reason"), [(0, None), (2, "TRUNCATED")])
def test_truncated_between_two_flac_frames(blocks, reason):
    data = _file("flac")
    total = int.from_bytes(data[22:26], "big") + 100 + blocks * 4096
    longer = _patched(data, 22, total.to_bytes(4, "big"))
    if reason:
        assert _reason(longer) == reason
    else:
        assert decode(longer, "track", _SPEC).missing_seconds == pytest.approx(100 / 44100, abs=1e-4)


def test_truncated_inside_the_header():
    assert _reason(_file("wav")[:30]) == "TRUNCATED"
    assert _reason(_file("flac")[:30]) == "TRUNCATED"
    assert _reason(_file("ogg")[:100]) == "TRUNCATED"
    assert _reason(b"ID3\x03\x00\x00\x00\x01\x00\x00" + _file("mp3")[:2000]) == "TRUNCATED"


@pytest.mark.parametrize(("n_samples", "reason"), [(0, "TOO_SHORT"), (1, "TOO_SHORT"), (4095, "TOO_SHORT")])
def test_too_short(n_samples, reason):
    assert _reason(signals.encode(signals.noise()[:n_samples], 22050, "wav")) == reason


def test_nine_frames_are_enough():
    track = extract(signals.encode(signals.noise()[:4096], 22050, "wav"), "track", _SPEC)
    assert track.frames.shape == (9, 52)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(22050, np.float32),
        signals.sine(440.0, level=9e-5),
        np.stack([signals.sine(440.0), -signals.sine(440.0)], axis=1),
    ],
    ids=["zeros", "below -80 dB", "channels that cancel"],
)
def test_silent(samples):
    assert _reason(signals.encode(samples, 22050, "wav", "FLOAT")) == "SILENT"


def test_just_above_silence():
    data = signals.encode(signals.sine(440.0, level=1.1e-4), 22050, "wav", "FLOAT")
    assert np.isfinite(extract(data, "track", _SPEC).frames).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, 3e38])
@pytest.mark.parametrize("channels", [1, 2])
def test_non_finite(value, channels):
    samples = np.stack([signals.noise()] * channels, axis=1)
    samples[30000] = value
    assert _reason(signals.encode(samples, 22050, "wav", "FLOAT")) == "NON_FINITE"


def _patched(data, position, content):
    return data[:position] + content + data[position + len(content) :]


_BROKEN = {
    "a flac with a damaged frame": _patched(_file("flac"), 90_000, bytes(64)),
    "an mp3 with a hole": _patched(_file("mp3"), 20_000, bytes(8000)),
    "a codec that nobody knows": _patched(_file("wav"), 20, struct.pack("<H", 0x7777)),
    "a rate of 2 GHz": _patched(_file("wav"), 24, struct.pack("<I", 2_000_000_000)),
    "100 channels": _patched(_file("wav"), 22, struct.pack("<HIIH", 100, 44100, 8_820_000, 200)),
    "another container": _file("voc"),
    "an aiff whose header leads before its start": _patched(_file("aiff"), 41, b"\x67"),
    "Monkey's Audio": b"MAC " + bytes(5000),
    "wma": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(5000),
}


@pytest.mark.parametrize("name", _BROKEN)
@_NOTHING_IGNORED
def test_recognised_but_broken(name):
    assert _reason(_BROKEN[name]) == "DECODE_ERROR"


def test_unknown_formats_are_named():
    with pytest.raises(BadTrack, match="no decoder for Monkey's Audio"):
        decode(_BROKEN["Monkey's Audio"], "track", _SPEC)


def test_too_long():
    spec = dataclasses.replace(_SPEC, max_seconds=2.0)
    assert _reason(_file("wav"), spec) == "TOO_LONG"
    assert _reason(_file("mp3"), spec) == "TOO_LONG"
    assert _reason(_without_flac_total(_file("flac")), spec) == "TOO_LONG"
    assert extract(_file("wav"), "track", dataclasses.replace(_SPEC, max_seconds=3.1)).frames.any()


def _without_flac_total(data):
    return _patched(data, 21, bytes([data[21] & 0xF0, 0, 0, 0, 0]))


def test_a_flac_need_not_state_its_length():
    data = _file("flac")
    known, unknown = (decode(d, "track", _SPEC) for d in (data, _without_flac_total(data)))
    np.testing.assert_array_equal(known.samples, unknown.samples)
    assert _reason(_without_flac_total(data)[: len(data) // 2]) == "TRUNCATED"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_patched(_file("wav"), 40, struct.pack("<I", 0xFFFFFFF0)), "TRUNCATED"),
        (_patched(_file("flac"), 22, b"\xff\xff\xff\xff"), "TOO_LONG"),
    ],
    ids=["wav", "flac"],
)
def test_promised_sizes_are_not_allocated(data, reason):
    tracemalloc.start()
    assert _reason(data) == reason
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 20e6


def test_memory_is_that_of_the_result_a_quarter_more_and_a_block():
    data = _file("flac", seconds=30.0)
    decode(data, "track", _SPEC)
    tracemalloc.start()
    samples = decode(data, "track", _SPEC).samples
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1.3 * samples.nbytes + 2e6


def test_chunks_of_odd_length_are_padded():
    data = _file("wav")
    with_note = data[:36] + b"note" + struct.pack("<I", 5) + b"12345\0" + data[36:]
    assert extract(with_note, "track", _SPEC).frames.any()
    assert _reason(with_note[:-5000]) == "TRUNCATED"


def test_a_streamed_au_without_a_length_is_read():
    assert extract(_patched(_file("au"), 8, b"\xff" * 4), "track", _SPEC).frames.any()


def test_a_streamed_wav_without_a_length_is_read():
    data = _patched(_file("wav"), 40, struct.pack("<I", 0xFFFFFFFF))
    np.testing.assert_array_equal(
        decode(data, "track", _SPEC).samples, decode(_file("wav"), "track", _SPEC).samples
    )


@pytest.mark.parametrize("file_format", ["wav", "flac", "ogg", "mp3", "aiff", "au", "RF64"])
@_NOTHING_IGNORED
def test_damage_never_raises_anything_else(file_format):
    data = _file(file_format, seconds=0.5)
    for damaged in signals.damaged(data, 30):
        with contextlib.suppress(BadTrack):
            assert np.isfinite(extract(damaged, "track", _SPEC).frames).all()
