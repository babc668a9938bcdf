"""Audio in containers that libsndfile does not know, through FFmpeg (PyAV): m4a, mp4, wma, webm, aac.

PyAV is imported with the first such file: a pool of workers that meet none does not carry FFmpeg in its memory.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.containers import AAC
from features.errors import BadTrack

FORMATS = {  # FFmpeg's demultiplexer for each of `containers.FOREIGN` that it reads
    "mp4/m4a": "mp4",
    "wma/asf": "asf",
    "matroska/webm": "matroska",
    AAC: "aac",
}
_EXACT = ("mp4/m4a",)  # containers that state the length of a stream, not a guess from its bit rate
SLACK_SAMPLES = 4096  # encoder delay and padding that a player may or may not drop


@dataclass(frozen=True)
class Foreign:
    """An open file: rate in Hz, channels, samples a channel (None: the container does not say), the decoder's name."""

    rate: int
    channels: int
    n_samples: int | None
    decoder: str
    _frames: Iterator[Any]
    _name: str

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """(n, channels), n > 0, in order. Raises BadTrack where the decoder fails."""
        import av

        to_planes = av.AudioResampler(format="fltp")
        with _explained(f"{self._name}: {self.decoder}"):
            for frame in self._frames:
                if frame.sample_rate != self.rate or frame.layout.nb_channels != self.channels:
                    raise BadTrack("DECODE_ERROR", f"{self._name}: rate or channels change inside the file")
                for part in to_planes.resample(frame):
                    yield np.ascontiguousarray(part.to_ndarray().T, np.float32)


@contextmanager
def opened(stream: io.BytesIO, name: str, container: str) -> Iterator[Foreign]:
    """The first audio stream of a file; `name` is for messages. Raises BadTrack.

    Rate and channels are those of its first frame: headers of aac may state half of either.
    """
    import av

    with _explained(f"{name}: {container}"):
        file: Any = av.open(stream, format=FORMATS[container], metadata_errors="ignore")
    with file:
        if not file.streams.audio:
            raise BadTrack("NOT_AUDIO", f"{name}: {container} without an audio stream")
        audio = file.streams.audio[0]
        if not audio.codec_context:
            raise BadTrack("DECODE_ERROR", f"{name}: {container}: no decoder for its audio stream")
        audio.codec_context.thread_count = 1
        decoder = f"ffmpeg {audio.codec_context.codec.name}"
        with _explained(f"{name}: {decoder}"):
            frames = file.decode(audio=0)
            first = next(frames, None)
        if first is None:
            raise BadTrack("EMPTY", f"{name}: {container} without a frame of audio")
        n_samples = None
        if container in _EXACT and audio.duration and audio.time_base:
            n_samples = int(audio.duration * audio.time_base * first.sample_rate)
        channels = first.layout.nb_channels
        yield Foreign(first.sample_rate, channels, n_samples, decoder, chain([first], frames), name)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """FFmpeg's errors as BadTrack."""
    from av.error import FFmpegError

    try:
        yield
    except FFmpegError as error:
        raise BadTrack("DECODE_ERROR", f"{what}: {error.strerror}") from error
