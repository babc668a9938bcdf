"""What a reader of a public dataset's label files is."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from infra.errors import ConfigError
from infra.storage.store import read_uri


@dataclass(frozen=True)
class Reader:
    """One dataset's official files as plain tables: a row per track, lists for tags, text otherwise.

    reads: whether a path or s3:// address is one of its files that no other program would read as a table; read: that
    file as a table. complete: what it adds to a table that anybody can read, of what lies elsewhere. Both raise
    ConfigError for what is not what it seems.
    """

    name: str
    files: str
    reads: Callable[[str], bool] = lambda _: False
    read: Callable[[str], pa.Table] | None = None
    complete: Callable[[pa.Table, str], pa.Table] = lambda table, _: table


def content(uri: str) -> bytes:
    """The bytes of a label file. Raises ConfigError where there is none."""
    try:
        return read_uri(uri)
    except FileNotFoundError:
        raise ConfigError(f"{uri}: no such file") from None
