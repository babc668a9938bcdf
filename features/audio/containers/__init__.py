"""Audio containers by their structure: what a file claims to be, how long it says it is, whether its end is missing.

Decoders read the rest of a truncated or joined file without an error, so what they give is compared with what the
structure promises over the whole file. A container is one reader of its structure and one entry in `READERS`.
"""

from collections.abc import Callable

from features.audio.containers import boxes, chunks, flac, mpeg, ogg
from features.audio.containers.structure import Part, Structure
from features.audio.containers.tags import after_id3

__all__ = ["READERS", "UNREAD", "Part", "Structure", "content", "sniff", "structure"]

AAC = "aac"
MP3 = "mp3"
# What the structure of each kind says of its length.
READERS: dict[str, Callable[[bytes], Structure]] = {
    "wav": chunks.wav,
    "w64": chunks.wave64,
    "aiff": chunks.aiff,
    "au": chunks.au,
    "caf": chunks.caf,
    "flac": flac.structure,
    "ogg": ogg.structure,
    MP3: mpeg.structure,
    "mp4/m4a": boxes.mp4,
    "wma/asf": boxes.asf,
    "matroska/webm": boxes.matroska,
    AAC: boxes.adts,
}
_MAGIC = (  # (offset, magic, what it is)
    (0, b"OggS", "ogg"),
    (0, b"fLaC", "flac"),
    (0, b".snd", "au"),
    (0, b"dns.", "au"),
    (0, b"caff", "caf"),
    (0, chunks.WAVE64, "w64"),
    *((4, box, "mp4/m4a") for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wma/asf"),
    (0, b"\x1a\x45\xdf\xa3", "matroska/webm"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"#!AMR", "AMR"),
    (0, b"MThd", "MIDI"),
)
UNREAD = frozenset(name for _, _, name in _MAGIC) - READERS.keys()


def content(data: bytes, kind: str | None) -> bytes:
    """The file without the ID3v2 tags in front: libsndfile loses samples of other containers behind one.

    mp3 keeps them, its decoders know them.
    """
    return data if kind in (None, MP3) else data[after_id3(data) :]


def sniff(data: bytes) -> str | None:
    """A key of READERS, or one of UNREAD, by the first bytes behind ID3v2 tags; None for what is unknown.

    mp3 comes last: its frames are searched for, and may be found by chance in what is something else.
    """
    start = after_id3(data)
    if data[start : start + 4] in chunks.RIFF and data[start + 8 : start + 12] == b"WAVE":
        return "wav"
    if data[start : start + 4] == b"FORM" and data[start + 8 : start + 12] in (b"AIFF", b"AIFC"):
        return "aiff"
    for offset, magic, name in _MAGIC:
        if data.startswith(magic, start + offset):
            return name
    if flac.is_frame(data, start):
        return "flac"
    if boxes.is_adts(data, start):
        return AAC
    if start or mpeg.first_frame(data, 0) is not None:
        return MP3
    return "flac" if flac.has_frames(data) else None


def structure(data: bytes, kind: str | None) -> Structure:
    """What the structure of a file of this kind says of its length; nothing where it is not known."""
    return READERS[kind](data) if kind in READERS else Structure()
