"""The bytes of an audio file -> a mono waveform at the specification's rate, in bounded memory."""

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import soundfile as sf
import soxr
from numba import njit
from numpy.typing import NDArray

from features.audio import ffmpeg
from features.audio.containers import MP3, UNREAD, Structure, content, sniff, structure
from features.audio.containers.tags import after_id3
from features.errors import BadTrack
from features.spec import FeatureSpec

_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF"})
_RATES_HZ = (1000, 768_000)
_MAX_CHANNELS = 64
_BLOCK_SAMPLES = 1 << 17  # of all channels together
_MARGIN_SECONDS = 0.5
_UNKNOWN_LENGTH = 1 << 62  # libsndfile reports about 2^63 frames where the file does not say
_SLACK_SAMPLES = 4096  # encoder delay and padding that a decoder may or may not announce, or drop
_FINAL = ("NON_FINITE", "TOO_LONG")  # another decoder would say the same


@dataclass(frozen=True)
class Audio:
    """A decoded track: samples (n,) float32 mono at the specification's rate, and what its source was.

    missing_seconds: what the file's structure promises and no decoder gives, less than a packet. fallback: why the
    first decoder did not read the file, None where it did.
    """

    samples: NDArray[np.float32]
    duration_seconds: float
    source_rate: int
    channels: int
    decoder: str
    missing_seconds: float = 0.0
    fallback: str | None = None


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

    What libsndfile refuses, or reads less of than the file's structure promises, FFmpeg tries. Of files that follow
    one another in one, each is decoded, and their waveforms follow one another.
    Memory: the resampled waveform, at most a quarter more of it (of joined files twice), and a block; what a header
    promises is not allocated. Raises BadTrack, whatever the decoders raise.
    """
    if not data:
        raise BadTrack("EMPTY", f"{name}: 0 bytes")
    if after_id3(data) == len(data):
        raise BadTrack("EMPTY", f"{name}: {len(data)} bytes, all of them an ID3 tag")
    kind = sniff(data)
    audio = content(data, kind)
    promised = structure(audio, kind)
    if promised.cut:
        raise BadTrack("TRUNCATED", f"{name}: {promised.cut}")
    if not promised.parts:
        return _decode(audio, name, kind, promised, spec)
    return _joined(list(_parts(audio, name, kind, promised, spec)), name)


def _parts(data: bytes, name: str, kind: str | None, whole: Structure, spec: FeatureSpec) -> Iterator[Audio]:
    """Each of several files in one that has any samples, as far as an excerpt needs them."""
    seconds, count = 0.0, len(whole.parts)
    enough = spec.excerpt_seconds + _MARGIN_SECONDS if spec.excerpt == "first" else math.inf
    for number, part in enumerate(whole.parts, start=1):
        here = f"{name}: part {number} of {count}"
        if part.structure.cut:
            raise BadTrack("TRUNCATED", f"{here}: {part.structure.cut}")
        if part.structure.seconds == 0.0 or seconds >= enough:
            continue
        audio = _decode(data[part.start : part.end], here, kind, part.structure, spec)
        seconds += audio.duration_seconds
        if seconds > spec.max_seconds:
            raise _too_long(name, spec)
        yield audio


def _joined(parts: list[Audio], name: str) -> Audio:
    """Waveforms one after the other; the facts are those of the first, and what any of them lacks."""
    if not parts:
        raise BadTrack("EMPTY", f"{name}: several files in one, all without a sample")
    return replace(
        parts[0],
        samples=np.concatenate([part.samples for part in parts]),
        duration_seconds=sum(part.duration_seconds for part in parts),
        missing_seconds=sum(part.missing_seconds for part in parts),
        fallback=next((part.fallback for part in parts if part.fallback), None),
    )


def _decode(data: bytes, name: str, kind: str | None, promised: Structure, spec: FeatureSpec) -> Audio:
    """One file by the first decoder that gives all of it. Raises BadTrack with the first one's reason."""
    refusals: list[BadTrack] = []
    for read in _decoders(kind, promised):
        try:
            audio = _checked(read(data, name, kind, promised, spec), promised, name)
        except BadTrack as bad:
            if bad.reason in _FINAL:
                raise
            refusals.append(bad)
            continue
        if kind in ffmpeg.FOREIGN or read is _by_libsndfile:
            return audio
        why = str(refusals[0].message if refusals else promised.unsuited)
        return replace(audio, fallback=why.removeprefix(f"{name}: "))
    raise _least(refusals[0], kind, promised, name, spec)


def _decoders(kind: str | None, promised: Structure) -> list[Any]:
    """In the order in which they are tried."""
    if kind in ffmpeg.FOREIGN or (promised.unsuited and kind in ffmpeg.FORMATS):
        return [_by_ffmpeg]
    return [_by_libsndfile, _by_ffmpeg] if kind in ffmpeg.FORMATS else [_by_libsndfile]


def _checked(audio: Audio, promised: Structure, name: str) -> Audio:
    """The audio with what it lacks of the promise. Raises BadTrack where that is more than a packet."""
    lack = (promised.seconds or 0.0) - audio.duration_seconds
    if lack > promised.packet_seconds:
        message = (
            f"{name}: {audio.duration_seconds:.3f} s of at least {promised.seconds:.3f} could be decoded"
        )
        raise BadTrack("TRUNCATED", message)
    return replace(audio, missing_seconds=round(max(0.0, lack - 0.5 / audio.source_rate), 6))


def _least(first: BadTrack, kind: str | None, promised: Structure, name: str, spec: FeatureSpec) -> BadTrack:
    """What is said of a file that no decoder reads: the first one's reason, or that an mp3 has too little in it."""
    needed = spec.least_seconds
    if kind == MP3 and promised.seconds is not None and promised.seconds < needed:
        reason = "TOO_SHORT" if promised.seconds else "EMPTY"
        return BadTrack(reason, f"{name}: {promised.seconds:.3f} s of audio, {needed:.3f} s are needed")
    return first


def _by_libsndfile(data: bytes, name: str, kind: str | None, promised: Structure, spec: FeatureSpec) -> Audio:
    stream = _Bytes(data)
    try:
        with _open(stream, name, kind) as file:
            source = _Source.of_libsndfile(file)
            if file.format == "MP3":  # what it announces is a guess, or the count of an old header
                source = replace(source, n_samples=_samples(promised, source.rate))
            audio = _read(source, name, spec)
    except sf.LibsndfileError as error:
        # A flac that ends inside a frame: the decoder fails after the last byte, wanting more.
        is_cut = kind == "flac" and stream.tell() >= len(data)
        reason = "TRUNCATED" if is_cut else "DECODE_ERROR"
        raise BadTrack(reason, f"{name}: {error.error_string}") from error
    except (sf.SoundFileError, OSError, RuntimeError, ValueError) as error:
        raise BadTrack("DECODE_ERROR", f"{name}: {error}") from error
    return _checked(audio, _announced(source), name)


def _by_ffmpeg(data: bytes, name: str, kind: str, promised: Structure, spec: FeatureSpec) -> Audio:
    length_known = promised.seconds is not None
    try:
        with ffmpeg.opened(io.BytesIO(data), name, kind, length_known) as file:
            mono = (mean_of_channels(block) for block in file.blocks())
            announced = file.n_samples or _samples(promised, file.rate)
            source = _Source(file.rate, file.channels, announced, file.decoder, mono)
            audio = _read(source, name, spec)
    except (OSError, RuntimeError, ValueError) as error:
        raise BadTrack("DECODE_ERROR", f"{name}: {error}") from error
    return _checked(audio, _announced(source), name)


def _samples(promised: Structure, rate: int) -> int | None:
    return None if promised.seconds is None else round(promised.seconds * rate)


def _announced(source: "_Source") -> Structure:
    """What is known of the length before anything is decoded, less precise than the structure's promise."""
    return Structure(
        seconds=(source.n_samples or 0) / source.rate, packet_seconds=_SLACK_SAMPLES / source.rate
    )


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


def _open(stream: io.BytesIO, name: str, kind: str | None) -> sf.SoundFile:
    """Raises BadTrack where no decoder knows the content; libsndfile's errors on known content pass."""
    try:
        file = _InOrder(stream)
    except sf.SoundFileError:
        if kind in UNREAD:
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
            decoded = max(decoded, source.n_samples or 0)
            break
    return Audio(resampler.finish(), decoded / source.rate, *source.facts())


def _enough(source: _Source, spec: FeatureSpec) -> float:
    """Source samples that give the excerpt's, were the rest of the file not there; infinite where all are needed.

    The margin keeps what the resampler makes of the end away from it.
    """
    if spec.excerpt != "first" or source.n_samples is None:
        return math.inf
    return (spec.excerpt_seconds + _MARGIN_SECONDS) * source.rate


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
    # A flac is asked for what it states, not for more: behind that may stand a tag, which is an error to libsndfile.
    left = file.frames if file.format == "FLAC" else _UNKNOWN_LENGTH
    while left > 0:
        wanted = buffer[:left]
        block = file.read(out=wanted)
        left -= len(block)
        if len(block) > 0:
            yield mean_of_channels(block, 2.0**-15 if is_short else 1.0)
        if len(block) < len(wanted):
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
