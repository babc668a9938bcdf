"""Songs as ragged blocks of frames, read by row group."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.errors import StorageError
from infra.root.records import Snapshot
from infra.root.schemas import FRAMES, PATH, QUARANTINE, SONGS, TRACK_ID, VERSION
from infra.storage.parquet import decode
from infra.storage.store import Store


@dataclass(frozen=True)
class SongBlock:
    """Songs one after the other.

    values: the frames of all, float32 (frame, dim), C-contiguous and writable; lengths: frames of each, int64 (song,).
    """

    track_ids: list[str]
    versions: list[str]
    values: np.ndarray
    lengths: np.ndarray


def read_block(store: Store, path: str, row_group: int, rows: Sequence[int] | None = None) -> SongBlock:
    """The songs of one row group of a feature shard, or those at `rows` inside it, in that order.

    Raises StorageError if the file is absent or is not a feature shard.
    """
    table = _read_row_group(store, path, row_group)
    return _block(table if rows is None else table.take(pa.array(rows, pa.int64())))


def shard_blocks(store: Store, path: str) -> Iterator[SongBlock]:
    """All songs of a feature shard, row group by row group; the file is opened once.

    Raises StorageError if the file is absent or is not a feature shard.
    """
    try:
        with store.open(path) as source, pq.ParquetFile(source, pre_buffer=True) as file:
            for row_group in range(file.num_row_groups):
                yield _block(_columns(file, row_group, store.uri(path)))
    except (FileNotFoundError, pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise StorageError(f"{store.uri(path)}: {error}") from error


def joined(blocks: Sequence[SongBlock]) -> SongBlock:
    """The songs of the blocks, one block after the other."""
    return SongBlock(
        [track for block in blocks for track in block.track_ids],
        [version for block in blocks for version in block.versions],
        np.concatenate([block.values for block in blocks]),
        np.concatenate([block.lengths for block in blocks]),
    )


def _block(table: pa.Table) -> SongBlock:
    frames = table[FRAMES].combine_chunks()
    lengths = np.asarray(frames.value_lengths(), np.int64)
    songs = frames.flatten()
    values = np.array(songs.flatten().to_numpy(zero_copy_only=True), dtype=np.float32, order="C", copy=True)
    track_ids, versions = (table[name].to_pylist() for name in (TRACK_ID, VERSION))
    return SongBlock(track_ids, versions, values.reshape(-1, songs.type.list_size), lengths)


def read_songs(store: Store, snapshot: Snapshot) -> pa.Table:
    """The songs of a snapshot, sorted by track_id; schema `ledger.SONGS`."""
    return stored_table(store, snapshot.songs, SONGS)


def read_columns(store: Store, path: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a snapshot's songs at `path`, nothing else of the file; shards' paths as a dictionary.

    Raises StorageError if the file cannot be read, FileNotFoundError if it is absent.
    """
    try:
        with (
            store.open(path) as source,
            pq.ParquetFile(source, pre_buffer=True, read_dictionary=[PATH]) as file,
        ):
            return file.read(columns=list(columns))
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise StorageError(
            f"{store.uri(path)}: a damaged table ({' '.join(str(error).split())[:200]})"
        ) from None


def read_quarantine(store: Store, snapshot: Snapshot) -> pa.Table:
    """The quarantined tracks of a snapshot, sorted by track_id; schema `ledger.QUARANTINE`."""
    return stored_table(store, snapshot.quarantine, QUARANTINE)


def stored_table(store: Store, path: str, schema: pa.Schema) -> pa.Table:
    """A table of ours with the columns of the schema, and any others.

    Raises StorageError if it is absent, cannot be read, or has not these columns without nulls.
    """
    try:
        table = decode(store.read(path))
    except FileNotFoundError as error:
        raise StorageError(f"{store.uri(path)}: is missing") from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StorageError(f"{store.uri(path)}: a damaged table ({reason})") from None
    for field in schema:
        found = table.schema.get_field_index(field.name)
        if found < 0 or table.schema.field(found).type != field.type or table[field.name].null_count:
            raise StorageError(
                f"{store.uri(path)}: a damaged table (column {field.name} is not all {field.type})"
            )
    return table


def _read_row_group(store: Store, path: str, row_group: int) -> pa.Table:
    try:
        with store.open(path) as source, pq.ParquetFile(source, pre_buffer=True) as file:
            return _columns(file, row_group, store.uri(path))
    except (FileNotFoundError, pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise StorageError(f"{store.uri(path)}, row group {row_group}: {error}") from error


def _columns(file: pq.ParquetFile, row_group: int, uri: str) -> pa.Table:
    table = file.read_row_group(row_group, columns=[TRACK_ID, VERSION, FRAMES])
    if table.num_columns != 3:
        raise StorageError(f"{uri}: not a feature shard, it has no frames")
    return table
