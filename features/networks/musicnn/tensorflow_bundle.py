"""Tensors of a TensorFlow checkpoint ("bundle"), without TensorFlow: an index of names, and the raw values beside it.

The index is a table in the format of LevelDB (leveldb/doc/table_format.md): blocks of sorted entries whose keys share
prefixes, a block that names the others, and a footer. Its values are BundleEntryProto of
tensorflow/core/protobuf/tensor_bundle.proto. Read are uncompressed bundles of one file of float32 values, as musicnn's.
"""

import math
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_FOOTER_BYTES, _MAGIC = 48, 0xDB4775248B80FB57
_FLOAT = 1  # DT_FLOAT of tensorflow/core/framework/types.proto
_LENGTH_DELIMITED, _FIXED32 = 2, 5


def read_bundle(index: bytes, data: bytes) -> dict[str, NDArray[np.float32]]:
    """Tensors by name, from the bytes of `.index` and `.data-00000-of-00001`. Raises ValueError for anything else."""
    try:
        entries = dict(_table(index))
        entries.pop(b"", None)  # the header
        return {name.decode(): _tensor(entry, data) for name, entry in entries.items()}
    except (IndexError, struct.error, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"a TensorFlow bundle whose index is damaged ({error!r})") from None


def _table(index: bytes) -> Iterator[tuple[bytes, bytes]]:
    if len(index) < _FOOTER_BYTES or struct.unpack("<Q", index[-8:])[0] != _MAGIC:
        raise ValueError("no TensorFlow bundle: its index does not end as one")
    footer = index[-_FOOTER_BYTES:]
    _, place = _handle(footer, 0)
    block, _ = _handle(footer, place)
    for _, value in _entries(index, *block):
        handle, _ = _handle(value, 0)
        yield from _entries(index, *handle)


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    """((offset, size) of a block, what follows)."""
    offset, place = _varint(data, place)
    size, place = _varint(data, place)
    return (offset, size), place


def _entries(index: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if index[offset + size] != 0:
        raise ValueError("a TensorFlow bundle with a compressed index, which is not read here")
    block = index[offset : offset + size]
    (n_restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 - 4 * n_restarts
    place, key = 0, b""
    while place < end:
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + own]
        yield key, block[place + own : place + own + length]
        place += own + length


def _tensor(entry: bytes, data: bytes) -> NDArray[np.float32]:
    numbers, texts = _fields(entry)
    if numbers.get(1) != _FLOAT or numbers.get(3, 0) != 0:
        raise ValueError("a TensorFlow bundle of other values than float32 in one file")
    _, sizes = _fields(texts[2][0])
    shape = [_fields(size)[0].get(1, 0) for size in sizes.get(2, ())]
    offset, n_bytes = numbers.get(4, 0), numbers.get(5, 0)
    if offset + n_bytes > len(data) or n_bytes != 4 * math.prod(shape):
        raise ValueError(
            f"a TensorFlow bundle whose data, {len(data)} bytes, ends before byte {offset + n_bytes}"
        )
    return np.frombuffer(data, "<f4", n_bytes // 4, offset).reshape(shape)


def _fields(message: bytes) -> tuple[dict[int, int], dict[int, list[bytes]]]:
    """Numbers and texts of a protocol buffer's message, by the number of their field."""
    place = 0
    numbers: dict[int, int] = {}
    texts: dict[int, list[bytes]] = {}
    while place < len(message):
        tag, place = _varint(message, place)
        if tag & 7 == _LENGTH_DELIMITED:
            length, place = _varint(message, place)
            texts.setdefault(tag >> 3, []).append(message[place : place + length])
            place += length
        elif tag & 7 == _FIXED32:
            (numbers[tag >> 3],) = struct.unpack_from("<I", message, place)
            place += 4
        else:
            numbers[tag >> 3], place = _varint(message, place)
    return numbers, texts


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """(a number of seven bits a byte, what follows)."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
