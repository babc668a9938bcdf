"""Audio containers by their structure: what a file claims to be, and whether its end is missing.

libsndfile decodes the rest of a truncated wav, aiff, ogg or mp3 without an error, so the claim is compared
with the bytes here, before decoding. A truncated flac shows by fewer samples than its STREAMINFO states.
"""

import struct
from collections.abc import Callable, Iterator

from features import mp3

_UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFF000)  # by ffmpeg and SoX where they can't go back to the header
_OGG_PAGE = struct.Struct("<4sBBqIIIB")
_OGG_FIRST, _OGG_LAST = 2, 4
_FOREIGN = (  # (offset, magic, what it is)
    (4, b"ftyp", "mp4/m4a"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wma/asf"),
    (0, b"\x1a\x45\xdf\xa3", "matroska/webm"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"#!AMR", "AMR"),
    (0, b"MThd", "MIDI"),
)
AAC = "aac, or flac frames without a header"
FOREIGN = (*(name for _, _, name in _FOREIGN), AAC)


def sniff(data: bytes) -> str | None:
    """`wav`, `aiff`, `au`, `flac`, `ogg`, `mp3` or one of FOREIGN by the first bytes, or None.

    mp3 comes last: its frames are searched for, and may be found by chance in what is something else.
    """
    if data[:4] in (b"RIFF", b"RIFX", b"RF64") and data[8:12] == b"WAVE":
        return "wav"
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if data[:4] in (b".snd", b"dns."):
        return "au"
    if data[:4] == b"OggS":
        return "ogg"
    for offset, magic, name in _FOREIGN:
        if data.startswith(magic, offset):
            return name
    if data[:1] == b"\xff" and len(data) > 1 and data[1] & 0xF6 == 0xF0:
        return AAC
    start = mp3.after_id3(data)
    if data[start : start + 4] == b"fLaC":
        return "flac"
    if start or mp3.first_frame(data, 0) is not None:
        return "mp3"
    return None


def missing_end(data: bytes, kind: str | None) -> str | None:
    """What says that the end of a file of this kind is missing, in one line; None where nothing does."""
    checks: dict[str | None, Callable[[bytes], str | None]] = {
        "wav": _riff_missing_end,
        "aiff": _aiff_missing_end,
        "au": _au_missing_end,
        "flac": _flac_missing_end,
        "ogg": _ogg_missing_end,
        "mp3": mp3.missing_end,
        "mp4/m4a": _mp4_missing_end,
        "wma/asf": _asf_missing_end,
        "matroska/webm": _matroska_missing_end,
        AAC: _aac_missing_end,
    }
    check = checks.get(kind)
    return check(data) if check else None


def _riff_missing_end(data: bytes) -> str | None:
    order = ">" if data[:4] == b"RIFX" else "<"
    long_data = 0
    for identifier, size, start in _chunks(data, order):
        if identifier == b"ds64" and len(data) >= start + 16:
            long_data = struct.unpack_from("<Q", data, start + 8)[0]
        if identifier == b"data":
            if size in _UNKNOWN_SIZES and not long_data:
                return None
            return _beyond("data chunk", start + (long_data or size), data)
    (promised,) = struct.unpack_from(order + "I", data, 4)
    return _beyond("RIFF chunk", 8 + promised, data)


def _aiff_missing_end(data: bytes) -> str | None:
    for identifier, size, start in _chunks(data, ">"):
        if identifier == b"SSND":
            return _beyond("SSND chunk", start + size, data)
    (promised,) = struct.unpack_from(">I", data, 4)
    return _beyond("FORM chunk", 8 + promised, data)


def _au_missing_end(data: bytes) -> str | None:
    if len(data) < 24:
        return f"the file ends in its header, at byte {len(data)}"
    offset, size = struct.unpack_from(">II" if data[:4] == b".snd" else "<II", data, 4)
    return None if size == 0xFFFFFFFF else _beyond("data chunk", offset + size, data)


def _flac_missing_end(data: bytes) -> str | None:
    """Only the metadata blocks: cut frames show when decoding."""
    position, is_last = mp3.after_id3(data) + 4, False
    while not is_last:
        if position + 4 > len(data):
            return f"the file ends in its metadata, at byte {len(data)}"
        is_last = data[position] >= 0x80
        position += 4 + int.from_bytes(data[position + 1 : position + 4], "big")
    return _beyond("metadata chunk", position, data)


def _ogg_missing_end(data: bytes) -> str | None:
    """A page that is cut, or a logical stream without a last page."""
    open_streams: set[int] = set()
    for flags, serial, end in _ogg_pages(data):
        if end > len(data):
            return f"the last ogg page lacks {end - len(data)} bytes"
        if flags & _OGG_FIRST:
            open_streams.add(serial)
        if flags & _OGG_LAST:
            open_streams.discard(serial)
    return "no end-of-stream page" if open_streams else None


def _ogg_pages(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(flags, stream serial, end offset) of each page; bytes between pages are skipped."""
    position = 0
    while 0 <= position <= len(data) - _OGG_PAGE.size:
        magic, _, flags, _, serial, _, _, n_segments = _OGG_PAGE.unpack_from(data, position)
        if magic != b"OggS":
            position = data.find(b"OggS", position + 1)
            continue
        body = position + _OGG_PAGE.size
        segments = data[body : body + n_segments]
        position = body + n_segments + sum(segments)
        yield flags, serial, position


def _mp4_missing_end(data: bytes) -> str | None:
    """A box at the top that is cut, or no index of the samples (ISO/IEC 14496-12)."""
    position, kinds = 0, set[bytes]()
    while position + 16 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
        if size == 0:  # up to the end of the file
            size = len(data) - position
        if size < 8:
            return None
        kinds.add(kind)
        position += size
    if position > len(data):
        return _beyond("last box", position, data)
    return None if b"moov" in kinds else "no moov box, which says where the samples are"


def _asf_missing_end(data: bytes) -> str | None:
    """An object at the top that is cut: each has a GUID and a size of 8 bytes."""
    position = 0
    while position + 24 <= len(data):
        (size,) = struct.unpack_from("<Q", data, position + 16)
        if size < 24:  # a stream whose length was not known
            return None
        position += size
    return _beyond("last object", position, data)


def _matroska_missing_end(data: bytes) -> str | None:
    """A segment that is cut; a live one does not state its size."""
    _, after_header = _ebml_element(data, 0)
    if after_header is None:
        return None
    name, end = _ebml_element(data, after_header)
    return _beyond("segment", end, data) if name == b"\x18\x53\x80\x67" and end is not None else None


def _ebml_element(data: bytes, start: int) -> tuple[bytes, int | None]:
    """Name and end of the element that begins there; None where its size is not known or does not arrive."""
    name_bytes = 9 - data[start].bit_length() if start < len(data) else 9
    size_at = start + name_bytes
    size_bytes = 9 - data[size_at].bit_length() if size_at < len(data) else 9
    if size_bytes > 8 or size_at + size_bytes > len(data):
        return b"", None
    bits = 7 * size_bytes
    size = int.from_bytes(data[size_at : size_at + size_bytes], "big") & ((1 << bits) - 1)
    known = size != (1 << bits) - 1
    return data[start:size_at], size_at + size_bytes + size if known else None


def _aac_missing_end(data: bytes) -> str | None:
    """A last ADTS frame that is cut (ISO/IEC 13818-7, 6.2)."""
    position = 0
    while position + 7 <= len(data) and data[position] == 0xFF and data[position + 1] & 0xF6 == 0xF0:
        length = (data[position + 3] & 3) << 11 | data[position + 4] << 3 | data[position + 5] >> 5
        if length < 7:
            return None
        position += length
    return _beyond("last aac frame", position, data)


def _chunks(data: bytes, order: str) -> Iterator[tuple[bytes, int, int]]:
    """(identifier, size, offset of the content) of the chunks of a RIFF or IFF file."""
    position = 12
    while position + 8 <= len(data):
        identifier, size = struct.unpack_from(order + "4sI", data, position)
        yield identifier, size, position + 8
        position += 8 + size + size % 2


def _beyond(what: str, promised_end: int, data: bytes) -> str | None:
    if promised_end <= len(data):
        return None
    return f"the {what} ends at byte {promised_end}, the file at {len(data)}"
