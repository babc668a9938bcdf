"""FLAC (RFC 9639) by its metadata blocks, or where these say nothing of the length by the headers of its frames."""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.audio.containers.structure import Structure, beyond, one_or_more

_MARKER = b"fLaC"
_HEADS = (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")  # of STREAMINFO, which comes first
_SEARCH_BYTES = 1 << 16  # for a first frame without metadata, or what says that it has some
_ROUNDING_SECONDS = 1e-5
_RATES_HZ = np.array(
    [0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 0, 0, 0, 0]
)


def structure(data: bytes) -> Structure:
    """What a FLAC file says of its length; each file of several that were joined is a part."""
    starts = _starts(data)
    if starts[:1] != [0]:
        return _by_frames(data, 0, 0)
    following = dict(zip(starts, [*starts[1:], len(data)], strict=True))
    return one_or_more(data, _MARKER, lambda _, start: following[start], _one)


def is_frame(data: bytes, start: int = 0) -> bool:
    """Whether a frame begins there, by the checksum of its header."""
    return bool(_frame(np.frombuffer(data, np.uint8), start, 0, _checksums(), _RATES_HZ)[0])


def has_frames(data: bytes) -> bool:
    """Whether frames without metadata begin somewhere in the first bytes: two that follow one another.

    Not those of another container, behind whose marker they lie.
    """
    if any(data.find(marker, 0, _SEARCH_BYTES) >= 0 for marker in (_MARKER, b"OggS")):
        return False
    octets = np.frombuffer(data, np.uint8)[: 4 * _SEARCH_BYTES]
    return bool(_walk(octets, 0, 0, _checksums(), _RATES_HZ)[0] > 1)


def _starts(data: bytes) -> list[int]:
    if data.startswith(_MARKER) and not _has_marker(np.frombuffer(data, np.uint8)[len(_MARKER) :]):
        return [0]
    starts, position = list[int](), data.find(_MARKER)
    while position >= 0:
        if data.startswith(_HEADS, position + 4):
            starts.append(position)
        position = data.find(_MARKER, position + 4)
    return starts


def _one(data: bytes) -> Structure:
    position, is_last = len(_MARKER), False
    start = position + 4
    while not is_last:
        if position + 4 > len(data):
            return Structure(cut=f"the file ends in its metadata, at byte {len(data)}")
        is_last = data[position] >= 0x80
        position += 4 + int.from_bytes(data[position + 1 : position + 4], "big")
    cut = beyond("metadata chunk", position, data)
    if cut or len(data) < start + 18:
        return Structure(cut=cut)
    block = int.from_bytes(data[start + 2 : start + 4], "big")
    packed = int.from_bytes(data[start + 10 : start + 18], "big")
    rate, total = packed >> 44, packed & ((1 << 36) - 1)
    if rate and total:
        return Structure(seconds=total / rate, packet_seconds=block / rate)
    return _by_frames(data, position, rate)


def _by_frames(data: bytes, start: int, rate: int) -> Structure:
    """From the headers of frames on; rate: that of a frame that does not say, in Hz."""
    octets = np.frombuffer(data, np.uint8)
    frames, seconds, changes = _walk(octets, start, rate, _checksums(), _RATES_HZ)
    if not frames:
        return Structure()
    # The last header counts although its frame may be cut: nobody says how much is missing behind it.
    unsuited = "rate or channels change inside the file" if changes else None
    return Structure(seconds=float(seconds), packet_seconds=_ROUNDING_SECONDS, unsuited=unsuited)


@njit(cache=True)
def _has_marker(octets):  # type: ignore[no-untyped-def]
    """Whether fLaC stands anywhere: without a branch, so that the compiler compares many bytes at a time."""
    found = np.uint8(0)
    for i in range(len(octets) - 3):
        found |= np.uint8(
            (octets[i] == 0x66) & (octets[i + 1] == 0x4C) & (octets[i + 2] == 0x61) & (octets[i + 3] == 0x43)
        )
    return found > 0


@njit(cache=True)
def _walk(octets, start, rate, checksums, rates):  # type: ignore[no-untyped-def]
    """Frames, their seconds, and how often rate or channels change.

    A frame counts that has the next number, or in a stream of variable blocks a later sample than the one before.
    """
    frames, seconds, changes = 0, 0.0, 0
    expected, last_rate, last_channels = -1, 0, -1
    position = start
    while position + 16 <= len(octets):
        if octets[position] != 0xFF or octets[position + 1] & 0xFE != 0xF8:
            position += 1
            continue
        samples, hz, channels, number = _frame(octets, position, rate, checksums, rates)
        is_variable = octets[position + 1] & 1
        fits = number >= expected if is_variable else expected < 0 or number == expected
        if samples == 0 or hz == 0 or not fits:
            position += 1
            continue
        frames += 1
        seconds += samples / hz
        changes += last_rate > 0 and (hz != last_rate or channels != last_channels)
        last_rate, last_channels = hz, channels
        expected = number + (samples if is_variable else 1)
        position += 8
    return frames, seconds, changes


@njit(cache=True)
def _frame(octets, start, rate, checksums, rates):  # type: ignore[no-untyped-def]
    """Samples, rate, channels and number of the frame with the header there; no samples where there is none."""
    nothing = (0, 0, 0, 0)
    if start + 16 > len(octets) or octets[start] != 0xFF or octets[start + 1] & 0xFE != 0xF8:
        return nothing
    block, hz, channels = octets[start + 2] >> 4, octets[start + 2] & 15, octets[start + 3] >> 4
    if block == 0 or hz == 15 or channels > 10 or octets[start + 3] & 1:
        return nothing
    number, at = _number(octets, start + 4)
    if number < 0:
        return nothing
    samples, at = _block_samples(octets, at, block)
    found, at = _rate(octets, at, hz, rate, rates)
    checksum = 0
    for i in range(start, at):
        checksum = checksums[checksum ^ octets[i]]
    if checksum != octets[at]:
        return nothing
    return samples, found, channels + 1 if channels < 8 else 2, number


@njit(cache=True)
def _number(octets, at):  # type: ignore[no-untyped-def]
    """The number that is coded as UTF-8 codes characters, up to 36 bits, and the offset behind; -1 where none is."""
    n_bytes = 0
    while n_bytes < 8 and octets[at] & (0x80 >> n_bytes):
        n_bytes += 1
    if n_bytes == 1 or n_bytes == 8:
        return -1, at
    number = np.int64(octets[at] & (0x7F >> n_bytes))
    for i in range(1, n_bytes):
        if octets[at + i] & 0xC0 != 0x80:
            return -1, at
        number = number << 6 | np.int64(octets[at + i] & 0x3F)
    return number, at + max(n_bytes, 1)


@njit(cache=True)
def _block_samples(octets, at, code):  # type: ignore[no-untyped-def]
    """Samples a channel by their code, some with bytes of their own, and the offset behind these."""
    if code == 1:
        return 192, at
    if code <= 5:
        return 576 << (code - 2), at
    if code == 6:
        return np.int64(octets[at]) + 1, at + 1
    if code == 7:
        return (np.int64(octets[at]) << 8 | np.int64(octets[at + 1])) + 1, at + 2
    return 256 << (code - 8), at


@njit(cache=True)
def _rate(octets, at, code, rate, rates):  # type: ignore[no-untyped-def]
    """The rate in Hz by its code, some with bytes of their own, and the offset behind these."""
    if code == 0:
        return np.int64(rate), at
    if code == 12:
        return np.int64(octets[at]) * 1000, at + 1
    if code >= 13:
        return (np.int64(octets[at]) << 8 | np.int64(octets[at + 1])) * (10 if code == 14 else 1), at + 2
    return np.int64(rates[code]), at


@lru_cache(maxsize=1)
def _checksums() -> NDArray[Any]:
    """CRC-8 of a byte, polynomial x^8 + x^2 + x + 1: (256,)."""
    table = np.arange(256)
    for _ in range(8):
        table = (table << 1 ^ np.where(table & 0x80, 0x107, 0)) & 0x1FF
    return table.astype(np.uint8)
