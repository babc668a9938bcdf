"""MPEG audio files, frame by frame: where the first frame is, and whether the end of the file arrived.

Headers only, no decoding. ISO/IEC 11172-3 section 2.4.2.3; Xing/Info and VBRI as encoders write them.
"""

import struct
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

_KBITS = {  # by (MPEG version is 1, layer): bitrate index 1..14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_SAME_STREAM = 0xFFFE0C00  # sync, version, layer and sample rate do not change inside a file
_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")
_SEARCH_BYTES = 1 << 16  # as far as mpg123 looks for a first frame
_SHORT_FRAME_BYTES = 32  # some encoders end with a frame a few bytes short
_SILENT_FRAMES = 16  # the Info frame, and 4095 samples each of delay and padding at 576 a frame
_COUNT_SLACK_FRAMES = 1  # encoders disagree on whether the Info frame counts itself


def after_id3(data: bytes) -> int:
    """The offset after the ID3v2 tags at the start; beyond the end of the data where a tag is cut."""
    start = 0
    while data[start : start + 3] == b"ID3" and len(data) >= start + 10:
        sevenths = zip(data[start + 6 : start + 10], (21, 14, 7, 0), strict=True)
        size = sum((byte & 0x7F) << shift for byte, shift in sevenths)
        footer = 10 if data[start + 5] & 0x10 else 0
        start += 10 + size + footer
    return start


def first_frame(data: bytes, start: int) -> int | None:
    """The offset of the first frame at or after `start` that another frame, a tag or the end follows."""
    limit = min(len(data) - 4, start + _SEARCH_BYTES)
    position = data.find(b"\xff", start)
    while 0 <= position <= limit:
        length = _frame_bytes(_header(data, position))
        if length and _continues(data, position, position + length):
            return position
        position = data.find(b"\xff", position + 1)
    return None


def missing_end(data: bytes) -> str | None:
    """What says that the end of an MPEG audio file is missing, or None.

    A tag at the end proves that the end arrived, whatever an old header says. Otherwise the bytes and frames
    that the Xing, Info or VBRI header states decide, and in files without one a last frame that is cut.
    """
    start = after_id3(data)
    if start > len(data):
        return f"the ID3 tag ends at byte {start}, the file at {len(data)}"
    first = first_frame(data, start)
    if first is None:
        return None
    whole_frames, cut_bytes, ends_with_tag = _walk(data, first)
    if ends_with_tag:
        return None
    frames, n_bytes = _declared(data, first)
    if n_bytes is not None and len(data) - first >= n_bytes:
        return None
    if frames is None:
        return f"the last frame lacks {cut_bytes} bytes" if cut_bytes > _SHORT_FRAME_BYTES else None
    if whole_frames - 1 < frames - _COUNT_SLACK_FRAMES:
        return f"{whole_frames - 1} of {frames} MPEG frames are there"
    return None


def fewest_samples(data: bytes) -> int:
    """Samples a channel that a complete decoding gives at least: the whole frames, less encoder delay and padding."""
    first = first_frame(data, after_id3(data))
    if first is None:
        return 0
    header = _header(data, first)
    mpeg1, layer = header >> 19 & 3 == 3, 4 - (header >> 17 & 3)
    samples_per_frame = {1: 384, 2: 1152, 3: 1152 if mpeg1 else 576}[layer]
    whole_frames, _, _ = _walk(data, first)
    return max(0, whole_frames - _SILENT_FRAMES) * samples_per_frame


def _walk(data: bytes, first: int) -> tuple[int, int, bool]:
    """Whole frames from `first` on, bytes that the last frame lacks, and whether the file ends with a tag."""
    position, whole_frames, octets = first, 0, np.frombuffer(data, np.uint8)
    while True:
        position, passed = _pass_frames(octets, position, _lengths())
        whole_frames += passed
        if position >= len(data) - 3:
            return whole_frames, max(0, position - len(data)), False
        if data.startswith(_TAGS, position):
            return whole_frames, 0, True
        resumed = first_frame(data, position)
        if resumed is None:
            return whole_frames, 0, _has_id3v1(data)
        position = resumed


@njit(cache=True)
def _pass_frames(octets, position, lengths):  # type: ignore[no-untyped-def]
    """The end of the frames that follow one another from a position on, and how many of them are whole.

    Where the last one is cut, its end lies beyond that of the data.
    """
    whole_frames = 0
    while position + 4 <= len(octets):
        if octets[position] != 0xFF or octets[position + 1] < 0xE0:
            return position, whole_frames
        length = lengths[octets[position + 1] & 0x1F, octets[position + 2]]
        if length == 0:
            return position, whole_frames
        position += length
        if position <= len(octets):
            whole_frames += 1
    return position, whole_frames


def _continues(data: bytes, position: int, following: int) -> bool:
    """Whether what follows a frame is a frame of the same stream, a tag, or the end of the data."""
    if following + 4 > len(data) or data.startswith(_TAGS, following):
        return following <= len(data)
    header = _header(data, following)
    same_stream = not (header ^ _header(data, position)) & _SAME_STREAM
    return same_stream and _frame_bytes(header) > 0


def _has_id3v1(data: bytes) -> bool:
    return data[-128:-125] == b"TAG"


def _header(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 4], "big")


@lru_cache(maxsize=1)
def _lengths() -> NDArray[np.int64]:
    """`_frame_bytes` by the lower five bits of a header's second byte and by its third: (32, 256)."""
    return np.array([[_frame_bytes(0xFFE0 + a << 16 | b << 8) for b in range(256)] for a in range(32)])


@lru_cache(maxsize=4096)
def _frame_bytes(header: int) -> int:
    """The length of the frame with this header; 0 where it is no header or has a free bitrate."""
    version, layer = header >> 19 & 3, 4 - (header >> 17 & 3)
    bitrate, rate, padding = header >> 12 & 15, header >> 10 & 3, header >> 9 & 1
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return 0
    bits_per_second = 1000 * _KBITS[version == 3, layer][bitrate - 1]
    sample_rate = _RATES_HZ[version][rate]
    if layer == 1:
        return (12 * bits_per_second // sample_rate + padding) * 4
    slots = 72 if layer == 3 and version != 3 else 144
    return slots * bits_per_second // sample_rate + padding


def _declared(data: bytes, first: int) -> tuple[int | None, int | None]:
    """Frames after the first, and bytes from it on, that its Xing, Info or VBRI header states; None: does not."""
    header = _header(data, first)
    mono, mpeg1 = header >> 6 & 3 == 3, header >> 19 & 3 == 3
    side_info = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    tag = first + 4 + side_info
    if data[tag : tag + 4] in (b"Xing", b"Info") and len(data) >= tag + 16:
        flags, *fields = struct.unpack_from(">3I", data, tag + 4)
        frames = fields.pop(0) if flags & 1 else None
        return frames, fields.pop(0) if flags & 2 else None
    vbri = first + 4 + 32
    if data[vbri : vbri + 4] == b"VBRI" and len(data) >= vbri + 18:
        n_bytes, frames = struct.unpack_from(">II", data, vbri + 10)
        return frames, n_bytes
    return None, None
