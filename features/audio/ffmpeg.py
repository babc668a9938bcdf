"""Audio through FFmpeg (PyAV): what libsndfile does not know, and what it refuses or reads a part of.

PyAV is imported with the first such file: a pool of workers that meet none does not carry FFmpeg in its memory.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.audio.containers import AAC, MP3
from features.errors import BadTrack

FOREIGN = {"mp4/m4a": "mp4", "wma/asf": "asf", "matroska/webm": "matroska", AAC: "aac"}
# FFmpeg's demultiplexer for each of `containers.READERS`; never its own guess, which follows addresses in playlists.
FORMATS = {
    **FOREIGN,
    **{kind: kind for kind in (MP3, "wav", "w64", "aiff", "au", "caf", "flac", "ogg")},
}
_EXACT = ("mp4/m4a",)  # containers that state the length of a stream, not a guess from its bit rate


@dataclass(frozen=True)
class Opened:
    """An open file: rate in Hz, channels, samples a channel (None: the container does not say), the decoder's name."""

    rate: int
    channels: int
    n_samples: int | None
    decoder: str
    _frames: Iterator[Any]
    _name: str

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """(n, channels), n > 0, in order, at the rate of the first; channels may change between them.

        Raises BadTrack where the decoder fails.
        """
        import av

        for _, alike in groupby(self._frames, key=lambda frame: (frame.sample_rate, frame.layout.name)):
            to_planes = av.AudioResampler(format="fltp", rate=self.rate)
            for frame in alike:
                yield from _arrays(to_planes.resample(frame))
            yield from _arrays(to_planes.resample(None))


def _arrays(frames: list[Any]) -> Iterator[NDArray[np.float32]]:
    for frame in frames:
        if frame.samples:
            yield np.ascontiguousarray(frame.to_ndarray().T, np.float32)


@contextmanager
def opened(stream: io.BytesIO, name: str, kind: str, length_known: bool = True) -> Iterator[Opened]:
    """The first audio stream of a file; `name` is for messages. Raises BadTrack.

    length_known: what is read will be compared with a length, so that bytes at the end that are no audio may be
    passed over.
    Rate and channels are those of its first frame: headers of aac may state half of either.
    """
    import av

    with _explained(f"{name}: {kind}"):
        file: Any = av.open(stream, format=FORMATS[kind], metadata_errors="ignore")
    with file:
        if not file.streams.audio:
            raise BadTrack("NOT_AUDIO", f"{name}: {kind} without an audio stream")
        audio = file.streams.audio[0]
        if not audio.codec_context:
            raise BadTrack("DECODE_ERROR", f"{name}: {kind}: no decoder for its audio stream")
        context = _decoder_of(audio)
        decoder = f"ffmpeg {context.codec.name}"
        frames = _frames(file, audio, context, f"{name}: {decoder}", kind == MP3, length_known)
        first = next(frames, None)
        if first is None:
            raise BadTrack("EMPTY", f"{name}: {kind} without a frame of audio")
        n_samples = None
        if kind in _EXACT and audio.duration and audio.time_base:
            n_samples = int(audio.duration * audio.time_base * first.sample_rate)
        channels = first.layout.nb_channels
        yield Opened(first.sample_rate, channels, n_samples, decoder, chain([first], frames), name)


def _decoder_of(audio: Any) -> Any:
    """The codec context that decodes a stream, on one thread.

    Opus is decoded by libopus, as libsndfile decodes it: FFmpeg's own decoder differs by a fifth (rms) in speech mode,
    so the same song would have other features in webm than in Ogg. A FLAC block whose checksum is wrong is an error,
    not noise.
    """
    import av

    context = audio.codec_context
    if context.name == "opus":
        context = av.CodecContext.create("libopus", "r")
        for setting in ("extradata", "sample_rate", "layout"):
            setattr(context, setting, getattr(audio.codec_context, setting))
        context.options = {"request_sample_fmt": "flt"}
    elif context.name == "flac":
        context.options = {"err_detect": "crccheck+explode"}
    context.thread_count = 1
    return context


def _frames(file: Any, audio: Any, context: Any, what: str, inside: bool, around: bool) -> Iterator[Any]:
    """The decoded frames. Packets that are no audio are passed over between others (inside), or in front and behind.

    In mp3 such packets are tags and other bytes between frames. Elsewhere they are damage: raises BadTrack.
    """
    from av.error import InvalidDataError

    damage: InvalidDataError | None = None
    begun = not around
    with _explained(what):
        for packet in file.demux(audio):
            try:
                frames = context.decode(packet if packet.size else None)
            except InvalidDataError as error:
                damage = damage or error
                continue
            if frames and damage and begun and not inside:
                raise damage
            begun = begun or bool(frames)
            damage = None if frames else damage
            yield from frames
        if damage and not around:
            raise damage


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """FFmpeg's errors as BadTrack."""
    from av.error import FFmpegError

    try:
        yield
    except FFmpegError as error:
        raise BadTrack("DECODE_ERROR", f"{what}: {error.strerror}") from error
