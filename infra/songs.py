"""Songs as ragged blocks of frames, read by row group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.errors import StorageError
from infra.ledger import Snapshot
from infra.shards import decode
from infra.storage import Store


@dataclass(frozen=True)
class SongBlock:
    """Songs one after the other: song i is `values[offsets[i]:offsets[i + 1]]`.

    values: float32 (frame, dim), C-contiguous and writable; offsets: int64 (song + 1).
    """

    track_ids: list[str]
    values: np.ndarray
    offsets: np.ndarray


def read_block(store: Store, path: str, row_group: int, rows: Sequence[int] | None = None) -> SongBlock:
    """The songs of one row group of a feature shard, or those at `rows` inside it, in that order.

    Raises StorageError if the file is absent or is not a feature shard.
    """
    table = _read_row_group(store, path, row_group)
    if rows is not None:
        table = table.take(pa.array(rows, pa.int64()))
    frames = table["frames"].combine_chunks()
    lengths = np.asarray(frames.value_lengths())
    songs = frames.flatten()
    values = np.array(songs.flatten().to_numpy(zero_copy_only=True), dtype=np.float32, order="C", copy=True)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    return SongBlock(table["track_id"].to_pylist(), values.reshape(-1, songs.type.list_size), offsets)


def read_songs(store: Store, snapshot: Snapshot) -> pa.Table:
    """The songs of a snapshot, sorted by track_id; schema `ledger.SONGS`."""
    return decode(store.read(snapshot.songs))


def read_columns(store: Store, path: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a snapshot's songs at `path`, nothing else of the file; shards' paths as a dictionary."""
    with (
        store.open(path) as source,
        pq.ParquetFile(source, pre_buffer=True, read_dictionary=["path"]) as file,
    ):
        return file.read(columns=list(columns))


def read_quarantine(store: Store, snapshot: Snapshot) -> pa.Table:
    """The quarantined tracks of a snapshot, sorted by track_id; schema `ledger.QUARANTINE`."""
    return decode(store.read(snapshot.quarantine))


def _read_row_group(store: Store, path: str, row_group: int) -> pa.Table:
    try:
        with store.open(path) as source, pq.ParquetFile(source, pre_buffer=True) as file:
            table = file.read_row_group(row_group, columns=["track_id", "frames"])
    except (FileNotFoundError, pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise StorageError(f"{store.uri(path)}, row group {row_group}: {error}") from error
    if table.num_columns != 2:
        raise StorageError(f"{store.uri(path)}: not a feature shard, it has no frames")
    return table
