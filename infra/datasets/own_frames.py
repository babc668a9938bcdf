"""Frames that people bring by track: a folder of .npy files, an .npz, or a Parquet file with a row a track.

Each is listed as names with addresses, and read back one by one as the bytes of an .npy file. All are on a disk that
every worker sees. Rows of a Parquet file are read by row groups: fastest in the order of the tracks.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.datasets.audio import local_version
from infra.datasets.keys import find_key
from infra.datasets.names import Matched, Names
from infra.errors import ConfigError

SEPARATOR = "::"  # between a file and what of it is meant
_KEPT_GROUPS = 4  # row groups of a worker


@dataclass(frozen=True)
class Listed:
    """Frames by name: where each is, and how many bytes it has; `match` says whose each is. digest: of all of them."""

    addresses: Sequence[str]
    bytes: Sequence[int]
    match: Callable[[Names], Matched]
    digest: str


def list_frames(path: str) -> Listed:
    """What lies at a path. Raises ConfigError where it holds no frames."""
    place = Path(path).absolute()
    try:
        if place.is_dir():
            return _of_folder(place)
        if place.suffix == ".npz":
            return _of_npz(place)
        if place.suffix == ".parquet":
            return _of_parquet(place)
    except (OSError, zipfile.BadZipFile, pa.ArrowException) as error:
        raise ConfigError(f"extract.frames.path: {path}: {' '.join(str(error).split())}") from None
    raise ConfigError(
        f"extract.frames.path: {path}: expected a folder of .npy files, an .npz or a .parquet file"
    )


def read_bytes(address: str) -> bytes:
    """The frames at an address, as the bytes of an .npy file. Raises FileNotFoundError where they are no more."""
    file, _, place = address.partition(SEPARATOR)
    if not place:
        return Path(file).read_bytes()
    if file.endswith(".npz"):
        with zipfile.ZipFile(file) as archive:
            return archive.read(place)
    group, row = map(int, place.split(":"))
    sink = io.BytesIO()
    np.save(sink, _vectors(_row_group(file, group).slice(row, 1)))
    return sink.getvalue()


def _of_folder(folder: Path) -> Listed:
    files = sorted(path for path in folder.rglob("*.npy") if path.is_file())
    if not files:
        raise ConfigError(f"extract.frames.path: {folder}: no .npy files there")
    states = [file.stat() for file in files]
    names = [file.relative_to(folder).as_posix() for file in files]
    said = "\n".join(f"{name}\0{local_version(state)}" for name, state in zip(names, states, strict=True))
    digest = hashlib.sha256(said.encode()).hexdigest()
    return Listed([*map(str, files)], [state.st_size for state in states], _by_name(names), digest)


def _of_npz(file: Path) -> Listed:
    with zipfile.ZipFile(file) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    if not members:
        raise ConfigError(f"extract.frames.path: {file}: holds no arrays")
    addresses = [f"{file}{SEPARATOR}{info.filename}" for info in members]
    names = [info.filename for info in members]
    return Listed(addresses, [info.file_size for info in members], _by_name(names), _digest(file))


def _of_parquet(file: Path) -> Listed:
    with pq.ParquetFile(file) as table:
        schema = table.schema_arrow
        texts = [
            field.name
            for field in schema
            if pa.types.is_string(field.type) or pa.types.is_integer(field.type)
        ]
        texts += [field.name for field in schema if pa.types.is_large_string(field.type)]
        known = table.read(columns=texts)
        rows = [table.metadata.row_group(group).num_rows for group in range(table.num_row_groups)]
        per_row = table.metadata.row_group(0).total_byte_size // max(rows[0], 1) if rows else 0
    if not known.num_rows:
        raise ConfigError(f"extract.frames.path: {file}: no rows, or no column that names the track")
    columns = {name: [_text(value) for value in known[name].to_pylist()] for name in texts}
    places = [(group, row) for group, count in enumerate(rows) for row in range(count)]
    addresses = [f"{file}{SEPARATOR}{group}:{row}" for group, row in places]

    def match(names: Names) -> Matched:
        remedy = "call it track_id and leave out the others"
        return find_key(str(file), columns, names, remedy).matched

    return Listed(addresses, [per_row] * len(places), match, _digest(file))


def _by_name(names: Sequence[str]) -> Callable[[Names], Matched]:
    """Of a track `a/b.mp3` the frames are `a/b.npy`, and also `a/b.mp3.npy`."""
    stems = [name.removesuffix(".npy") for name in names]
    return lambda tracks: tracks.match(stems)


@lru_cache(maxsize=_KEPT_GROUPS)
def _row_group(file: str, group: int) -> pa.Table:
    with pq.ParquetFile(file) as table:
        return table.read_row_group(group)


def _vectors(row: pa.Table) -> np.ndarray:
    """Of a row: its column of lists as a vector, or of lists of lists as frames; else its columns of numbers."""
    lists = [name for name in row.column_names if _is_list(row.schema.field(name).type)]
    if len(lists) > 1:
        raise ConfigError(f"extract.frames.path: several columns of lists: {', '.join(lists)}; leave one")
    if lists:
        return np.array(row[lists[0]][0].as_py(), dtype=np.float32)
    numbers = [name for name in row.column_names if pa.types.is_floating(row.schema.field(name).type)]
    return np.array([row[name][0].as_py() for name in numbers], dtype=np.float32)


def _is_list(kind: Any) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _digest(file: Path) -> str:
    status = file.stat()
    return _digest_of(str(file), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _digest_of(file: str, _modified: int, _size: int) -> str:
    with open(file, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def places_of(listed: Listed, track_ids: Sequence[str]) -> tuple[Mapping[str, tuple[str, int]], list[str]]:
    """(address, bytes) by track id, and what was lost by the rule of names, in words."""
    matched = listed.match(Names(track_ids))
    found = {
        track_ids[track]: (address, size)
        for track, address, size in zip(matched.rows, listed.addresses, listed.bytes, strict=True)
        if track is not None
    }
    return found, matched.told("frames")
