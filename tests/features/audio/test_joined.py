"""Several files in one, and files with something around them: all of the music is heard."""

import io
import struct
from dataclasses import replace

import av
import numpy as np
import pytest
import soundfile as sf

from features.audio.containers import mpeg, sniff, structure
from features.audio.decode import decode
from features.errors import BadTrack
from features.extract import extract
from features.spec import PRESETS, FeatureSpec
from tests.features import signals

_SPEC = PRESETS["paper-52"]
_RATE_HZ = 44100
_ID3V2 = b"ID3\x03\x00\x00\x00\x00\x03\x74" + bytes(500)
_ID3V1 = b"TAG" + bytes(125)
_APE = struct.pack("<8sIIII8x", b"APETAGEX", 2000, 232, 0, 0xA0000000) + bytes(200)
_APE += struct.pack("<8sIIII8x", b"APETAGEX", 2000, 232, 0, 0x80000000)


def _music(seconds, detune=1.0, rate_hz=_RATE_HZ):
    return signals.stereo(signals.chords(seconds, rate_hz, detune), rate_hz)


def _mp3(samples, mode="CONSTANT", rate_hz=_RATE_HZ):
    file = io.BytesIO()
    channels = samples.shape[1] if samples.ndim == 2 else 1
    settings = {"format": "MP3", "bitrate_mode": mode, "compression_level": 0.5}
    with sf.SoundFile(file, "w", rate_hz, channels, **settings) as out:
        out.write(samples)
    return file.getvalue()


def _bare(data):
    """The mp3 without its Info frame."""
    return data[mpeg.first_frame(data, 4) :]


_SPOT, _SHOW = _music(1.0), _music(4.0, detune=1.5)
_BOTH = np.concatenate([_SPOT, _SHOW])
_MP3_SPOT, _MP3_SHOW = _mp3(_SPOT), _mp3(_SHOW)


def _assert_hears(audio, samples, rate_hz=_RATE_HZ, seconds=0.08):
    """As long as the samples, and like them at the start and at the end."""
    assert audio.duration_seconds == pytest.approx(len(samples) / rate_hz, abs=seconds)
    wanted = decode(signals.encode(samples, rate_hz, "wav"), "track", _SPEC).samples
    for part in (slice(4000, 14000), slice(-14000, -4000)):
        assert _likeness(wanted[part], audio.samples, part.start) > 0.9


def _likeness(wanted, heard, start):
    """The largest correlation at any lag up to 2,500 samples."""
    start = start % len(heard)
    around = heard[max(0, start - 2500) : start + len(wanted) + 2500].astype(float)
    windows = np.lib.stride_tricks.sliding_window_view(around, len(wanted))
    norms = np.linalg.norm(windows, axis=1) * np.linalg.norm(wanted)
    return float((windows @ wanted / np.maximum(norms, 1e-9)).max())


@pytest.mark.parametrize(
    "between",
    [b"", _ID3V2, _ID3V1, _APE, _ID3V1 + _ID3V2, _APE + _ID3V1, bytes(3000), b"x" * 300, b"LYRICSBEGINlaLYRICSEND"],
    ids=["nothing", "ID3v2", "ID3v1", "APE", "ID3v1 and v2", "APE and ID3v1", "zeros", "bytes", "Lyrics3"],
)  # fmt: skip
@pytest.mark.parametrize("info", [True, False], ids=["Info", "bare"])
def test_mp3s_one_after_the_other(between, info):
    parts = (_MP3_SPOT, _MP3_SHOW) if info else (_bare(_MP3_SPOT), _bare(_MP3_SHOW))
    _assert_hears(decode(between.join(parts), "track", _SPEC), _BOTH, seconds=0.1)


def test_many_mp3s():
    parts = [_ID3V2 + _mp3(_music(0.5, detune=1 + i / 7)) for i in range(12)]
    audio = decode(b"".join(parts), "track", _SPEC)
    assert audio.duration_seconds == pytest.approx(12 * 0.5, abs=12 * 0.05)
    assert "12 MPEG streams" in audio.fallback
    assert audio.decoder.startswith("ffmpeg mp3")


def test_a_mono_spot_before_a_stereo_show():
    mono = _mp3(_SPOT.mean(axis=1))
    _assert_hears(decode(mono + _ID3V2 + _MP3_SHOW, "track", _SPEC), _BOTH, seconds=0.1)


def test_mp3s_of_two_rates():
    show = _mp3(_music(4.0, 1.5, 48000), rate_hz=48000)
    _assert_hears(decode(_MP3_SPOT + show, "track", _SPEC), _BOTH, seconds=0.1)


def test_a_tag_with_nothing_behind_it_is_an_end():
    for end in (_ID3V1, _APE, _APE + _ID3V1, _ID3V2, _ID3V1 + bytes(4000)):
        audio = decode(_MP3_SHOW + end, "track", _SPEC)
        assert audio.duration_seconds == pytest.approx(4.0, abs=1e-3)


def test_a_last_mp3_that_is_cut():
    with pytest.raises(BadTrack, match=r"TRUNCATED: track: .* MPEG frames are there"):
        decode(_MP3_SPOT + _ID3V2 + _MP3_SHOW[:-8000], "track", _SPEC)


@pytest.mark.parametrize("front", [b"x" * 300, bytes(3000), b"\xff" * 500, bytes(200_000)], ids=len)
def test_bytes_before_the_first_frame(front):
    for tag in (b"", _ID3V2):
        _assert_hears(decode(tag + front + _MP3_SHOW, "track", _SPEC), _SHOW)


def test_zeros_behind_an_mp3_without_a_header():
    _assert_hears(decode(_bare(_MP3_SHOW) + bytes(4096), "track", _SPEC), _SHOW)


def test_a_header_that_says_nothing():
    data = _mp3(_SHOW, "VARIABLE")
    place = data.index(b"Xing") + 8
    _assert_hears(decode(data[:place] + bytes(8) + data[place + 8 :], "track", _SPEC), _SHOW)


def test_an_mp3_that_was_captured_begins_and_ends_inside_a_frame():
    stream = _bare(_MP3_SHOW)
    audio = decode(stream[5000:-5200], "track", _SPEC)
    assert audio.duration_seconds == pytest.approx(4.0 * (len(stream) - 10_200) / len(stream), abs=0.1)
    assert _reason(stream[:-5200]) == "TRUNCATED"


def test_a_hole_is_not_passed_over():
    # Frames that lie on both sides of bytes that are none: the music goes on, but later.
    data = _bare(_MP3_SHOW)
    with pytest.raises(BadTrack):
        decode(data[:20_000] + bytes(8000) + data[28_000:], "track", _SPEC)


def test_an_mp3_without_audio():
    bare, frame = _bare(_MP3_SPOT), bytearray(_MP3_SPOT[: mpeg.first_frame(_MP3_SPOT, 4)])
    assert _reason(bare[: mpeg.first_frame(bare, 4) + 1]) == "TOO_SHORT"
    place = frame.index(b"Info") + 8
    frame[place : place + 8] = bytes(8)
    assert _reason(bytes(frame)) == "EMPTY"


def _reason(data):
    with pytest.raises(BadTrack) as caught:
        extract(data, "track", _SPEC)
    return caught.value.reason


# Containers that say how long each of their parts is.


def _ogg(samples, codec, rate_hz=48000):
    if codec == "vorbis":
        return signals.encode(samples, rate_hz, "ogg", "VORBIS")
    return signals.encode_foreign(f"ogg, {codec}", samples, rate_hz)


@pytest.mark.parametrize("codec", ["vorbis", "opus", "flac"])
def test_chained_ogg(codec):
    parts = [_ogg(_music(s, detune, 48000), codec) for s, detune in ((1.0, 1.0), (4.0, 1.5))]
    audio = decode(b"".join(parts), "track", _SPEC)
    _assert_hears(audio, np.concatenate([_music(1.0, 1.0, 48000), _music(4.0, 1.5, 48000)]), 48000)
    alone = [decode(part, "track", _SPEC).samples for part in parts]
    np.testing.assert_array_equal(audio.samples, np.concatenate(alone))


def test_links_of_another_rate_or_codec():
    parts = [
        signals.encode(_music(1.0), _RATE_HZ, "ogg", "VORBIS"),
        _ogg(_music(2.0, 1.2, 48000), "opus"),
        signals.encode(_music(1.0, 1.5, 22050)[:, 0], 22050, "ogg", "VORBIS"),
    ]
    audio = decode(b"".join(parts), "track", _SPEC)
    assert audio.duration_seconds == pytest.approx(4.0, abs=0.03)
    assert len(audio.samples) == pytest.approx(4.0 * 22050, abs=700)


def test_a_link_that_does_not_say_it_ends():
    # Of a recorded web radio. Where a file ends between two pages nothing says that more was to come.
    first, last = (_ogg(_music(1.0, detune, 48000), "vorbis") for detune in (1.0, 1.5))
    assert decode(_without_end(first) + last, "track", _SPEC).duration_seconds == pytest.approx(2.0, abs=0.03)
    assert decode(first + _without_end(last), "track", _SPEC).duration_seconds == pytest.approx(2.0, abs=0.03)
    for cut in (10, 1000, len(last) - last.rindex(b"OggS") - 10):
        assert _reason(first + last[:-cut]) == "TRUNCATED"


def test_a_page_of_a_link_that_is_cut_by_the_next():
    first, last = (_ogg(_music(2.0, detune, 48000), "vorbis") for detune in (1.0, 1.5))
    cut = _without_end(first)[:-500]
    audio = decode(cut + last, "track", _SPEC)
    assert 2.0 < audio.duration_seconds < 4.0
    np.testing.assert_array_equal(audio.samples[-30_000:], decode(last, "track", _SPEC).samples[-30_000:])


def _without_end(data):
    """The ogg file without the flag of its last page, whose checksum is made anew (RFC 3533, section 6)."""
    start = data.rindex(b"OggS")
    page = bytearray(data[start:])
    page[5] &= ~4
    page[22:26] = bytes(4)
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum & 0x80000000 else 0)) & 0xFFFFFFFF
    page[22:26] = struct.pack("<I", checksum)
    return data[:start] + bytes(page)


@pytest.mark.parametrize("file_format", ["flac", "wav"])
def test_lossless_files_one_after_the_other(file_format):
    parts = [signals.encode(samples, _RATE_HZ, file_format) for samples in (_SPOT, _SHOW)]
    for between in (b"", _ID3V2, _ID3V1):
        audio = decode(between.join(parts), "track", _SPEC)
        alone = [decode(part, "track", _SPEC).samples for part in parts]
        np.testing.assert_array_equal(audio.samples, np.concatenate(alone))


@pytest.mark.parametrize("file_format", ["wav", "aiff", "au", "flac", "ogg", "w64", "caf", "RF64"])
@pytest.mark.parametrize("content", [0, 10, 70_000])
def test_behind_an_id3_tag(file_format, content):
    plain = signals.encode(_SPOT, _RATE_HZ, file_format)
    size = bytes([content >> 21 & 127, content >> 14 & 127, content >> 7 & 127, content & 127])
    tagged = decode(b"ID3\x04\x00\x00" + size + bytes(content) + plain, "track", _SPEC)
    np.testing.assert_array_equal(tagged.samples, decode(plain, "track", _SPEC).samples)


@pytest.mark.parametrize("kind", ["m4a, aac", "webm, opus", "aac without a container", "wma"])
def test_what_ffmpeg_reads_behind_an_id3_tag(kind):
    plain = signals.encode_foreign(kind, _music(1.0, rate_hz=48000))
    tagged = decode(_ID3V2 + plain, "track", _SPEC)
    np.testing.assert_array_equal(tagged.samples, decode(plain, "track", _SPEC).samples)


_WAV = signals.encode(_SPOT, _RATE_HZ, "wav")


@pytest.mark.parametrize(
    "size", [0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFF000, len(_WAV), len(_WAV) - 44 + 8]
)
@pytest.mark.parametrize("riff", [None, 0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_sizes_of_writers_to_a_pipe(size, riff):
    head = _WAV[:4] + struct.pack("<I", len(_WAV) - 8 if riff is None else riff) + _WAV[8:40]
    audio = decode(head + struct.pack("<I", size) + _WAV[44:], "track", _SPEC)
    np.testing.assert_array_equal(audio.samples, decode(_WAV, "track", _SPEC).samples)


def test_a_wav_with_nothing_in_it():
    assert _reason(_WAV[:40] + bytes(4) + b"LIST" + struct.pack("<I", 4) + b"INFO") == "TOO_SHORT"


def test_sizes_with_the_header_subtracted():
    head = _WAV[:4] + struct.pack("<I", 0x80000000) + _WAV[8:40] + struct.pack("<I", 0x80000000 - 36)
    audio = decode(head + _WAV[44:], "track", _SPEC)
    np.testing.assert_array_equal(audio.samples, decode(_WAV, "track", _SPEC).samples)


def test_bw64():
    samples = struct.pack("<QQQI", len(_WAV), len(_WAV) - 44, len(_SPOT), 0)
    data = b"BW64" + b"\xff" * 4 + b"WAVEds64" + struct.pack("<I", 28) + samples
    data += _WAV[12:40] + b"\xff" * 4 + _WAV[44:]
    audio = decode(data, "track", _SPEC)
    np.testing.assert_array_equal(audio.samples, decode(_WAV, "track", _SPEC).samples)
    assert audio.fallback
    assert _reason(data[:-30_000]) == "TRUNCATED"


@pytest.mark.parametrize("kind", ["caf, alac", "wav, mp3", "ogg, flac"])
def test_what_libsndfile_reads_not_or_in_part(kind):
    music = _music(2.0, rate_hz=48000)
    data = signals.encode_foreign(kind, music)
    _assert_hears(decode(data, "track", _SPEC), music, 48000)
    with pytest.raises(BadTrack) as bad:
        decode(data[: len(data) // 2], "track", _SPEC)
    assert bad.value.reason == "TRUNCATED"


_FLAC = signals.encode(_SHOW, _RATE_HZ, "flac")


@pytest.mark.parametrize("end", [_ID3V1, b"x", bytes(5000), _APE], ids=["ID3v1", "a byte", "zeros", "APE"])
def test_a_flac_with_something_behind_it(end):
    whole = decode(_FLAC, "track", _SPEC)
    audio = decode(_FLAC + end, "track", _SPEC)
    np.testing.assert_array_equal(audio.samples, whole.samples)
    assert audio.fallback is None
    unknown = _FLAC[:21] + bytes([_FLAC[21] & 0xF0]) + bytes(4) + _FLAC[26:]
    np.testing.assert_array_equal(decode(unknown, "track", _SPEC).samples, whole.samples)


def test_flac_frames_without_a_header():
    first = _FLAC.index(b"\xff\xf8", 42)
    for front in (b"", b"junk" * 25):
        _assert_hears(decode(front + _FLAC[first:], "track", _SPEC), _SHOW)


def test_the_frames_of_a_flac_say_how_long_it_is():
    unknown = _FLAC[:21] + bytes([_FLAC[21] & 0xF0]) + bytes(4) + _FLAC[26:]
    assert structure(unknown, sniff(unknown)).seconds == pytest.approx(4.0, abs=1e-9)


@pytest.mark.parametrize("file_format", ["aiff", "au", "w64", "caf"])
def test_other_chunks_one_after_the_other(file_format):
    parts = [signals.encode(samples, _RATE_HZ, file_format) for samples in (_SPOT, _SHOW)]
    audio = decode(b"".join(parts), "track", _SPEC)
    alone = [decode(part, "track", _SPEC).samples for part in parts]
    np.testing.assert_array_equal(audio.samples, np.concatenate(alone))


@pytest.mark.parametrize("kind", ["m4a, aac", "m4a, alac", "wma", "webm, opus", "matroska, pcm", "caf, alac"])
def test_what_ffmpeg_reads_one_after_the_other(kind):
    parts = [signals.encode_foreign(kind, _music(s, rate_hz=48000)) for s in (1.0, 2.0)]
    audio = decode(b"".join(parts), "track", _SPEC)
    alone = [decode(part, "track", _SPEC).samples for part in parts]
    np.testing.assert_array_equal(audio.samples, np.concatenate(alone))


def test_opus_is_the_same_in_every_container():
    """In speech mode, where the decoders that one could take differ by a fifth. PyAV's webm does not say the delay."""
    voice = _music(3.0, rate_hz=48000)
    ogg = signals.encode_foreign("ogg, opus", voice, options={"application": "voip"}, bit_rate=24_000)
    webm = io.BytesIO()
    with av.open(io.BytesIO(ogg)) as source, av.open(webm, "w", format="webm") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    spec = replace(_SPEC, sample_rate=48000)
    first, second = decode(ogg, "track", spec), decode(webm.getvalue(), "track", spec)
    assert (first.decoder, second.decoder) == ("libsndfile ogg/opus", "ffmpeg libopus")
    n = 100_000
    apart = min(
        np.abs(first.samples[1000 : 1000 + n] - second.samples[1000 + lag : 1000 + lag + n]).max()
        for lag in range(-700, 700)
    )
    assert apart < 1e-4


@pytest.mark.parametrize("kind", ["wma", "webm, opus", "matroska, pcm"])
def test_the_duration_that_a_container_states(kind):
    data = signals.encode_foreign(kind, _music(2.0, rate_hz=48000))
    assert structure(data, sniff(data)).seconds == pytest.approx(2.0, abs=0.1)


def test_a_guessed_length_is_not_too_long():
    # By its first frames libsndfile takes it for half as long again.
    quiet = np.concatenate(
        [np.zeros((2 * _RATE_HZ, 2), np.float32), signals.noise(2.0, _RATE_HZ)[:, None] * [1, 1]]
    )
    data = _bare(_mp3(quiet.astype(np.float32), "VARIABLE"))
    with sf.SoundFile(io.BytesIO(data)) as file:
        guess = file.frames / _RATE_HZ
    assert guess > 5.0
    spec = FeatureSpec(max_seconds=5.0)
    assert decode(data, "track", spec).duration_seconds == pytest.approx(4.0, abs=0.1)


def test_a_first_excerpt_of_joined_files():
    spec = FeatureSpec(excerpt="first", excerpt_seconds=2.0)
    for parts in ([_MP3_SPOT, _MP3_SHOW], [_FLAC, _FLAC], [_ogg(_music(1.0, rate_hz=48000), "vorbis")] * 4):
        data = b"".join(parts)
        whole = extract(data, "track", _SPEC)
        first = extract(data, "track", spec)
        assert len(first.frames) == 1 + 2 * 22050 // 512
        np.testing.assert_allclose(first.frames[:60, 0], whole.frames[:60, 0], atol=0.5)


def test_another_container_behind_other_bytes_is_not_its_frames():
    for data in (_ogg(_music(1.0, rate_hz=48000), "flac"), _FLAC):
        assert _reason(_ID3V1 + data) == "NOT_AUDIO"


def test_positions_that_go_back_are_counted():
    # Two Vorbis streams under one serial number and one header, as an editor puts pieces together.
    one = _ogg(_music(2.0, rate_hz=48000), "vorbis")
    pages = [place for place in range(len(one)) if one.startswith(b"OggS", place)]
    again = one + one[pages[2] :]
    assert structure(again, "ogg").seconds == pytest.approx(4.0, abs=0.5)


def test_what_looks_like_a_frame_of_a_flac_and_has_another_number_is_none():
    unknown = _FLAC[:21] + bytes([_FLAC[21] & 0xF0]) + bytes(4) + _FLAC[26:]
    first = unknown.index(b"\xff\xf8", 42)
    again = unknown + bytes(100) + unknown[first : first + 32]
    assert structure(again, "flac").seconds == pytest.approx(4.0, abs=1e-9)


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7])
def test_one_damaged_block_inside_a_flac_is_not_cut_out(place):
    at = int(place * len(_FLAC))
    with pytest.raises(BadTrack) as bad:
        decode(_FLAC[:at] + bytes([_FLAC[at] ^ 0x10]) + _FLAC[at + 1 :], "track", _SPEC)
    assert bad.value.reason == "DECODE_ERROR"
