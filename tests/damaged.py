"""A folder of every kind of bad file that we know, each with the reason that it must get."""

import io
import struct

import numpy as np

from tests.features import signals

RATE_HZ = 44100


def _music(file_format: str, seconds: float = 2.0) -> bytes:
    samples = signals.stereo(signals.chords(seconds, RATE_HZ), RATE_HZ)
    return signals.encode(samples, RATE_HZ, file_format)


def _floats(samples: np.ndarray) -> bytes:
    return signals.encode(samples.astype(np.float32), 22050, "wav", "FLOAT")


def _patched(data: bytes, position: int, content: bytes) -> bytes:
    return data[:position] + content + data[position + len(content) :]


def _with(value: float) -> bytes:
    samples = signals.noise()
    samples[30000] = value
    return _floats(samples)


def _video() -> bytes:
    """An mp4 of a second of black frames without a sound track."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64  # pyright: ignore[reportAttributeAccessIssue]
        for _ in range(10):
            out.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))  # pyright: ignore
        out.mux(stream.encode())  # pyright: ignore
    return file.getvalue()


def damaged_files() -> dict[str, tuple[str, bytes]]:
    """name -> (reason, content)."""
    wav, mp3, flac, ogg = (_music(name) for name in ("wav", "mp3", "flac", "ogg"))
    m4a, wma = (
        signals.encode_foreign(kind, signals.stereo(signals.chords(2.0, 48000), 48000))
        for kind in ("m4a, aac", "wma")
    )
    long_flac = _music("flac", 5.0)
    tone = signals.sine(440.0)
    return {
        "empty.mp3": ("EMPTY", b""),
        "text.mp3": ("NOT_AUDIO", b"hello, world\n" * 1000),
        "text of 16 bits.mp3": ("NOT_AUDIO", "hello, world\n".encode("utf-16") * 1000),
        "noise.ogg": ("NOT_AUDIO", np.random.default_rng(0).bytes(50_000)),
        "picture.flac": ("NOT_AUDIO", b"\x89PNG\r\n\x1a\n" + bytes(5000)),
        "archive.wav": ("NOT_AUDIO", b"PK\x03\x04" + bytes(5000)),
        "page.mp3": ("NOT_AUDIO", b"<!DOCTYPE html><html><body>404 Not Found</body></html>"),
        "one byte.wav": ("NOT_AUDIO", b"R"),
        "zeros.wav": ("NOT_AUDIO", bytes(65536)),
        "only a tag.mp3": ("EMPTY", b"ID3\x03\x00\x00\x00\x00\x00\x10" + bytes(16)),
        "video without sound.mp4": ("NOT_AUDIO", _video()),
        "half.wav": ("TRUNCATED", wav[: len(wav) // 2]),
        "half.mp3": ("TRUNCATED", mp3[: len(mp3) // 2]),
        "half.flac": ("TRUNCATED", flac[: len(flac) // 2]),
        "half.ogg": ("TRUNCATED", ogg[: len(ogg) // 2]),
        "half.aiff": ("TRUNCATED", _music("aiff")[:90_000]),
        "half.au": ("TRUNCATED", _music("au")[:90_000]),
        "half.m4a": ("TRUNCATED", m4a[: len(m4a) // 2]),
        "half.wma": ("TRUNCATED", wma[: len(wma) // 2]),
        "more than a packet short.wav": ("TRUNCATED", wav[:-5000]),
        "more than a packet short.flac": ("TRUNCATED", flac[: -len(flac) // 5]),
        "half a header.wav": ("TRUNCATED", wav[:30]),
        "half a header.flac": ("TRUNCATED", flac[:30]),
        "half a tag.mp3": ("TRUNCATED", b"ID3\x03\x00\x00\x00\x01\x00\x00" + mp3[:2000]),
        "promises 4 GB.wav": ("TRUNCATED", _patched(wav, 40, struct.pack("<I", 0xFFFFFFF0))),
        "a hole.mp3": ("DECODE_ERROR", _patched(mp3, 12_000, bytes(8000))),
        "a damaged frame.flac": ("DECODE_ERROR", _patched(long_flac, 90_000, bytes(64))),
        "an unknown codec.wav": ("DECODE_ERROR", _patched(wav, 20, struct.pack("<H", 0x7777))),
        "a rate of 2 GHz.wav": ("DECODE_ERROR", _patched(wav, 24, struct.pack("<I", 2_000_000_000))),
        "a rate of 0.wav": ("DECODE_ERROR", _patched(wav, 24, struct.pack("<I", 0))),
        "100 channels.wav": (
            "DECODE_ERROR",
            _patched(wav, 22, struct.pack("<HIIH", 100, RATE_HZ, 8_820_000, 200)),
        ),
        "no channel.wav": ("DECODE_ERROR", _patched(wav, 22, struct.pack("<H", 0))),
        "another container.wav": ("DECODE_ERROR", _music("voc")),
        "leads before its start.aiff": ("DECODE_ERROR", _patched(_music("aiff"), 41, b"\x67")),
        "monkey.wav": ("DECODE_ERROR", b"MAC " + bytes(5000)),
        "only a beginning.wma": ("DECODE_ERROR", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(5000)),
        "notes.mp3": ("DECODE_ERROR", b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + bytes(500)),
        "speech.ogg": ("DECODE_ERROR", b"#!AMR\n" + bytes(500)),
        "silence.wav": ("SILENT", _floats(np.zeros(22050))),
        "silence.mp3": ("SILENT", signals.encode(np.zeros((44100, 2)), 44100, "mp3")),
        "below -80 dB.wav": ("SILENT", _floats(signals.sine(440.0, level=9e-5))),
        "channels that cancel.wav": ("SILENT", _floats(np.stack([tone, -tone], axis=1))),
        "not a number.wav": ("NON_FINITE", _with(np.nan)),
        "infinite.wav": ("NON_FINITE", _with(np.inf)),
        "beyond all measure.wav": ("NON_FINITE", _with(1e30)),
        "no sample.wav": ("TOO_SHORT", _floats(np.zeros(0))),
        "one sample.wav": ("TOO_SHORT", _floats(np.ones(1))),
        "eight frames.flac": ("TOO_SHORT", signals.encode(signals.noise()[:4095], 22050, "flac")),
        "a click.mp3": ("TOO_SHORT", signals.encode(signals.noise()[:2000], 44100, "mp3")),
        "three hours and a second.au": (
            "TOO_LONG",
            signals.encode(np.zeros(10_801_000), 1000, "au", "PCM_S8"),
        ),
        "promises 27 hours.flac": ("TOO_LONG", _patched(flac, 22, b"\xff\xff\xff\xff")),
        "kills the decoder.mp3": ("CRASH", b"fault: crash"),
        "hangs the decoder.mp3": ("TIMEOUT", b"fault: hang"),
        "takes all memory.mp3": ("OOM", b"fault: killed"),
        "asks for too much memory.mp3": ("OOM", b"fault: memory"),
    }
