"""Objects in an S3 bucket, through s3fs. Credentials, region and endpoint come from the environment.

Only whole-object calls are used: an exception inside `with fs.open(...)` would publish the truncated object.
"""

import hashlib
import io
import mimetypes
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from botocore.exceptions import BotoCoreError

from infra.errors import StorageError
from infra.storage.local import TEMPORARY, Entry, staged_beside

RANGE_BYTES = 64 << 20
KEYS_AT_ONCE = 1000  # as many as DeleteObjects takes
DELAYS_SECONDS = (0.5, 1.0, 2.0, 0.0)


@contextmanager
def named(uri: str) -> Iterator[None]:
    """Errors of the block become a StorageError that names `uri`; a missing or existing object passes."""
    try:
        yield
    except FileNotFoundError as error:
        if type(error.__cause__).__name__ == "NoSuchBucket":
            raise StorageError(f"{uri}: no such bucket") from error
        raise
    except FileExistsError:
        raise
    except (OSError, BotoCoreError) as error:
        raise StorageError(f"{uri}: {' '.join(str(error).split()) or type(error).__name__}") from error


def connect() -> Any:
    """The s3fs file system of this process (fsspec caches it): with retries, without a stale listing cache."""
    # Half a second to import, which a job on a local disk need not spend.
    import s3fs

    retries = {"max_attempts": 6, "mode": "standard"}
    config = {"connect_timeout": 10, "read_timeout": 60, "retries": retries}
    return s3fs.S3FileSystem(use_listings_cache=False, config_kwargs=config)


class Bucket:
    """`s3://bucket/prefix` as an object store. Paths are relative and use forward slashes."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self.bucket, _, self.prefix = self.root.removeprefix("s3://").partition("/")
        if not self.bucket:
            raise StorageError(f"{root}: no bucket named, expected s3://bucket/prefix")
        self.files = connect()

    def uri(self, path: str) -> str:
        return f"{self.root}/{path}"

    def key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path

    def read(self, path: str) -> bytes:
        with named(self.uri(path)):
            return self._content(path)

    def read_range(self, path: str, start: int, stop: int) -> bytes:
        with named(self.uri(path)):
            return self._content(path, start=start, end=stop)

    def write(self, path: str, data: bytes) -> None:
        self._put(path, data, path)

    def stage(self, path: str, data: bytes) -> str:
        staged = staged_beside(path)
        self._put(staged, data, path)
        return staged

    def move(self, source: str, target: str) -> bool:
        """A copy, which the server makes of what is there when it makes it, then a deletion: repeated after a stop in
        between it is the same again. Up to 5 GB, more cannot be copied at once.
        """
        try:
            with named(self.uri(target)):
                self._call(
                    "copy_object",
                    Key=self.key(target),
                    CopySource={"Bucket": self.bucket, "Key": self.key(source)},
                )
        except FileNotFoundError:
            return False
        self.delete(source)
        return True

    def create(self, path: str, data: bytes) -> bool:
        """A reply that was lost makes a retry answer False although this call created the object:
        whoever gets False must read what is there."""
        try:
            with named(self.uri(path)):
                self.files.pipe_file(self.uri(path), data, mode="create")
        except FileExistsError:
            return False
        return True

    def exists(self, path: str) -> bool:
        try:
            self.size(path)
        except FileNotFoundError:
            return False
        return True

    def size(self, path: str) -> int:
        with named(self.uri(path)):
            return self._call("head_object", Key=self.key(path))["ContentLength"]

    def names(self, path: str) -> list[str]:
        try:
            with named(self.uri(path)):
                found = self.files.ls(self.uri(path), detail=False, refresh=True)
        except FileNotFoundError:
            return []
        names = (name.rstrip("/").rpartition("/")[2] for name in found)
        return sorted(name for name in names if not name.startswith(TEMPORARY))

    def walk(self, path: str) -> Iterator[Entry]:
        """A page of 1,000 objects at a time is in memory, and is one request."""
        start, more = self.key(f"{path}/") if path else self.key(""), {}
        while True:
            try:
                with named(self.uri(path)):
                    page = self._call("list_objects_v2", Prefix=start, **more)
            except FileNotFoundError:
                return
            for about in page.get("Contents", ()):
                written: datetime = about["LastModified"]
                age = (datetime.now(UTC) - written).total_seconds()
                name = about["Key"].removeprefix(self.key(""))
                yield Entry(name, about["Size"], age, f"{about['ETag']} {written.isoformat()}")
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, path: str) -> None:
        with named(self.uri(path)):
            self._call("delete_object", Key=self.key(path))

    def delete_many(self, paths: Iterable[str]) -> None:
        """A request for every 1,000; what S3 could not delete is asked for again."""
        keys = [self.key(path) for path in paths]
        for first in range(0, len(keys), KEYS_AT_ONCE):
            left = keys[first : first + KEYS_AT_ONCE]
            for delay in DELAYS_SECONDS:
                with named(self.root):
                    wanted = {"Objects": [{"Key": key} for key in left], "Quiet": True}
                    errors = self._call("delete_objects", Delete=wanted).get("Errors", ())
                if not errors:
                    break
                left = [error["Key"] for error in errors]
                time.sleep(delay)
            else:
                one = errors[0]
                said = f"{one.get('Code', '')} {one.get('Message', '')}".strip()
                raise StorageError(
                    f"s3://{self.bucket}/{one['Key']}: {len(errors)} objects could not be deleted ({said})"
                )

    def open(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(Ranges(self, path, self.size(path)), "r")

    def digest(self, path: str) -> str:
        total, digest = self.size(path), hashlib.sha256()
        for start in range(0, total, RANGE_BYTES):
            digest.update(self.read_range(path, start, min(start + RANGE_BYTES, total)))
        return digest.hexdigest()

    def check(self) -> None:
        """Write and delete one small object, so that a wrong root fails before any work."""
        try:
            self.write(".write-check", b"")
        except FileNotFoundError as error:
            raise StorageError(f"root {self.root}: {error}") from error
        self.delete(".write-check")

    def _put(self, path: str, data: bytes, named_as: str) -> None:
        # Named, because a browser that is served pages from a bucket would offer them as downloads.
        kind = mimetypes.guess_type(named_as)[0] or "application/octet-stream"
        with named(self.uri(path)):
            self.files.pipe_file(self.uri(path), data, ContentType=kind)

    def _content(self, path: str, **span: int) -> bytes:
        # One GET: with concurrency s3fs asks for the size first.
        data: Any = self.files.cat_file(self.uri(path), max_concurrency=1, **span)
        return data

    def _call(self, method: str, **arguments: Any) -> Any:
        return self.files.call_s3(method, Bucket=self.bucket, **arguments)


class Ranges(io.RawIOBase):
    """Random access to one object: every read is one ranged GET, nothing is read ahead."""

    def __init__(self, bucket: Bucket, path: str, size: int) -> None:
        self._bucket, self._path, self._size, self._position = bucket, path, size, 0

    def read(self, size: int | None = -1) -> bytes:
        stop = self._size if size is None or size < 0 else min(self._position + size, self._size)
        if stop <= self._position:
            return b""
        data = self._bucket.read_range(self._path, self._position, stop)
        self._position = stop
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
