"""A track list that people bring: a table with one row per audio file, wherever the files lie."""

import posixpath
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from infra.datasets.audio import Found, local_version
from infra.datasets.tables import read_table
from infra.errors import ConfigError
from infra.storage.s3 import connect, named

URI_COLUMNS = ("uri", "path", "file", "filename", "filepath")
PARALLEL_LOOKS = 32
ABSENT = "absent"


def read_list(uri: str) -> list[Found]:
    """The files a table lists, sorted by name; relative paths start at the table's folder.

    Columns `bytes` and `version`, where both are given, save a look at every file. A file that is not there
    is listed with version `absent`. Raises ConfigError for a table that cannot be a track list.
    """
    table = read_table(uri)
    column = next((name for name in URI_COLUMNS if name in table.column_names), None)
    if column is None:
        raise ConfigError(
            f"{uri}: no column {', '.join(URI_COLUMNS)}; it has {', '.join(table.column_names)}"
        )
    written = [_checked(uri, value) for value in table[column].to_pylist()]
    if not written:
        raise ConfigError(f"{uri}: lists no files")
    folder = uri.rpartition("/")[0] if uri.startswith("s3://") else str(Path(uri).absolute().parent)
    uris = [value if _is_absolute(value) else f"{folder}/{value}" for value in written]
    names = _names(written)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"{uri}: lists {twice!r} more than once")
    return sorted(_found(uris, names, table), key=lambda item: item.name)


def _found(uris: Sequence[str], names: Sequence[str], table: pa.Table) -> Iterator[Found]:
    if {"bytes", "version"} <= set(table.column_names):
        columns = (table[name].to_pylist() for name in ("bytes", "version"))
        for uri, name, size, version in zip(uris, names, *columns, strict=True):
            yield Found(uri, name, _as_bytes(size, name), str(version))
        return
    with ThreadPoolExecutor(PARALLEL_LOOKS) as pool:
        yield from pool.map(look, uris, names)


def look(uri: str, name: str) -> Found:
    """A file at an absolute path or s3:// address, as a listing would say it; of version ABSENT where there is none."""
    try:
        if not uri.startswith("s3://"):
            status = Path(uri).stat()
            return Found(uri, name, status.st_size, local_version(status))
        with named(uri):
            info: Any = connect().info(uri)
        return Found(uri, name, info["size"], info["ETag"].strip('"'))
    except (
        OSError
    ):  # a local file that is not there, or that nobody lets us see; of a bucket only the former gets here
        return Found(uri, name, 0, ABSENT)


def _names(written: Sequence[str]) -> list[str]:
    """Relative paths as they are, absolute ones below their common folder."""
    absolute = [value for value in written if _is_absolute(value)]
    if not absolute:
        return [posixpath.normpath(value) for value in written]
    in_s3 = sum(value.startswith("s3://") for value in absolute)
    if len(absolute) < len(written) or 0 < in_s3 < len(absolute):
        return list(written)
    parents = [value.rpartition("/")[0] or "/" for value in absolute]
    common = posixpath.commonpath(parents) if not absolute[0].startswith("s3://") else _common_prefix(parents)
    return [value[len(common) :].lstrip("/") for value in absolute]


def _common_prefix(folders: Sequence[str]) -> str:
    return "s3://" + posixpath.commonpath([folder.removeprefix("s3://") for folder in folders])


def _checked(uri: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{uri}: a row names no file")
    if (
        ("://" in value and not value.startswith("s3://"))
        or ".." in PurePosixPath(value).parts
        or "\0" in value
    ):
        raise ConfigError(f"{uri}: {value!r}: expected a path without '..' or an s3:// address")
    return value


def _is_absolute(value: str) -> bool:
    return value.startswith(("/", "s3://"))


def _as_bytes(size: Any, name: str) -> int:
    try:
        number = int(size)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not 0 <= number < 1 << 63:
        raise ConfigError(f"{name}: bytes is {size!r}, expected a number from 0 on")
    return number
