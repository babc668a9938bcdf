"""The bytes of an audio file -> a mono waveform at the specification's rate, in bounded memory."""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from features import mp3
from features.containers import foreign_audio, missing_end, sniff
from features.errors import BadTrack
from features.spec import FeatureSpec

_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF", "AU"})
_RATES_HZ = (1000, 768_000)
_MAX_CHANNELS = 64
_BLOCK_SAMPLES = 1 << 17  # of all channels together
_UNKNOWN_LENGTH = 1 << 62  # libsndfile reports about 2^63 frames where the file does not say


@dataclass(frozen=True)
class Audio:
    """A decoded track: samples (n,) float32 mono at the specification's rate, and what its source was."""

    samples: NDArray[np.float32]
    source_samples: int
    source_rate: int
    channels: int
    decoder: str

    @property
    def duration_seconds(self) -> float:
        return self.source_samples / self.source_rate


class _Bytes(io.BytesIO):
    """A file in memory that stays where it is when a broken header leads before its start.

    An exception would be printed with its traceback and dropped by soundfile's callback.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return self.tell()


class _InOrder(sf.SoundFile):
    """A sound file read once from start to end.

    soundfile seeks to where it already is after every read of a seekable file, and that empties mpg123's bit
    reservoir: each block of an mp3 would begin with damaged frames.
    """

    def seekable(self) -> bool:
        return False


def decode(data: bytes, name: str, spec: FeatureSpec) -> Audio:
    """Decode a whole file; `name` is for messages only.

    Memory: the resampled waveform twice and one block; what a header promises is not allocated.
    Raises BadTrack, whatever the decoder raises.
    """
    if not data:
        raise BadTrack("EMPTY", f"{name}: 0 bytes")
    missing = missing_end(data)
    if missing:
        raise BadTrack("TRUNCATED", f"{name}: {missing}")
    stream = _Bytes(data)
    try:
        with _open(stream, name) as file:
            audio = _read(file, name, spec)
            _refuse_short(file, audio, data, name)
            return audio
    except sf.LibsndfileError as error:
        # A flac that ends inside a frame: the decoder fails after the last byte, wanting more.
        is_cut = sniff(data) == "flac" and stream.tell() >= len(data)
        reason = "TRUNCATED" if is_cut else "DECODE_ERROR"
        raise BadTrack(reason, f"{name}: {error.error_string}") from error
    except (sf.SoundFileError, OSError, RuntimeError, ValueError) as error:
        raise BadTrack("DECODE_ERROR", f"{name}: {error}") from error


def _open(stream: io.BytesIO, name: str) -> sf.SoundFile:
    """Raises BadTrack where no decoder knows the content; libsndfile's errors on known content pass."""
    try:
        file = _InOrder(stream)
    except sf.SoundFileError:
        data = stream.getvalue()
        foreign = foreign_audio(data)
        if foreign:
            raise BadTrack("DECODE_ERROR", f"{name}: no decoder for {foreign}") from None
        if sniff(data) is None:
            raise BadTrack("NOT_AUDIO", f"{name}: no decoder recognises the content") from None
        raise
    if file.format not in _FORMATS:
        file.close()
        raise BadTrack("DECODE_ERROR", f"{name}: the container {file.format} is not among those read")
    return file


def _read(file: sf.SoundFile, name: str, spec: FeatureSpec) -> Audio:
    _refuse_implausible(file, name)
    max_frames = int(spec.max_seconds * file.samplerate)
    if max_frames < file.frames < _UNKNOWN_LENGTH:
        raise _too_long(name, spec)
    resampler = _Resampler(file.samplerate, spec)
    decoded = 0
    for mono in _mono_blocks(file):
        if not np.isfinite(mono).all():
            raise BadTrack("NON_FINITE", f"{name}: NaN or infinite samples after {decoded} frames")
        decoded += len(mono)
        if decoded > max_frames:
            raise _too_long(name, spec)
        resampler.push(mono)
    return Audio(
        samples=resampler.finish(),
        source_samples=decoded,
        source_rate=file.samplerate,
        channels=file.channels,
        decoder=f"libsndfile {file.format.lower()}/{file.subtype.lower()}",
    )


def _refuse_short(file: sf.SoundFile, audio: Audio, data: bytes, name: str) -> None:
    """Raises BadTrack where the decoder stopped early without an error."""
    message = f"{name}: {audio.source_samples} samples of at least {{}} could be decoded"
    if file.format == "MP3":
        # The count in an Info header may be stale, and without one libsndfile guesses and stops there.
        expected = mp3.fewest_samples(data)
        if audio.source_samples < expected:
            raise BadTrack("DECODE_ERROR", message.format(expected))
    elif audio.source_samples < file.frames < _UNKNOWN_LENGTH:
        raise BadTrack("TRUNCATED", message.format(file.frames))


def _refuse_implausible(file: sf.SoundFile, name: str) -> None:
    low, high = _RATES_HZ
    if not low <= file.samplerate <= high:
        raise BadTrack("DECODE_ERROR", f"{name}: sample rate {file.samplerate} Hz is not in {low}..{high}")
    if not 1 <= file.channels <= _MAX_CHANNELS:
        raise BadTrack("DECODE_ERROR", f"{name}: {file.channels} channels are not in 1..{_MAX_CHANNELS}")


def _too_long(name: str, spec: FeatureSpec) -> BadTrack:
    return BadTrack("TOO_LONG", f"{name}: longer than {spec.max_seconds:g} s")


def _mono_blocks(file: sf.SoundFile) -> Iterator[NDArray[np.float32]]:
    """The channels' mean, block after block: float32 (n,), n > 0."""
    buffer = np.empty((_BLOCK_SAMPLES // file.channels, file.channels), np.float32)
    while True:
        block = np.asarray(file.read(out=buffer), np.float32)
        if len(block) > 0:
            yield _to_mono(block)
        if len(block) < len(buffer):
            return


def _to_mono(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """`librosa.to_mono` of (n, channels), ten times faster: columns are added in order, then divided."""
    mono = block[:, 0].copy()
    # inf - inf is reported as NON_FINITE by the caller
    with np.errstate(over="ignore", invalid="ignore"):
        for channel in range(1, block.shape[1]):
            mono += block[:, channel]
    mono /= np.float32(block.shape[1])
    return mono


class _Resampler:
    """soxr's resampling of a stream: equal, bit for bit, to `librosa.resample` of the whole waveform."""

    def __init__(self, source_rate: int, spec: FeatureSpec) -> None:
        self._ratio = spec.sample_rate / source_rate
        self._stream = None
        if source_rate != spec.sample_rate:
            self._stream = soxr.ResampleStream(
                source_rate, spec.sample_rate, 1, dtype="float32", quality=spec.resample_quality
            )
        self._pushed = 0
        self._blocks: list[NDArray[np.float32]] = []

    def push(self, mono: NDArray[np.float32]) -> None:
        self._pushed += len(mono)
        self._blocks.append(self._stream.resample_chunk(mono) if self._stream else mono)

    def finish(self) -> NDArray[np.float32]:
        """The whole result: ceil(samples x ratio) of them, cut or padded by zeros as librosa does."""
        if self._stream and self._pushed:
            self._blocks.append(self._stream.resample_chunk(np.empty(0, np.float32), last=True))
        samples = np.zeros(math.ceil(self._pushed * self._ratio), np.float32)
        filled = 0
        for block in self._blocks:
            part = block[: len(samples) - filled]
            samples[filled : filled + len(part)] = part
            filled += len(part)
        return samples
