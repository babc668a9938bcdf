"""Files of the same bytes under several names, found without reading a corpus.

Only files of the same size are compared: objects in S3 by their ETags; files on disk by their inodes, by a block from
their middle, and by a digest of the whole where that is the same too. Sizes that few files share come first: those
that thousands share come from the format, as in a corpus of clips. A budget of bytes ends the search.
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from infra.datasets.audio import Found

BLOCK = 4096
LOOK = 1 << 16  # what opening a file and reading a block of it counts as, bytes
THREADS = 16
_ETAG = re.compile(r"[0-9a-f]{32}(-\d+)?")


@dataclass(frozen=True)
class Duplicates:
    """Names of the same content together, in order of the first; and how many files the budget left uncompared."""

    groups: tuple[tuple[str, ...], ...]
    n_uncompared: int

    def __str__(self) -> str:
        parts = []
        if self.groups:
            extra = sum(len(group) - 1 for group in self.groups)
            parts.append(
                f"{extra} files have the same bytes as another one, the first is {self.groups[0][1]!r}, the same as "
                f"{self.groups[0][0]!r}; all are kept as tracks, which may fall on both sides of a split"
            )
        if self.n_uncompared:
            parts.append(
                f"{self.n_uncompared} files whose size others share were not compared (index.compare_bytes)"
            )
        return "; ".join(parts)


def find_duplicates(found: Iterable[Found], budget: int) -> Duplicates:
    """Which files have the same bytes; at most `budget` bytes are read, none for 0. Empty files do not count."""
    by_size: dict[int, list[Found]] = defaultdict(list)
    for item in found:
        if item.bytes:
            by_size[item.bytes].append(item)
    shared = sorted((group for group in by_size.values() if len(group) > 1), key=len)
    in_s3 = [item for group in shared for item in group if item.uri.startswith("s3://")]
    groups = list(_together(in_s3, [_etag(item) for item in in_s3]))
    uncompared = 0
    with ThreadPoolExecutor(THREADS) as pool:
        for group in shared if budget else ():
            local = [item for item in group if not item.uri.startswith("s3://")]
            budget -= LOOK * len(local)
            if budget < 0:
                uncompared += len(local)
                continue
            for alike in _together(local, list(pool.map(_glance, local))):
                budget -= group[0].bytes * len(alike)
                if budget < 0:
                    uncompared += len(alike)
                else:
                    groups += _together(alike, _digests(alike, pool))
    names = (tuple(sorted(item.name for item in group)) for group in groups)
    return Duplicates(tuple(sorted(names)), uncompared)


def _together(items: Sequence[Found], keys: Iterable[Hashable]) -> Iterator[list[Found]]:
    """Items of the same key, where they are several; those whose key is None are like no other."""
    alike: dict[Hashable, list[Found]] = defaultdict(list)
    for item, key in zip(items, keys, strict=True):
        if key is not None:
            alike[key].append(item)
    return (group for group in alike.values() if len(group) > 1)


def _etag(item: Found) -> Hashable:
    return (item.bytes, item.version) if _ETAG.fullmatch(item.version) else None


def _glance(item: Found) -> bytes | None:
    try:
        with open(item.uri, "rb", buffering=0) as file:
            file.seek(max(0, item.bytes - BLOCK) // 2)
            return hashlib.blake2b(file.read(BLOCK), digest_size=16).digest()
    except OSError:
        return None


def _digests(items: Sequence[Found], pool: ThreadPoolExecutor) -> list[Hashable]:
    """A digest of each whole file; links to one file are read once."""
    inodes = list(pool.map(_inode, items))
    first = {inode: item for item, inode in zip(items, inodes, strict=True)}
    if len(first) == 1:
        return list(inodes)
    digests = dict(zip(first, pool.map(_digest, first.values()), strict=True))
    return [digests[inode] for inode in inodes]


def _inode(item: Found) -> Hashable:
    try:
        status = os.stat(item.uri)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _digest(item: Found) -> bytes | None:
    try:
        with open(item.uri, "rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return None
