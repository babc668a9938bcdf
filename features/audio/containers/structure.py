"""What the structure of an audio file says of its length, before anything is decoded."""

from collections.abc import Callable
from dataclasses import dataclass

from features.audio.containers.tags import after_tags


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


def one_or_more(
    data: bytes, magic: bytes, end: Callable[[bytes, int], int], one: Callable[[bytes], Structure]
) -> Structure:
    """The structure of one file, or of several as parts: another begins where one ends by its own size, or behind tags.

    end: where the file that begins at an offset ends; magic: how each begins.
    """
    starts, position = [0], end(data, 0)
    while position - starts[-1] > 0 and position < len(data):
        position = after_tags(data, position)
        if not data.startswith(magic, position):
            break
        starts.append(position)
        position = end(data, position)
    if len(starts) == 1:
        return one(data)
    bounds = zip(starts, [*starts[1:], len(data)], strict=True)
    return Structure(parts=tuple(Part(start, stop, one(data[start:stop])) for start, stop in bounds))
