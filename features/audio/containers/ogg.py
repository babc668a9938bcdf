"""Ogg by its pages (RFC 3533): the links of a chain, how long each is, and whether the end arrived.

A file that ends between two pages is whole: many writers do not say of the last one that it is.

A page's granule position counts the samples up to its end: Vorbis I section A.2, RFC 7845 section 4 (Opus, at
48 kHz, with samples to drop at the start), and the mapping of FLAC to Ogg.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from features.audio.containers.structure import Part, Structure

_PAGE = struct.Struct("<4sBBqIIIB")
_FIRST = 2
_OPUS_HZ = 48000
_OPUS_PACKET_SAMPLES = 5760  # 120 ms, the most that one holds


@dataclass
class _Stream:
    """One logical stream of a link: its first packet, and what its pages say.

    granules: positions of the first and the newest page on which a packet of audio ends. before: samples up to where
    positions last went back.
    """

    head: bytes
    granules: list[int] = field(default_factory=list)
    first_page_packets: int = 0
    before: int = 0


@dataclass
class _Link:
    """Logical streams that began together, by serial number, from `start` on."""

    start: int
    streams: dict[int, _Stream] = field(default_factory=dict)
    opening: bool = True


@dataclass(frozen=True)
class _Page:
    start: int
    end: int
    body: int
    flags: int
    granule: int
    serial: int
    packets: int  # that end on it


def structure(data: bytes) -> Structure:
    """What the pages say; the links of a chain are parts, each a file of its own."""
    links, last_end = list[_Link](), 0
    for page in _pages(data):
        last_end = page.end
        if page.flags & _FIRST and not (links and links[-1].opening):
            links.append(_Link(page.start))
        if links:
            _note(links[-1], page, data)
    if last_end > len(data):
        return Structure(cut=f"the last ogg page lacks {last_end - len(data)} bytes")
    if not links:
        return Structure()
    if last_end < len(data) and data.startswith(b"OggS"[: len(data) - last_end], last_end):
        return Structure(cut="the file ends in the header of an ogg page")
    if len(links) == 1:
        return _of_link(links[0])
    bounds = zip(links, [link.start for link in links[1:]] + [len(data)], strict=True)
    return Structure(parts=tuple(Part(link.start, end, _of_link(link)) for link, end in bounds))


def _of_link(link: _Link) -> Structure:
    lengths = [found for stream in link.streams.values() if (found := _length(stream))]
    return Structure(seconds=lengths[0][0], packet_seconds=lengths[0][1]) if lengths else Structure()


def _note(link: _Link, page: _Page, data: bytes) -> None:
    link.opening = bool(page.flags & _FIRST)
    if page.flags & _FIRST:
        link.streams[page.serial] = _Stream(data[page.body : page.end])
    stream = link.streams.get(page.serial)
    if stream is None:
        return
    if page.granule == -1 or page.flags & _FIRST or (page.granule == 0 and not stream.granules):
        return  # headers
    if not stream.granules:
        stream.first_page_packets = page.packets
    elif page.granule < stream.granules[-1]:  # a stream that was cut and put together begins to count anew
        stream.before += stream.granules[-1] - max(0, page.granule)
    stream.granules = [*stream.granules[:1], page.granule]


def _pages(data: bytes) -> Iterator[_Page]:
    """The pages in order; bytes between them are skipped, and a page that another one interrupts."""
    position = 0
    while 0 <= position <= len(data) - _PAGE.size:
        magic, _, flags, granule, serial, _, _, n_segments = _PAGE.unpack_from(data, position)
        if magic != b"OggS":
            position = data.find(b"OggS", position + 1)
            continue
        body = position + _PAGE.size + n_segments
        segments = data[position + _PAGE.size : body]
        end = body + sum(segments)
        if end <= len(data) - 4 and data[end : end + 4] != b"OggS":
            cut_by = data.find(b"OggS", position + 4, end)
            if cut_by >= 0:
                position = cut_by
                continue
        yield _Page(position, end, body, flags, granule, serial, sum(size < 255 for size in segments))
        position = end


def _length(stream: _Stream) -> tuple[float, float] | None:
    """Seconds from the first sample to the newest granule position, and those of a packet; None: another codec.

    A stream need not begin at 0: one that was cut out of another begins with its first page.
    """
    if not stream.granules:
        return None
    if stream.head[:7] == b"\x01vorbis" and len(stream.head) >= 29:
        (rate,) = struct.unpack_from("<I", stream.head, 12)
        packet, skip = 1 << (stream.head[28] >> 4), 0
    elif stream.head[:8] == b"OpusHead" and len(stream.head) >= 12:
        (skip,) = struct.unpack_from("<H", stream.head, 10)
        rate, packet = _OPUS_HZ, _OPUS_PACKET_SAMPLES
    elif stream.head[:5] == b"\x7fFLAC" and len(stream.head) >= 51:
        rate = int.from_bytes(stream.head[27:30], "big") >> 4
        packet, skip = int.from_bytes(stream.head[19:21], "big"), 0
    else:
        return None
    begins = stream.granules[0] > stream.first_page_packets * packet
    samples = stream.before + stream.granules[-1] - (stream.granules[0] if begins else 0) - skip
    return (max(0, samples) / rate, packet / rate) if rate else None
