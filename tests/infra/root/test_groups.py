"""Whose songs are whose: what a track list says of it, its digest, and numbers for some of the tracks."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.errors import StorageError
from infra.root.groups import digest_of_groups, numbers_of_groups, read_groups
from infra.storage.store import Store


def written(root: Path, tracks: list[str], groups: list[str | None] | None) -> pa.Table:
    columns = {"track_id": tracks} | ({} if groups is None else {"group": pa.array(groups, pa.string())})
    pq.write_table(pa.table(columns), root / "tracks.parquet")
    return read_groups(Store(str(root)), "tracks.parquet", pa.chunked_array([tracks]))


def test_tracks_without_a_group_are_groups_of_their_own(tmp_path: Path):
    """Also where a track is called what a group is called."""
    found = written(tmp_path, ["a", "b", "c", "d", "x"], ["x", None, "y", "x", None])
    assert found.num_rows == 3
    assert numbers_of_groups(found, ["d", "x", "b", "a", "unlisted", "c"]).tolist() == [0, 1, 2, 0, 3, 4]


@pytest.mark.parametrize("groups", [None, [None, None]])
def test_no_groups_have_no_digest(groups: list[str | None] | None, tmp_path: Path):
    assert digest_of_groups(written(tmp_path, ["a", "b"], groups)) is None


def test_nor_has_a_root_without_a_track_list(tmp_path: Path):
    assert (
        digest_of_groups(read_groups(Store(str(tmp_path)), "tracks.parquet", pa.chunked_array([["a"]])))
        is None
    )


def test_the_digest_changes_with_any_group_and_nothing_else(tmp_path: Path):
    lists = [
        (["a", "b", "c"], ["x", "y", None]),
        (["a", "b", "c"], ["x", "y", "y"]),
        (["a", "b"], ["x", "x"]),
        (["a", "b"], ["xb", ""]),
        (["a", "xb"], ["", ""]),
    ]
    digests = [digest_of_groups(written(tmp_path, *columns)) for columns in lists]
    assert len(set(digests)) == len(lists)
    assert digest_of_groups(written(tmp_path, ["a", "b", "d"], ["x", "y", None])) == digests[0]


def test_of_other_tracks_nothing_is_read(tmp_path: Path):
    """So that those that are new in the list change no digest."""
    found = written(tmp_path, ["a", "b", "c"], ["x", "y", "z"])
    some = read_groups(Store(str(tmp_path)), "tracks.parquet", pa.chunked_array([["c"], ["a", "gone"]]))
    assert some.to_pydict() == {"track_id": ["a", "c"], "group": ["x", "z"]}
    assert digest_of_groups(some) != digest_of_groups(found)
    assert digest_of_groups(some) == digest_of_groups(written(tmp_path, ["a", "c"], ["x", "z"]))


def test_a_damaged_list_is_named(tmp_path: Path):
    (tmp_path / "tracks.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(StorageError, match=r"tracks\.parquet: a damaged table"):
        read_groups(Store(str(tmp_path)), "tracks.parquet", pa.chunked_array([["a"]]))
