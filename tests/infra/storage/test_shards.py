"""Parquet bytes: order, row groups and values as given."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.storage.parquet import decode, encode

VALUES = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
TABLE = pa.table(
    {
        "name": list("abcd"),
        "frames": pa.ListArray.from_arrays(
            pa.array([0, 2, 2, 5, 7], pa.int32()),
            pa.FixedSizeListArray.from_arrays(pa.array(VALUES.ravel()), 3),
        ),
        "score": [0.5, None, -0.0, 1e300],
    }
).replace_schema_metadata({b"about": b"it"})


def test_rows_and_row_groups_are_as_given():
    data = encode(TABLE, [1, 3])
    assert decode(data).equals(TABLE)
    assert decode(data).schema.metadata == {b"about": b"it"}
    file = pq.ParquetFile(pa.BufferReader(data))
    assert [file.metadata.row_group(i).num_rows for i in range(2)] == [1, 3]
    assert file.read_row_group(1)["name"].to_pylist() == ["b", "c", "d"]


def test_floats_are_split_and_compressed():
    column = pq.ParquetFile(pa.BufferReader(encode(TABLE, [4]))).metadata.row_group(0).column(1)
    assert column.path_in_schema == "frames.list.element.list.element"
    assert (column.compression, "BYTE_STREAM_SPLIT" in column.encodings) == ("ZSTD", True)


def test_the_same_table_gives_the_same_bytes():
    assert encode(TABLE, [1, 3]) == encode(TABLE.take([0, 1, 2, 3]), [1, 3])


def test_an_empty_table():
    assert decode(encode(TABLE.slice(0, 0), [])).schema == TABLE.schema


def test_row_groups_must_hold_all_rows():
    with pytest.raises(ValueError, match="row groups hold 3 rows, the table 4"):
        encode(TABLE, [1, 2])


def test_what_reads_back_differently_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda *_: TABLE.slice(0, 3))
    with pytest.raises(ValueError, match="row group 0 differs"):
        encode(TABLE, [4])
