"""Tags around the audio: ID3v2 in front, ID3v1, APE and Lyrics3 behind, and between files that were joined."""

_ID3V1_BYTES, _ID3V1_EXTENDED_BYTES = 128, 227
_APE_HEADER_BYTES = 32
_APE_IS_HEADER = 1 << 29  # in its flags: this is the header, items follow
MARKS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")


def after_id3(data: bytes, start: int = 0) -> int:
    """The offset after the ID3v2 tags at `start`; beyond the end of the data where a tag is cut."""
    while data[start : start + 3] == b"ID3" and len(data) >= start + 10:
        sevenths = zip(data[start + 6 : start + 10], (21, 14, 7, 0), strict=True)
        size = sum((byte & 0x7F) << shift for byte, shift in sevenths)
        footer = 10 if data[start + 5] & 0x10 else 0
        start += 10 + size + footer
    return start


def after_tags(data: bytes, start: int) -> int:
    """The offset after all tags that follow one another from `start` on; `start` where there is none.

    A tag that does not say its length, or is cut, ends at its mark: what follows is searched.
    """
    while True:
        end = min(_after_one(data, start), len(data))
        if end == start:
            return start
        start = end


def _after_one(data: bytes, start: int) -> int:
    if data.startswith(b"ID3", start):
        return max(after_id3(data, start), start + 3)
    if data.startswith(b"TAG+", start):
        return start + _ID3V1_EXTENDED_BYTES
    if data.startswith(b"TAG", start):
        return start + _ID3V1_BYTES
    if data.startswith(b"APETAGEX", start):
        return start + _ape_bytes(data, start)
    if data.startswith(b"LYRICSBEGIN", start):
        return _after_lyrics(data, start)
    return start + 3 if data.startswith(b"3DI", start) else start


def _ape_bytes(data: bytes, start: int) -> int:
    """From its header on: that and what it says follows it; a footer alone is its own end."""
    size, flags = (int.from_bytes(data[start + at : start + at + 4], "little") for at in (12, 20))
    return _APE_HEADER_BYTES + (size if flags & _APE_IS_HEADER else 0)


def _after_lyrics(data: bytes, start: int) -> int:
    """Lyrics3: up to LYRICSEND or LYRICS200, 9 bytes each, at most 5,100 bytes before the first of these."""
    ends = [data.find(mark, start, start + 1_000_100) for mark in (b"LYRICSEND", b"LYRICS200")]
    found = [end for end in ends if end >= 0]
    return min(found) + 9 if found else start + len(b"LYRICSBEGIN")
