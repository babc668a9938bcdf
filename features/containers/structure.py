"""What the structure of an audio file says of its length, before anything is decoded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Structure:
    """What a file's own structure promises over its whole length.

    cut: what says that its end is missing, in one line, or None. seconds: what a whole decoding gives at least, None
    where the container does not say. packet_seconds: the length of a packet; a decoding that lacks less is whole.
    parts: files of their own that follow one another in it; () for one file. unsuited: why libsndfile would not read
    all of it, or None.
    """

    cut: str | None = None
    seconds: float | None = None
    packet_seconds: float = 0.0
    parts: tuple["Part", ...] = ()
    unsuited: str | None = None


@dataclass(frozen=True)
class Part:
    """One of several files that follow one another: its bytes start..end, and what they say."""

    start: int
    end: int
    structure: Structure


def beyond(what: str, promised_end: int, data: bytes) -> str | None:
    """The line for something that ends behind the end of the data; None where it does not."""
    if promised_end <= len(data):
        return None
    return f"the {what} ends at byte {promised_end}, the file at {len(data)}"
