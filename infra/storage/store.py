"""One interface to a local folder and to an S3 prefix: whole objects, created or replaced."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from infra.errors import ConfigError, StorageError
from infra.storage.local import Entry, LocalDisk
from infra.storage.local import named as named_path
from infra.storage.s3 import Bucket, connect
from infra.storage.s3 import named as named_uri


class Store:
    """The objects under `root`, a local path or `s3://bucket/prefix`; paths are relative, with slashes.

    Only the root travels when it is pickled. Every method raises StorageError when the storage fails after
    its own retries, and FileNotFoundError where an object is absent (`names` and `exists` do not).
    """

    def __init__(self, root: str) -> None:
        if "://" in root and not root.startswith("s3://"):
            raise ConfigError(f"root {root}: expected a local path or s3://bucket/prefix")
        self.root = root.rstrip("/") if root.startswith("s3://") else str(Path(root).absolute())

    @cached_property
    def _backend(self) -> LocalDisk | Bucket:
        return Bucket(self.root) if self.root.startswith("s3://") else LocalDisk(Path(self.root))

    def __reduce__(self) -> tuple[type["Store"], tuple[str]]:
        return Store, (self.root,)

    def __repr__(self) -> str:
        return f"Store({self.root!r})"

    def uri(self, path: str) -> str:
        """The absolute path or s3:// address of an object."""
        return self._backend.uri(_relative(path))

    def read(self, path: str) -> bytes:
        """The whole object."""
        return self._backend.read(_relative(path))

    def write(self, path: str, data: bytes) -> None:
        """Create or replace the object; readers see the old one or the new one."""
        self._backend.write(_relative(path), data)

    def create(self, path: str, data: bytes) -> bool:
        """Create the object unless it exists; False means that an object is there, read it to know which."""
        return self._backend.create(_relative(path), data)

    def stage(self, path: str, data: bytes) -> str:
        """Write what is to become the object, hidden beside it under a name that is used once; that path."""
        return self._backend.stage(_relative(path), data)

    def move(self, source: str, target: str) -> bool:
        """Put a staged object in the place of another; False, and nothing changes, where it was moved already."""
        return self._backend.move(_relative(source), _relative(target))

    def exists(self, path: str) -> bool:
        """Whether the object is there."""
        return self._backend.exists(_relative(path))

    def size(self, path: str) -> int:
        """Bytes of the object."""
        return self._backend.size(_relative(path))

    def names(self, prefix: str) -> list[str]:
        """Sorted names of the objects and folders directly under `prefix`; for small folders only."""
        return self._backend.names(_relative(prefix))

    def walk(self, prefix: str) -> Iterator[Entry]:
        """Everything under `prefix`, in no order; also what a writer that died has left half done."""
        return self._backend.walk(_relative(prefix))

    def delete(self, path: str) -> None:
        """Remove the object; not an error if it is absent."""
        self._backend.delete(_relative(path))

    def delete_many(self, paths: Iterable[str]) -> None:
        """Remove these objects, many with one request where the storage can; not an error if some are absent."""
        self._backend.delete_many(_relative(path) for path in paths)

    def open(self, path: str) -> pa.NativeFile:
        """Random access for a Parquet reader."""
        return self._backend.open(_relative(path))

    def digest(self, path: str) -> str:
        """SHA-256 of the object as 64 hexadecimal digits, read in bounded pieces."""
        return self._backend.digest(_relative(path))

    def check(self) -> None:
        """Fail now, with the reason, if the root cannot be written."""
        self._backend.check()


def read_uri(uri: str, most: int | None = None) -> bytes:
    """The bytes of an audio or label file at an absolute path or s3:// address; of a path at most `most`.

    Raises FileNotFoundError if it is absent, StorageError if the storage fails.
    """
    if uri.startswith("s3://"):
        with named_uri(uri):
            data: Any = connect().cat_file(uri, max_concurrency=1)
            return data
    with named_path(Path(uri)), Path(uri).open("rb") as file:
        return file.read(-1 if most is None else most)


def _relative(path: str) -> str:
    if path.startswith("/") or ".." in PurePosixPath(path).parts or "\0" in path:
        raise StorageError(f"{path}: not a path below the root")
    return path.rstrip("/")
