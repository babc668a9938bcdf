"""Audio in containers that libsndfile does not know, through FFmpeg (PyAV): m4a, mp4, wma, webm, aac.

PyAV is imported with the first such file: a pool of workers that meet none does not carry FFmpeg in its memory.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.containers import AAC
from features.errors import BadTrack

if TYPE_CHECKING:
    from av.container import InputContainer

FORMATS = {  # FFmpeg's demultiplexer for each of `containers.foreign_audio`
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
    _container: "InputContainer"
    _name: str

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """(n, channels), n > 0, in order. Raises BadTrack where the decoder fails."""
        import av
        from av.error import FFmpegError

        to_planes = av.AudioResampler(format="fltp")
        try:
            for frame in self._container.decode(audio=0):
                if frame.sample_rate != self.rate or frame.layout.nb_channels != self.channels:
                    raise BadTrack("DECODE_ERROR", f"{self._name}: rate or channels change inside the file")
                for part in to_planes.resample(frame):
                    yield np.ascontiguousarray(part.to_ndarray().T, np.float32)
        except FFmpegError as error:
            raise BadTrack("DECODE_ERROR", f"{self._name}: {self.decoder}: {error.strerror}") from error


@contextmanager
def opened(data: bytes, name: str, container: str) -> Iterator[Foreign]:
    """The first audio stream of a file; `name` is for messages. Raises BadTrack."""
    import av
    from av.error import FFmpegError

    try:
        file: Any = av.open(io.BytesIO(data), format=FORMATS[container], metadata_errors="ignore")
    except FFmpegError as error:
        raise BadTrack("DECODE_ERROR", f"{name}: {container}: {error.strerror}") from error
    with file:
        if not file.streams.audio:
            raise BadTrack("NOT_AUDIO", f"{name}: {container} without an audio stream")
        stream = file.streams.audio[0]
        if not stream.codec_context or not stream.rate:
            raise BadTrack("DECODE_ERROR", f"{name}: {container}: no decoder for its audio stream")
        stream.codec_context.thread_count = 1
        n_samples = None
        if container in _EXACT and stream.duration and stream.time_base:
            n_samples = int(stream.duration * stream.time_base * stream.rate)
        codec = stream.codec_context.codec.name
        yield Foreign(stream.rate, stream.channels, n_samples, f"ffmpeg {codec}", file, name)
