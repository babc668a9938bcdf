"""Reading songs by row group."""

import numpy as np
import pyarrow as pa
import pytest

from infra.errors import StorageError
from infra.root.ledger import Tree
from infra.root.songs import read_block, stored_table
from infra.storage.parquet import encode
from infra.storage.store import Store
from tests.jobs.trees import commit_songs

pytestmark = pytest.mark.s3

RNG = np.random.default_rng(0)
SONGS = [RNG.normal(size=(length, 4)).astype(np.float32) for length in (3, 1, 5, 2, 0, 7)]


@pytest.fixture
def shard(any_root: str) -> tuple[Store, str]:
    """One shard of two row groups: songs 0-3 and 4-5."""
    snapshot = commit_songs(any_root, SONGS, shards=1, group=4)
    return Store(any_root), snapshot.shards[0].path


def test_a_row_group_is_a_block(shard: tuple[Store, str]):
    block = read_block(*shard, 0)
    assert block.track_ids == ["s0000", "s0001", "s0002", "s0003"]
    np.testing.assert_array_equal(block.lengths, [3, 1, 5, 2])
    np.testing.assert_array_equal(block.values, np.concatenate(SONGS[:4]))
    assert (block.values.dtype, block.lengths.dtype) == (np.float32, np.int64)
    assert block.values.flags.c_contiguous
    assert block.values.flags.writeable


def test_rows_come_in_the_order_asked(shard: tuple[Store, str]):
    block = read_block(*shard, 0, [2, 0])
    assert block.track_ids == ["s0002", "s0000"]
    np.testing.assert_array_equal(block.values, np.concatenate([SONGS[2], SONGS[0]]))
    np.testing.assert_array_equal(block.lengths, [5, 3])


def test_a_song_may_be_empty(shard: tuple[Store, str]):
    np.testing.assert_array_equal(read_block(*shard, 1).lengths, [0, 7])
    assert read_block(*shard, 1, [0]).values.shape == (0, 4)


def test_what_cannot_be_read_names_the_file(shard: tuple[Store, str]):
    store, path = shard
    store.write("broken.parquet", b"PAR1 no")
    for wrong, group in (("absent.parquet", 0), ("broken.parquet", 0), (path, 7)):
        with pytest.raises(StorageError, match=rf"{wrong}, row group {group}"):
            read_block(store, wrong, group)


def test_a_shard_without_frames(any_root: str):
    table = pa.table({"track_id": ["a"], "version": ["1"], "n_frames": pa.array([0], pa.int32())})
    made = Tree(Store(any_root), "vectors/m").commit("s", table, [], 1, [1])
    with pytest.raises(StorageError, match="frames"):
        read_block(Store(any_root), made.path, 0)


SCHEMA = pa.schema([("name", pa.string()), ("size", pa.int64())])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"name": ["a", None], "size": [1, 2]}, "column name is not all string"),
        ({"name": ["a", "b"], "size": ["1", "2"]}, "column size is not all int64"),
        ({"name": ["a", "b"]}, "column size is not all int64"),
    ],
)
def test_a_table_with_other_columns_is_damaged(any_root: str, columns: dict[str, list], message: str):
    store = Store(any_root)
    store.write("t.parquet", encode(pa.table(columns), [2]))
    with pytest.raises(StorageError, match=message):
        stored_table(store, "t.parquet", SCHEMA)


def test_a_table_is_read_or_says_why_not(any_root: str):
    store = Store(any_root)
    with pytest.raises(StorageError, match=r"t\.parquet: is missing"):
        stored_table(store, "t.parquet", SCHEMA)
    table = pa.table({"name": ["a", "b"], "size": [1, 2], "more": [None, 1.5]})
    whole = encode(table, [2])
    store.write("t.parquet", whole)
    assert stored_table(store, "t.parquet", SCHEMA).equals(table)
    for corrupted in (b"", whole[:-9], whole[:40] + bytes(40) + whole[80:]):
        store.write("t.parquet", corrupted)
        with pytest.raises(StorageError, match=r"t\.parquet: a damaged table"):
            stored_table(store, "t.parquet", SCHEMA)
