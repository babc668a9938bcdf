"""Audio whose features can be foreseen, and its bytes in a file format."""

import io
from collections.abc import Iterator

import av
import numpy as np
import soundfile as sf

RATE_HZ = 22050


def sine(frequency_hz: float, seconds: float = 2.0, rate_hz: int = RATE_HZ, level: float = 0.5) -> np.ndarray:
    """(n_samples,) float32."""
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    return (level * np.sin(2 * np.pi * frequency_hz * time)).astype(np.float32)


def noise(seconds: float = 2.0, rate_hz: int = RATE_HZ, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """(n_samples,) float32."""
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal(int(seconds * rate_hz))).astype(np.float32)


def chords(seconds: float = 2.0, rate_hz: int = RATE_HZ, detune: float = 1.0) -> np.ndarray:
    """Two triads in turn with a soft beat: (n_samples,) float32."""
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    root = np.where(time % 1.0 < 0.5, 220.0, 261.63) * detune
    tone = sum(np.sin(2 * np.pi * root * step * time) / step for step in (1, 1.2, 1.5, 2, 3, 4))
    beat = np.exp(-20 * (time % 0.25)) * noise(seconds, rate_hz, 0.2)
    return (0.15 * tone + beat).astype(np.float32)


def stereo(mono: np.ndarray, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Two different channels: (n_samples, 2)."""
    other = noise(len(mono) / rate_hz, rate_hz, 0.05, seed=1)
    return np.stack([mono, 0.5 * mono + np.resize(other, len(mono))], axis=1)


def encode(samples: np.ndarray, rate_hz: int, file_format: str, subtype: str | None = None) -> bytes:
    """The bytes of an audio file."""
    file = io.BytesIO()
    sf.write(file, samples, rate_hz, format=file_format, subtype=subtype)
    return file.getvalue()


def damaged(data: bytes, times: int) -> Iterator[bytes]:
    """The file with a few bytes changed, every second time near its start."""
    rng = np.random.default_rng(7)
    for attempt in range(times):
        copy = bytearray(data)
        reach = min(200, len(data)) if attempt % 2 else len(data)
        for position in rng.integers(0, reach, rng.integers(1, 30)):
            copy[position] = rng.integers(256)
        yield bytes(copy)


FOREIGN = {
    "m4a, aac": ("ipod", "aac"),
    "m4a, alac": ("ipod", "alac"),
    "mp4, opus": ("mp4", "libopus"),
    "wma": ("asf", "wmav2"),
    "webm, opus": ("webm", "libopus"),
    "matroska, pcm": ("matroska", "pcm_s16le"),
    "aac without a container": ("adts", "aac"),
}
_OTHERS = {
    "ogg, opus": ("ogg", "libopus"),
    "ogg, flac": ("ogg", "flac"),
    "caf, alac": ("caf", "alac"),
    "wav, mp3": ("wav", "libmp3lame"),
}


def encode_foreign(
    kind: str,
    samples: np.ndarray,
    rate_hz: int = 48000,
    options: dict[str, str] | None = None,
    bit_rate: int = 128_000,
) -> bytes:
    """samples (n, 2) in [-1, 1] as the bytes of a file; options: the encoder's."""
    container, codec = {**FOREIGN, **_OTHERS}[kind]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate_hz, options=options or {})
        stream.layout, stream.bit_rate = "stereo", bit_rate  # pyright: ignore[reportAttributeAccessIssue]
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T, np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate = rate_hz
        convert = av.AudioResampler(stream.format, "stereo", rate_hz)  # pyright: ignore
        for part in [*convert.resample(frame), *convert.resample(None), None]:
            # The last packet of flac holds nothing but a new header, which Ogg refuses.
            out.mux([packet for packet in stream.encode(part) if packet.size])  # pyright: ignore
    return file.getvalue()
