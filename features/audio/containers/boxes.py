"""Containers that FFmpeg reads: MP4 and QuickTime, ASF, Matroska, and ADTS frames of AAC without one."""

import struct
from collections.abc import Iterator

from features.audio.containers.structure import Structure, beyond, one_or_more
from features.audio.containers.tags import after_tags

_SEGMENT, _INFO, _TRACKS, _CLUSTER = (
    bytes.fromhex(x) for x in ("18538067", "1549a966", "1654ae6b", "1f43b675")
)
_TIMESTAMP_SCALE, _DURATION, _TRACK, _TYPE = (bytes.fromhex(x) for x in ("2ad7b1", "4489", "ae", "83"))
_EBML, _ASF_HEADER = bytes.fromhex("1a45dfa3"), bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_ASF_VIDEO = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
_ADTS_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_AAC_BLOCK = 1024  # samples
_SLACK_SECONDS = 0.1  # encoder delay and padding that a player may or may not drop


def mp4(data: bytes) -> Structure:
    """Boxes at the top: one that is cut, or no index of the samples (ISO/IEC 14496-12). FFmpeg reads the duration.

    Another `ftyp` behind a `moov` begins another file.
    """
    return one_or_more(data, b"", _mp4_end, _one_mp4)


def _mp4_end(data: bytes, start: int) -> int:
    has_index = False
    for kind, position, _ in _boxes(data, start):
        if kind == b"ftyp" and has_index:
            return position
        has_index = has_index or kind == b"moov"
    return len(data)


def _one_mp4(data: bytes) -> Structure:
    boxes = list(_boxes(data, 0))
    kinds, end = {kind for kind, _, _ in boxes}, boxes[-1][2] if boxes else 0
    if end > len(data):
        return Structure(cut=beyond("last box", end, data))
    lacks_index = b"moov" not in kinds and end + 8 > len(data)
    return Structure(cut="no moov box, which says where the samples are" if lacks_index else None)


def _boxes(data: bytes, position: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of the boxes from a position on, up to what is none."""
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if size == 1 and position + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, position + 8)
        if size == 0:  # up to the end of the file
            size = len(data) - position
        if size < 8:
            return
        yield kind, position, position + size
        position += size


def asf(data: bytes) -> Structure:
    """Objects at the top, one of which may be cut: each has a GUID and a size of 8 bytes. Play time, without video."""
    return one_or_more(data, _ASF_HEADER, _asf_end, _one_asf)


def _asf_end(data: bytes, start: int) -> int:
    """Where another header begins, or after the last object."""
    position = start
    while position + 24 <= len(data) and (position == start or not data.startswith(_ASF_HEADER, position)):
        (size,) = struct.unpack_from("<Q", data, position + 16)
        if size < 24:  # a stream whose length was not known
            return len(data)
        position += size
    return position


def _one_asf(data: bytes) -> Structure:
    cut = beyond("last object", _asf_end(data, 0), data)
    return Structure(cut=cut, seconds=_asf_seconds(data), packet_seconds=_SLACK_SECONDS)


def _asf_seconds(data: bytes) -> float | None:
    """Play time less preroll, by the header's file properties; None with video or where it was broadcast."""
    position, seconds = 30, None
    end = min(len(data), struct.unpack_from("<Q", data, 16)[0]) if len(data) >= 24 else 0
    while position + 24 <= end:
        (size,) = struct.unpack_from("<Q", data, position + 16)
        if data.startswith(_ASF_FILE, position) and position + 92 <= end:
            ticks, _, preroll_ms, flags = struct.unpack_from("<QQQI", data, position + 64)
            seconds = None if flags & 1 else max(0.0, ticks / 1e7 - preroll_ms / 1e3)
        if data.startswith(_ASF_STREAM, position) and data.startswith(_ASF_VIDEO, position + 24):
            return None
        position += max(size, 24)
    return seconds


def matroska(data: bytes) -> Structure:
    """A segment that is cut; a live one does not state its size. The duration it states, without video."""
    return one_or_more(data, _EBML, _matroska_end, _one_matroska)


def _matroska_end(data: bytes, start: int) -> int:
    """The end of the segment behind a header; that of the data where it is not known."""
    _, _, after_header = _element(data, start)
    if after_header is None:
        return len(data)
    _, _, end = _element(data, after_header)
    return len(data) if end is None else end


def _one_matroska(data: bytes) -> Structure:
    _, _, after_header = _element(data, 0)
    if after_header is None:
        return Structure()
    name, content, end = _element(data, after_header)
    if name != _SEGMENT:
        return Structure()
    cut = None if end is None else beyond("segment", end, data)
    return Structure(cut=cut, seconds=_matroska_seconds(data, content), packet_seconds=_SLACK_SECONDS)


def _matroska_seconds(data: bytes, start: int) -> float | None:
    """Duration by the segment's information, None where it does not say or there is video."""
    scale, duration = 1_000_000, None
    for name, content, end in _children(data, start, len(data)):
        if name == _CLUSTER:
            break
        for child, at, child_end in _children(data, content, end) if name in (_INFO, _TRACKS) else ():
            value = data[at:child_end]
            if child == _TIMESTAMP_SCALE:
                scale = int.from_bytes(value, "big")
            elif child == _DURATION and len(value) in (4, 8):
                (duration,) = struct.unpack(">f" if len(value) == 4 else ">d", value)
            elif child == _TRACK and any(
                data[a:b] == b"\x01" for n, a, b in _children(data, at, child_end) if n == _TYPE
            ):
                return None
    return None if duration is None or not 0 <= duration < 1e15 else duration * scale / 1e9


def _children(data: bytes, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, offset of the content, end) of the EBML elements from a position on, up to one of unknown size."""
    while position < end:
        name, content, following = _element(data, position)
        if following is None or following <= position:
            return
        yield name, content, min(following, end)
        position = following


def _element(data: bytes, start: int) -> tuple[bytes, int, int | None]:
    """Name, offset of the content and end of an EBML element; None where its size is not known or does not arrive."""
    name_bytes = 9 - data[start].bit_length() if start < len(data) else 9
    size_at = start + name_bytes
    size_bytes = 9 - data[size_at].bit_length() if size_at < len(data) else 9
    if size_bytes > 8 or size_at + size_bytes > len(data):
        return b"", start, None
    bits = 7 * size_bytes
    size = int.from_bytes(data[size_at : size_at + size_bytes], "big") & ((1 << bits) - 1)
    content = size_at + size_bytes
    return data[start:size_at], content, content + size if size != (1 << bits) - 1 else None


def adts(data: bytes) -> Structure:
    """The frames of AAC one after the other (ISO/IEC 13818-7, 6.2), tags between them passed over."""
    position, blocks, rate = after_tags(data, 0), 0, 0
    while position + 7 <= len(data):
        if not is_adts(data, position):
            position, before = after_tags(data, position), position
            if position == before:
                break
            continue
        length = (data[position + 3] & 3) << 11 | data[position + 4] << 3 | data[position + 5] >> 5
        if length < 7:
            break
        rate = rate or _ADTS_HZ[min(data[position + 2] >> 2 & 15, 12)]
        blocks += 1 + (data[position + 6] & 3)
        position += length
    cut = beyond("last aac frame", position, data)
    if cut or not rate:
        return Structure(cut=cut)
    # Decoders give nothing for the first block.
    return Structure(seconds=max(0, blocks - 1) * _AAC_BLOCK / rate, packet_seconds=_SLACK_SECONDS)


def is_adts(data: bytes, position: int = 0) -> bool:
    """Whether a frame of AAC may begin there."""
    return len(data) > position + 1 and data[position] == 0xFF and data[position + 1] & 0xF6 == 0xF0
