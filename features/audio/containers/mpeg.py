"""MPEG audio files, frame by frame: where their frames are, how long they are, and whether the end arrived.

Headers only, no decoding. ISO/IEC 11172-3 section 2.4.2.3; Xing/Info and VBRI as encoders write them. A file may be
several, one after the other, with tags or other bytes in between.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.audio.containers.structure import Structure
from features.audio.containers.tags import MARKS, after_id3, after_tags

_KBITS = {  # by (MPEG version is 1, layer): bitrate index 1..14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_SEARCH_BYTES = 1 << 20  # for a first frame
_NEAR_BYTES = 1 << 16  # where one frame alone may be found
_CHAIN = 3  # frames like it that follow a frame among other bytes
_SHORT_FRAME_BYTES = 32  # some encoders end with a frame a few bytes short
_COUNT_SLACK_FRAMES = 1  # encoders disagree on whether the Info frame counts itself
_DECODER_SAMPLES = (
    1105 + 32
)  # that a decoder drops where an Info frame states no delay; decoders differ by some
_RESERVOIR_BYTES = 511  # that a frame may borrow from those before it: without them it is silent
_MOST_RUNS = 10_000  # of a file that is mostly something else


@dataclass(frozen=True)
class _Run:
    """Frames of one kind that follow one another: `end` lies beyond the data where the last one is cut."""

    start: int
    end: int
    frames: int
    infos: int  # frames that hold an Xing, Info or VBRI header and no audio
    last_info: int  # offset of the last of these, -1 without one
    frames_since_info: int
    header: int  # of the first frame

    @property
    def samples_per_frame(self) -> int:
        layer = _layer(self.header)
        return 384 if layer == 1 else 576 if layer == 3 and not _is_mpeg1(self.header) else 1152

    @property
    def rate_hz(self) -> int:
        return _RATES_HZ[self.header >> 19 & 3][self.header >> 10 & 3]

    @property
    def frame_bytes(self) -> float:
        return (self.end - self.start) / max(self.frames, 1)

    def seconds(self, frames: float) -> float:
        return frames * self.samples_per_frame / self.rate_hz


@dataclass(frozen=True)
class _Walk:
    """All runs of a file, what lies between and behind them, and the seconds that damage between two has cost."""

    runs: tuple[_Run, ...]
    starts_with_info: bool
    ends_with_tag: bool
    lost_seconds: float
    tags_between: bool


def first_frame(data: bytes, start: int = 0) -> int | None:
    """The offset of the first frame at `start`, or among the bytes after it; None where there is none.

    At `start` one frame is enough that another, a tag or the end follows; further on it takes three of these.
    """
    octets = np.frombuffer(data, np.uint8)
    if _chain(octets, start, 1, _lengths()):
        return start
    for reach, needed in ((_SEARCH_BYTES, _CHAIN), (_NEAR_BYTES, 1)):
        found = int(_search(octets, start, start + reach, needed, _lengths()))
        if found >= 0:
            return found
    return None


def structure(data: bytes) -> Structure:
    """What the frames of an MPEG audio file say of its length."""
    start = after_id3(data)
    if start > len(data):
        return Structure(cut=f"the ID3 tag ends at byte {start}, the file at {len(data)}")
    first = first_frame(data, start)
    if first is None:
        return Structure()
    walk = _walk(data, first)
    short, streams = min(walk.runs, key=lambda run: run.frame_bytes), _streams(walk)
    slack = 2 * streams + _RESERVOIR_BYTES / max(short.frame_bytes, 1.0)
    return Structure(
        cut=_cut(data, walk),
        seconds=_seconds(data, walk, streams),
        packet_seconds=max(run.seconds(slack) for run in walk.runs),
        unsuited=f"{streams} MPEG streams follow one another" if streams > 1 else None,
    )


def _seconds(data: bytes, walk: _Walk, streams: int) -> float:
    """Of audio at least: encoder delay and padding of the first stream are not played, nor Info frames."""
    total = walk.lost_seconds
    for run in walk.runs:
        total += run.seconds(run.frames - run.infos)
    first = walk.runs[0]
    gap = _gap_samples(data, first) or (_DECODER_SAMPLES if walk.starts_with_info else 0)
    total -= first.seconds(streams - 1) + gap / first.rate_hz
    return max(0.0, total)


def _streams(walk: _Walk) -> int:
    """How many files there are, one after the other."""
    infos = sum(run.infos for run in walk.runs) - walk.starts_with_info
    kinds = sum(_kind(a.header) != _kind(b.header) for a, b in pairwise(walk.runs))
    return 1 + max(infos, kinds, int(walk.tags_between))


def _cut(data: bytes, walk: _Walk) -> str | None:
    """What says that the end is missing, or None.

    A tag at the end proves that the end arrived, whatever an old header says. Otherwise the bytes and frames
    that the last Xing, Info or VBRI header states decide, and in files without one a last frame that is cut: but for
    what was captured from a stream, which begins inside one too.
    """
    if walk.ends_with_tag:
        return None
    last = walk.runs[-1]
    info = next((run for run in reversed(walk.runs) if run.last_info >= 0), None)
    frames, n_bytes = (_declared(data, info.last_info) if info else None) or (None, None)
    if info and n_bytes is not None and len(data) - info.last_info >= n_bytes:
        return None
    since = (
        (info.frames_since_info + sum(run.frames for run in walk.runs if run.start > info.start))
        if info
        else 0
    )
    if not frames or since > frames + _COUNT_SLACK_FRAMES:
        lack = max(0, last.end - len(data))
        is_cut = lack > _SHORT_FRAME_BYTES and not _is_captured(data, walk)
        return f"the last frame lacks {lack} bytes" if is_cut else None
    if since < frames - _COUNT_SLACK_FRAMES:
        return f"{since} of {frames} MPEG frames are there"
    return None


def _walk(data: bytes, first: int) -> _Walk:
    octets, runs = np.frombuffer(data, np.uint8), list[_Run]()
    position, lost, tags_between, info = first, 0.0, False, _declared(data, first) is not None
    while len(runs) < _MOST_RUNS:
        run = _run_at(data, octets, position)
        runs.append(run)
        if run.end >= len(data) - 3:
            return _Walk(tuple(runs), info, False, lost, tags_between)
        after = after_tags(data, run.end)
        following = int(_search(octets, after, len(data), _CHAIN, _lengths()))
        if following < 0:
            break
        tags_between = tags_between or after > run.end
        if after == run.end and _is_hole(data, run, following):
            lost += run.seconds((following - run.end) / run.frame_bytes)
        position = following
    ends = data.startswith(MARKS, runs[-1].end) or data[-128:-125] == b"TAG"
    return _Walk(tuple(runs), info, ends, lost, tags_between)


def _run_at(data: bytes, octets: NDArray[np.uint8], start: int) -> _Run:
    end, frames, infos, last_info, since = (int(found) for found in _run(octets, start, _lengths()))
    return _Run(start, end, frames, infos, last_info, since, _header(data, start))


def _is_hole(data: bytes, run: _Run, following: int) -> bool:
    """Whether frames of a run are damaged up to where it goes on; a file that begins there borrows nothing."""
    header = _header(data, following)
    if following - run.end < run.frame_bytes or _kind(header) != _kind(run.header):
        return False
    return _layer(header) != 3 or _borrows(data, following)


def _is_captured(data: bytes, walk: _Walk) -> bool:
    """Whether a file begins inside a stream: with a part of a frame, or a frame that borrows from one before it."""
    first = walk.runs[0]
    return first.start > after_id3(data) or (_layer(first.header) == 3 and _borrows(data, first.start))


def _borrows(data: bytes, frame: int) -> bool:
    """Whether a frame of layer III needs bytes of the frames before it (main_data_begin)."""
    header = _header(data, frame)
    at = frame + (4 if header >> 16 & 1 else 6)
    return int.from_bytes(data[at : at + 2], "big") >> (7 if _is_mpeg1(header) else 8) > 0


@njit(cache=True)
def _run(octets, position, lengths):  # type: ignore[no-untyped-def]
    """End, whole frames, Info frames, offset of the last of these, and frames after it.

    Of the frames of one version, layer, rate and of one or two channels that follow one another from a position on.
    """
    frames, infos, last_info, since = 0, 0, -1, 0
    first = position
    while position + 4 <= len(octets):
        if octets[position] != 0xFF or octets[position + 1] < 0xE0:
            break
        length = lengths[octets[position + 1] & 0x1F, octets[position + 2]]
        is_mono = octets[position + 3] >> 6 == 3
        if (
            length == 0
            or (octets[position + 1] ^ octets[first + 1]) & 0x1E
            or (octets[position + 2] ^ octets[first + 2]) & 0x0C
            or is_mono != (octets[first + 3] >> 6 == 3)
        ):
            break
        if position + length <= len(octets):
            frames += 1
            since += 1
            is_mpeg1 = octets[position + 1] & 0x18 == 0x18
            side = (17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17)
            if _is_info(octets, position + 4 + side, position + 36):
                infos, last_info, since = infos + 1, position, 0
        position += length
    return position, frames, infos, last_info, since


@njit(cache=True)
def _is_info(octets, xing, vbri):  # type: ignore[no-untyped-def]
    """Whether "Xing" or "Info" stands at the one place, or "VBRI" at the other."""
    if xing + 4 > len(octets) or vbri + 4 > len(octets):
        return False
    a, b, c, d = octets[xing], octets[xing + 1], octets[xing + 2], octets[xing + 3]
    if (a, b, c, d) == (88, 105, 110, 103) or (a, b, c, d) == (73, 110, 102, 111):
        return True
    a, b, c, d = octets[vbri], octets[vbri + 1], octets[vbri + 2], octets[vbri + 3]
    return (a, b, c, d) == (86, 66, 82, 73)


@njit(cache=True)
def _chain(octets, position, needed, lengths):  # type: ignore[no-untyped-def]
    """Whether a frame begins there that `needed` frames like it, a tag or the end of the data follow."""
    first = position
    for _ in range(needed + 1):
        if position + 4 > len(octets):
            return position > first and position <= len(octets)
        if position > first and _is_mark(octets, position):
            return True
        if octets[position] != 0xFF or octets[position + 1] < 0xE0:
            return False
        length = lengths[octets[position + 1] & 0x1F, octets[position + 2]]
        unlike = (octets[position + 1] ^ octets[first + 1]) & 0x1E
        if length == 0 or unlike or (octets[position + 2] ^ octets[first + 2]) & 0x0C:
            return False
        position += length
    return True


@njit(cache=True)
def _is_mark(octets, position):  # type: ignore[no-untyped-def]
    """Whether TAG, APE, LYR, ID3 or 3DI stands there."""
    a, b, c = octets[position], octets[position + 1], octets[position + 2]
    return (
        (a, b, c) == (84, 65, 71)
        or (a, b, c) == (65, 80, 69)
        or (a, b, c) == (76, 89, 82)
        or (a, b, c) == (73, 68, 51)
        or (a, b, c) == (51, 68, 73)
    )


@njit(cache=True)
def _search(octets, start, limit, needed, lengths):  # type: ignore[no-untyped-def]
    """The first offset in start..limit of a frame that `needed` like it, a tag or the end follow, or -1."""
    for position in range(start, min(limit, len(octets) - 4)):
        if (
            octets[position] == 0xFF
            and octets[position + 1] >= 0xE0
            and _chain(octets, position, needed, lengths)
        ):
            return position
    return -1


def _header(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 4], "big")


def _is_mpeg1(header: int) -> bool:
    return header >> 19 & 3 == 3


def _layer(header: int) -> int:
    return 4 - (header >> 17 & 3)


def _kind(header: int) -> tuple[int, int, bool]:
    """Version and layer, rate, one channel or two: what does not change inside a stream."""
    return header >> 17 & 15, header >> 10 & 3, header >> 6 & 3 == 3


@lru_cache(maxsize=1)
def _lengths() -> NDArray[np.int64]:
    """Bytes of a frame by the lower five bits of a header's second byte and by its third: (32, 256)."""
    return np.array([[_frame_bytes(0xFFE0 + a << 16 | b << 8) for b in range(256)] for a in range(32)])


def _frame_bytes(header: int) -> int:
    """The length of the frame with this header; 0 where it is no header or has a free bitrate."""
    version, layer = header >> 19 & 3, _layer(header)
    bitrate, rate, padding = header >> 12 & 15, header >> 10 & 3, header >> 9 & 1
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return 0
    bits_per_second = 1000 * _KBITS[version == 3, layer][bitrate - 1]
    sample_rate = _RATES_HZ[version][rate]
    if layer == 1:
        return (12 * bits_per_second // sample_rate + padding) * 4
    slots = 72 if layer == 3 and version != 3 else 144
    return slots * bits_per_second // sample_rate + padding


def _xing(data: bytes, frame: int) -> int | None:
    """The offset of the Xing or Info header in a frame, if it has one."""
    header = _header(data, frame)
    mono, mpeg1 = header >> 6 & 3 == 3, _is_mpeg1(header)
    tag = frame + 4 + ((17 if mono else 32) if mpeg1 else (9 if mono else 17))
    return tag if data[tag : tag + 4] in (b"Xing", b"Info") and len(data) >= tag + 16 else None


def _declared(data: bytes, frame: int) -> tuple[int | None, int | None] | None:
    """Frames after this one, and bytes from it on, that its Xing, Info or VBRI header states (None: does not).

    None where it has no such header.
    """
    tag = _xing(data, frame)
    if tag is not None:
        flags, *fields = struct.unpack_from(">3I", data, tag + 4)
        frames = fields.pop(0) if flags & 1 else None
        n_bytes = fields.pop(0) if flags & 2 else None
        return frames or None, n_bytes or None
    vbri = frame + 4 + 32
    if data[vbri : vbri + 4] == b"VBRI" and len(data) >= vbri + 18:
        n_bytes, frames = struct.unpack_from(">II", data, vbri + 10)
        return frames or None, n_bytes or None
    return None


def _gap_samples(data: bytes, run: _Run) -> int:
    """Encoder delay and padding that the Info frame of a run's start states, in samples."""
    tag = _xing(data, run.start)
    if tag is None:
        return 0
    (flags,) = struct.unpack_from(">I", data, tag + 4)
    fields: Any = zip((1, 2, 4, 8), (4, 4, 100, 4), strict=True)
    at = tag + 8 + sum(size for flag, size in fields if flags & flag) + 21
    both = int.from_bytes(data[at : at + 3], "big")
    return (both >> 12) + (both & 0xFFF)
