"""Containers made of chunks: WAV (RIFF, RIFX, RF64, BW64), Wave64, AIFF, AU and CAF.

Each says where its samples lie and how many bytes a sample takes. Sizes that a writer could not go back to fill in
mean "up to the end of the file", as players take them.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from features.audio.containers import mpeg
from features.audio.containers.structure import Structure, one_or_more

RIFF = (b"RIFF", b"RIFX", b"RF64", b"BW64")
WAVE64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
# By writers to a pipe: FFmpeg, SoX, arecord and others; some subtract the header's size.
_UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x7FFFF000)
_RATES_HZ = (1000, 768_000)
_PACKET_BYTES = 4096  # of uncompressed samples: a few bytes more or less are a writer's mistake
_MP3, _EXTENSIBLE = 0x55, 0xFFFE
_UNCOMPRESSED = (1, 3, 6, 7)  # integers, floats, A-law, mu-law: block_align bytes a sample of all channels
_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
_AIFC_UNCOMPRESSED = (b"NONE", b"twos", b"sowt", b"raw ", b"in24", b"in32", b"42ni", b"23ni", b"fl32", b"FL32",
                      b"fl64", b"FL64", b"ulaw", b"ULAW", b"alaw", b"ALAW")  # fmt: skip


@dataclass(frozen=True)
class _Format:
    """Of samples: `frame_bytes` of one of all channels, or 0 where they are compressed."""

    tag: int
    rate: float
    frame_bytes: int
    bytes_per_second: int


def wav(data: bytes) -> Structure:
    """RIFF, RIFX, RF64 and BW64; files one after the other are parts."""
    return one_or_more(data, data[:4], _riff_end, _one_wav)


def _riff_end(data: bytes, start: int) -> int:
    order = "big" if data.startswith((b"RIFX", b"FORM"), start) else "little"
    size = int.from_bytes(data[start + 4 : start + 8], order)
    if data.startswith((b"RF64", b"BW64"), start) and data.startswith(b"ds64", start + 12):
        size = int.from_bytes(data[start + 20 : start + 28], "little")
    return start + 8 + size


def _one_wav(data: bytes) -> Structure:
    order = ">" if data[:4] == b"RIFX" else "<"
    (riff_size,) = struct.unpack_from(order + "I", data, 4) if len(data) >= 8 else (0,)
    form, fact, samples = None, 0, list[tuple[int, int]]()
    for identifier, size, start in _riff_chunks(data, order, _long_size(data)):
        if identifier == b"fmt " and len(data) >= start + 16:
            form = _wav_format(data, start, size, order)
        elif identifier == b"fact" and len(data) >= start + 4:
            (fact,) = struct.unpack_from(order + "I", data, start)
        elif identifier == b"data":
            samples.append((start, _stated(size, start, riff_size, data)))
            if samples[-1][1] != size:
                break  # up to the end
    if not samples or form is None:
        cut = 8 + riff_size > len(data) and riff_size not in _UNKNOWN_SIZES
        return Structure(
            cut=f"the RIFF chunk ends at byte {8 + riff_size}, the file at {len(data)}" if cut else None
        )
    return _of_samples(data, samples, form, fact, "data chunk")


def _stated(size: int, start: int, riff_size: int, data: bytes) -> int:
    """The bytes that a data chunk holds: those to the end of the file where its writer did not know."""
    rest = len(data) - start
    subtracted = riff_size in _UNKNOWN_SIZES and size == riff_size + 8 - start
    if size in _UNKNOWN_SIZES or subtracted:
        return rest
    if size == 0 and rest and not _are_chunks(data, start):
        return rest
    return size


def _are_chunks(data: bytes, position: int) -> bool:
    """Whether what follows is chunks up to the end of the data."""
    while position + 8 <= len(data):
        identifier, size = struct.unpack_from("<4sI", data, position)
        if not all(32 <= byte < 127 for byte in identifier):
            return False
        position += 8 + size + size % 2
    return len(data) - 1 <= position <= len(data) + 1


def _long_size(data: bytes) -> int:
    """The size of the data chunk that the ds64 chunk of RF64 and BW64 states, 0 without one."""
    return struct.unpack_from("<Q", data, 28)[0] if data[12:16] == b"ds64" and len(data) >= 36 else 0


def _riff_chunks(data: bytes, order: str, long_size: int) -> Iterator[tuple[bytes, int, int]]:
    """(identifier, size, offset of the content); long_size: of a data chunk that leaves it to ds64."""
    position = 12
    while position + 8 <= len(data):
        identifier, size = struct.unpack_from(order + "4sI", data, position)
        if identifier == b"data" and size == 0xFFFFFFFF and long_size:
            size = long_size
        yield identifier, size, position + 8
        position += 8 + size + size % 2


def _wav_format(data: bytes, start: int, size: int, order: str) -> _Format:
    tag, _, rate, per_second, align, _ = struct.unpack_from(order + "HHIIHH", data, start)
    if tag == _EXTENSIBLE and size >= 26 and len(data) >= start + 26:
        (tag,) = struct.unpack_from(order + "H", data, start + 24)
    return _Format(tag, rate, align if tag in _UNCOMPRESSED else 0, per_second)


def _of_samples(
    data: bytes, samples: list[tuple[int, int]], form: _Format, frames: int, what: str
) -> Structure:
    """From where samples lie, (offset, bytes); frames: how many a header states, 0 where it does not."""
    start, size = samples[-1]
    lack = start + size - len(data)
    cut = f"the {what} ends at byte {start + size}, the file at {len(data)}" if lack > _PACKET_BYTES else None
    if cut or not _RATES_HZ[0] <= form.rate <= _RATES_HZ[1]:
        return Structure(cut=cut)
    if form.frame_bytes:
        seconds = sum(size for _, size in samples) // form.frame_bytes / form.rate
        packet = _PACKET_BYTES / form.frame_bytes / form.rate
        several = f"{len(samples)} data chunks" if len(samples) > 1 else None
        return Structure(seconds=seconds, packet_seconds=packet, unsuited=several)
    if form.tag == _MP3:
        return mpeg.structure(data[start : start + size])
    by_rate = size / form.bytes_per_second if form.bytes_per_second else 0.0
    plausible = by_rate / 2 < frames / form.rate < 2 * by_rate
    return (
        Structure(seconds=frames / form.rate, packet_seconds=_PACKET_BYTES / form.rate)
        if plausible
        else Structure()
    )


def wave64(data: bytes) -> Structure:
    """Sony Wave64: chunks are named by 16 bytes, sizes of 8 bytes include the head and are padded to 8."""
    return one_or_more(data, WAVE64, _wave64_end, _one_wave64)


def _wave64_end(data: bytes, start: int) -> int:
    return start + int.from_bytes(data[start + 16 : start + 24], "little")


def _one_wave64(data: bytes) -> Structure:
    position, form, samples = 40, None, list[tuple[int, int]]()
    while position + 24 <= len(data):
        identifier, size = struct.unpack_from("<4s12xQ", data, position)
        start = position + 24
        if identifier == b"fmt " and len(data) >= start + 16:
            form = _wav_format(data, start, size - 24, "<")
        elif identifier == b"data":
            known = 24 < size < 1 << 62
            samples.append((start, size - 24 if known else len(data) - start))
            if not known:
                break
        if size < 24:
            break
        position += size + -size % 8
    if not samples or form is None:
        return Structure(cut=None if samples else f"no data chunk in {len(data)} bytes")
    return _of_samples(data, samples, form, 0, "data chunk")


def aiff(data: bytes) -> Structure:
    """AIFF and AIFC: COMM says how many samples of which kind, SSND where they lie."""
    return one_or_more(data, b"FORM", _riff_end, _one_aiff)


def _one_aiff(data: bytes) -> Structure:
    form, frames, samples, position = None, 0, list[tuple[int, int]](), 12
    while position + 8 <= len(data):
        identifier, size = struct.unpack_from(">4sI", data, position)
        start = position + 8
        if identifier == b"COMM" and len(data) >= start + 18:
            form, frames = _aiff_format(data, start)
        elif identifier == b"SSND":
            unknown = size in _UNKNOWN_SIZES or size == 0
            samples.append((start + 8, len(data) - start - 8 if unknown else max(0, size - 8)))
        position = start + size + size % 2
    if not samples or form is None:
        (promised,) = struct.unpack_from(">I", data, 4) if len(data) >= 8 else (0,)
        cut = 8 + promised > len(data) and promised not in _UNKNOWN_SIZES
        return Structure(
            cut=f"the FORM chunk ends at byte {8 + promised}, the file at {len(data)}" if cut else None
        )
    found = _of_samples(data, samples, form, 0, "SSND chunk")
    if found.seconds is None or not form.frame_bytes or frames <= 0:
        return found
    return Structure(seconds=min(frames / form.rate, found.seconds), packet_seconds=found.packet_seconds)


def _aiff_format(data: bytes, start: int) -> tuple[_Format, int]:
    channels, frames, bits, exponent, mantissa = struct.unpack_from(">hIhHQ", data, start)
    power = (exponent & 0x7FFF) - 16383  # of an 80-bit float
    rate = mantissa * 2.0 ** (power - 63) if 0 <= power < 32 else 0.0
    kind = data[start + 18 : start + 22] if data[8:12] == b"AIFC" else b"NONE"
    frame_bytes = channels * ((bits + 7) // 8) if kind in _AIFC_UNCOMPRESSED else 0
    return _Format(0, rate, max(0, frame_bytes), 0), frames


def au(data: bytes) -> Structure:
    """Sun's AU, and its little-endian sister."""
    return one_or_more(data, data[:4], _au_end, _one_au)


def _au_end(data: bytes, start: int) -> int:
    order = "big" if data.startswith(b".snd", start) else "little"
    return start + sum(int.from_bytes(data[start + at : start + at + 4], order) for at in (4, 8))


def _one_au(data: bytes) -> Structure:
    if len(data) < 24:
        return Structure(cut=f"the file ends in its header, at byte {len(data)}")
    order = ">" if data[:4] == b".snd" else "<"
    offset, size, encoding, rate, channels = struct.unpack_from(order + "5I", data, 4)
    if size in _UNKNOWN_SIZES:
        size = max(0, len(data) - offset)
    form = _Format(0, rate, _AU_BYTES.get(encoding, 0) * channels, 0)
    return _of_samples(data, [(offset, size)], form, 0, "data chunk")


def caf(data: bytes) -> Structure:
    """Apple's Core Audio Format: `desc` says what a packet is, `pakt` how many samples count."""
    return one_or_more(data, b"caff", _caf_end, _one_caf)


def _caf_end(data: bytes, start: int) -> int:
    """After the last chunk; the end of the data where one does not say its size."""
    position = start + 8
    while position + 12 <= len(data) and not data.startswith(b"caff", position):
        (size,) = struct.unpack_from(">q", data, position + 4)
        if size < 0:
            return len(data)
        position += 12 + size
    return position


def _one_caf(data: bytes) -> Structure:
    position, form, frames, samples = 8, None, 0, list[tuple[int, int]]()
    while position + 12 <= len(data):
        identifier, size = struct.unpack_from(">4sq", data, position)
        start = position + 12
        if identifier == b"desc" and len(data) >= start + 32:
            rate, _, _, packet_bytes, packet_frames = struct.unpack_from(">d4sIII", data, start)
            good = 0 < rate < 1e9
            form = _Format(0, rate if good else 0.0, packet_bytes if packet_frames == 1 else 0, 0)
        elif identifier == b"pakt" and len(data) >= start + 24:
            (frames,) = struct.unpack_from(">q", data, start + 8)
        elif identifier == b"data":
            size = len(data) - start if size < 0 else size
            samples.append((start + 4, max(0, size - 4)))
        position = start + max(0, size)
    if not samples or form is None:
        return Structure(cut=None if samples else f"no data chunk in {len(data)} bytes")
    found = _of_samples(data, samples, form, 0, "data chunk")
    if found.cut or form.frame_bytes or not form.rate or frames <= 0:
        return found
    return Structure(seconds=frames / form.rate, packet_seconds=_PACKET_BYTES / form.rate)
