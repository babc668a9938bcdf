"""Objects on a local disk: whole or absent, durable when a call returns.

Replacing is rename(2), creating exclusively is link(2); both act on a file that is complete and synced, so a
crash leaves nothing but a temporary file whose name starts with `.tmp-`.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from infra.errors import StorageError

TEMPORARY = ".tmp-"


class Entry(NamedTuple):
    """An object of a listing: path relative to the root, bytes, and seconds since it was written.

    Another `version`: it was written again meanwhile, with the same content or another.
    """

    path: str
    bytes: int
    age: float
    version: str


def staged_beside(path: str) -> str:
    """A name that nobody else uses, in the folder of `path`, of an object that no listing of names shows."""
    folder, _, _ = path.rpartition("/")
    return f"{folder}/{TEMPORARY}{secrets.token_hex(8)}".lstrip("/")


@contextmanager
def named(path: Path) -> Iterator[None]:
    """OSErrors of the block become a StorageError that names `path`; FileNotFoundError passes."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error


class LocalDisk:
    """A folder as an object store. Paths are relative and use forward slashes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def uri(self, path: str) -> str:
        return str(self.root / path)

    def read(self, path: str) -> bytes:
        with named(self.root / path):
            return (self.root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        target = self.root / path
        with named(target):
            with _complete(target, data) as temporary:
                os.replace(temporary, target)
            _sync_folder(target.parent)

    def stage(self, path: str, data: bytes) -> str:
        staged = staged_beside(path)
        self.write(staged, data)
        return staged

    def move(self, source: str, target: str) -> bool:
        try:
            with named(self.root / target):
                os.replace(self.root / source, self.root / target)
        except FileNotFoundError:
            return False
        _sync_folder((self.root / target).parent)
        return True

    def create(self, path: str, data: bytes) -> bool:
        target = self.root / path
        with named(target):
            try:
                with _complete(target, data) as temporary:
                    os.link(temporary, target)
            except FileExistsError:
                return False
            _sync_folder(target.parent)
        return True

    def exists(self, path: str) -> bool:
        with named(self.root / path):
            return (self.root / path).is_file()

    def size(self, path: str) -> int:
        with named(self.root / path):
            return (self.root / path).stat().st_size

    def names(self, path: str) -> list[str]:
        try:
            with named(self.root / path):
                found = os.listdir(self.root / path)
        except FileNotFoundError:
            return []
        return sorted(name for name in found if not name.startswith(TEMPORARY))

    def walk(self, path: str) -> Iterator[Entry]:
        for folder, _, files in os.walk(self.root / path):
            for name in files:
                file = Path(folder, name)
                try:
                    found = file.stat()
                except FileNotFoundError:
                    continue  # deleted since it was listed
                yield Entry(
                    file.relative_to(self.root).as_posix(),
                    found.st_size,
                    time.time() - found.st_mtime,
                    f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}",
                )

    def delete(self, path: str) -> None:
        with named(self.root / path):
            (self.root / path).unlink(missing_ok=True)

    def delete_many(self, paths: Iterable[str]) -> None:
        for path in paths:
            self.delete(path)

    def open(self, path: str) -> pa.NativeFile:
        with named(self.root / path):
            return pa.OSFile(self.uri(path), "rb")

    def digest(self, path: str) -> str:
        with named(self.root / path), (self.root / path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def check(self) -> None:
        """Create the root and write one file in it, so that a wrong root fails before any work."""
        if self.root.exists() and not self.root.is_dir():
            raise StorageError(f"root {self.root}: is a file, expected a folder")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f"{TEMPORARY}{secrets.token_hex(8)}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise StorageError(f"root {self.root}: cannot write there ({error.strerror or error})") from error


@contextmanager
def _complete(target: Path, data: bytes) -> Iterator[Path]:
    """A synced temporary file beside `target` that holds `data`; removed afterwards if still there."""
    _make_folder(target.parent)
    temporary = target.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
