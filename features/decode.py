"""The bytes of an audio file -> a mono waveform at the specification's rate, in bounded memory."""

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile as sf
import soxr
from numba import njit
from numpy.typing import NDArray

from features import foreign, mp3
from features.containers import FOREIGN, missing_end, sniff
from features.errors import BadTrack
from features.spec import FeatureSpec

_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF", "AU"})
_RATES_HZ = (1000, 768_000)
_MAX_CHANNELS = 64
_BLOCK_SAMPLES = 1 << 17  # of all channels together
_MARGIN_SECONDS = 0.5
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
    """Decode a whole file, or as much of it as a `first` excerpt needs; `name` is for messages only.

    Memory: the resampled waveform, at most a quarter more of it, and a block; what a header promises is not allocated.
    Raises BadTrack, whatever the decoder raises.
    """
    if not data:
        raise BadTrack("EMPTY", f"{name}: 0 bytes")
    if mp3.after_id3(data) == len(data):
        raise BadTrack("EMPTY", f"{name}: {len(data)} bytes, all of them an ID3 tag")
    kind = sniff(data)
    missing = missing_end(data, kind)
    if missing:
        raise BadTrack("TRUNCATED", f"{name}: {missing}")
    stream = _Bytes(data)
    try:
        if kind is not None and kind in foreign.FORMATS:
            return _decode_foreign(stream, name, kind, spec)
        with _open(stream, name, kind) as file:
            audio = _read(_Source.of_libsndfile(file), name, spec)
            _refuse_short(file, audio, data, name)
            return audio
    except sf.LibsndfileError as error:
        # A flac that ends inside a frame: the decoder fails after the last byte, wanting more.
        is_cut = kind == "flac" and stream.tell() >= len(data)
        reason = "TRUNCATED" if is_cut else "DECODE_ERROR"
        raise BadTrack(reason, f"{name}: {error.error_string}") from error
    except (sf.SoundFileError, OSError, RuntimeError, ValueError) as error:
        raise BadTrack("DECODE_ERROR", f"{name}: {error}") from error


@dataclass(frozen=True)
class _Source:
    """An open file: its rate in Hz, channels, samples a channel (None: it does not say), and its mono blocks."""

    rate: int
    channels: int
    n_samples: int | None
    decoder: str
    blocks: Iterable[NDArray[np.float32]]

    def facts(self) -> tuple[int, int, str]:
        """Rate, channels, decoder."""
        return self.rate, self.channels, self.decoder

    @classmethod
    def of_libsndfile(cls, file: sf.SoundFile) -> "_Source":
        known = file.frames if file.frames < _UNKNOWN_LENGTH else None
        decoder = f"libsndfile {file.format.lower()}/{file.subtype.lower()}"
        return cls(file.samplerate, file.channels, known, decoder, _mono_blocks(file))


def _decode_foreign(stream: io.BytesIO, name: str, container: str, spec: FeatureSpec) -> Audio:
    with foreign.opened(stream, name, container) as file:
        mono = (mean_of_channels(block) for block in file.blocks())
        audio = _read(_Source(file.rate, file.channels, file.n_samples, file.decoder, mono), name, spec)
    if file.n_samples is not None and audio.source_samples < file.n_samples - foreign.SLACK_SAMPLES:
        message = f"{name}: {audio.source_samples} samples of {file.n_samples} could be decoded"
        raise BadTrack("TRUNCATED", message)
    return audio


def _open(stream: io.BytesIO, name: str, kind: str | None) -> sf.SoundFile:
    """Raises BadTrack where no decoder knows the content; libsndfile's errors on known content pass."""
    try:
        file = _InOrder(stream)
    except sf.SoundFileError:
        if kind in FOREIGN:
            raise BadTrack("DECODE_ERROR", f"{name}: no decoder for {kind}") from None
        if kind is None:
            raise BadTrack("NOT_AUDIO", f"{name}: no decoder recognises the content") from None
        raise
    if file.format not in _FORMATS:
        file.close()
        raise BadTrack("DECODE_ERROR", f"{name}: the container {file.format} is not among those read")
    return file


def _read(source: _Source, name: str, spec: FeatureSpec) -> Audio:
    _refuse_implausible(source, name)
    max_frames = int(spec.max_seconds * source.rate)
    if source.n_samples is not None and source.n_samples > max_frames:
        raise _too_long(name, spec)
    resampler, enough = _Resampler(source.rate, spec), _enough(source, spec)
    decoded = 0
    for mono in source.blocks:
        if not np.isfinite(mono).all():
            raise BadTrack("NON_FINITE", f"{name}: NaN or infinite samples after {decoded} frames")
        decoded += len(mono)
        if decoded > max_frames:
            raise _too_long(name, spec)
        resampler.push(mono)
        if decoded >= enough:
            return Audio(resampler.finish(), max(decoded, source.n_samples or 0), *source.facts())
    return Audio(resampler.finish(), decoded, *source.facts())


def _enough(source: _Source, spec: FeatureSpec) -> float:
    """Source samples that give the excerpt's, were the rest of the file not there; infinite where all are needed.

    The margin keeps what the resampler makes of the end away from it.
    """
    if spec.excerpt != "first" or source.n_samples is None:
        return math.inf
    return (spec.excerpt_seconds + _MARGIN_SECONDS) * source.rate


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


def _refuse_implausible(source: _Source, name: str) -> None:
    low, high = _RATES_HZ
    if not low <= source.rate <= high:
        raise BadTrack("DECODE_ERROR", f"{name}: sample rate {source.rate} Hz is not in {low}..{high}")
    if not 1 <= source.channels <= _MAX_CHANNELS:
        raise BadTrack("DECODE_ERROR", f"{name}: {source.channels} channels are not in 1..{_MAX_CHANNELS}")


def _too_long(name: str, spec: FeatureSpec) -> BadTrack:
    return BadTrack("TOO_LONG", f"{name}: longer than {spec.max_seconds:g} s")


def _mono_blocks(file: sf.SoundFile) -> Iterator[NDArray[np.float32]]:
    """The channels' mean, block after block: float32 (n,), n > 0.

    16-bit samples are read as they are, which libsndfile does ten times faster than it makes floats of them.
    """
    is_short = file.subtype == "PCM_16"
    buffer = np.empty((_BLOCK_SAMPLES // file.channels, file.channels), np.int16 if is_short else np.float32)
    while True:
        block = file.read(out=buffer)
        if len(block) > 0:
            yield mean_of_channels(block, 2.0**-15 if is_short else 1.0)
        if len(block) < len(buffer):
            return


def mean_of_channels(block: NDArray[Any], scale: float = 1.0) -> NDArray[np.float32]:
    """`librosa.to_mono` of (n, channels) times `scale`, thirty times faster: float32 (n,)."""
    mono = np.empty(len(block), np.float32)
    _mean_of_channels(block, np.float32(scale), mono)
    return mono


@njit(cache=True, error_model="numpy")
def _mean_of_channels(block, scale, mono):  # type: ignore[no-untyped-def]
    """Channels are added in order, then divided."""
    n_channels = block.shape[1]
    if n_channels == 2:
        for i in range(len(mono)):
            mono[i] = (np.float32(block[i, 0]) + np.float32(block[i, 1])) * np.float32(0.5) * scale
        return
    for i in range(len(mono)):
        total = np.float32(block[i, 0])
        for channel in range(1, n_channels):
            total += np.float32(block[i, channel])
        mono[i] = total / np.float32(n_channels) * scale


class _Resampler:
    """soxr's resampling of a stream: equal, bit for bit, to `librosa.resample` of the whole waveform."""

    def __init__(self, source_rate: int, spec: FeatureSpec) -> None:
        self._ratio = spec.sample_rate / source_rate
        self._stream = None
        if source_rate != spec.sample_rate:
            self._stream = soxr.ResampleStream(
                source_rate, spec.sample_rate, 1, dtype="float32", quality=spec.resample_quality
            )
        self._pushed = self._filled = 0
        self._samples = np.empty(_BLOCK_SAMPLES, np.float32)

    def push(self, mono: NDArray[np.float32]) -> None:
        self._pushed += len(mono)
        self._append(self._stream.resample_chunk(mono) if self._stream else mono)

    def finish(self) -> NDArray[np.float32]:
        """The whole result: ceil(samples x ratio) of them, cut or padded by zeros as librosa does."""
        if self._stream and self._pushed:
            self._append(self._stream.resample_chunk(np.empty(0, np.float32), last=True))
        self._samples[self._filled :] = 0.0
        self._resize(math.ceil(self._pushed * self._ratio))
        return self._samples

    def _append(self, block: NDArray[np.float32]) -> None:
        end = self._filled + len(block)
        if end > len(self._samples):
            self._resize(end + end // 4)
        self._samples[self._filled : end] = block
        self._filled = end

    def _resize(self, n_samples: int) -> None:
        """In place: the system moves the pages of a large array, it does not copy them. What is added is zero."""
        self._samples.resize(n_samples, refcheck=False)
