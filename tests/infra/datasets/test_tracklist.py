"""Track lists that people bring."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.datasets.tracklist import ABSENT, read_list
from infra.errors import ConfigError
from infra.storage.store import Store

pytestmark = pytest.mark.s3


def test_relative_paths_start_at_the_list(any_root: str):
    store = Store(any_root)
    store.write("a/x.mp3", b"123")
    store.write("list.csv", b"title,path\nX,a/x.mp3\nGone,a/gone.mp3\n")
    gone, found = read_list(store.uri("list.csv"))
    assert (found.name, found.uri, found.bytes) == ("a/x.mp3", store.uri("a/x.mp3"), 3)
    assert (gone.name, gone.bytes, gone.version) == ("a/gone.mp3", 0, ABSENT)


def test_absolute_paths_are_named_below_their_common_folder(tmp_path: Path):
    for name in ("m/one/x.mp3", "m/two/x.mp3"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "list.csv").write_text(f"uri\n{tmp_path}/m/two/x.mp3\n{tmp_path}/m/one/x.mp3\n")
    assert [item.name for item in read_list(str(tmp_path / "list.csv"))] == ["one/x.mp3", "two/x.mp3"]


def test_files_here_and_in_s3_keep_their_names(tmp_path: Path):
    rows = "uri,bytes,version\ns3://b/x.mp3,1,1\n/m/y.mp3,1,1\n"
    (tmp_path / "list.csv").write_text(rows)
    assert [item.name for item in read_list(str(tmp_path / "list.csv"))] == ["/m/y.mp3", "s3://b/x.mp3"]


def test_a_name_that_no_file_can_have_is_absent(tmp_path: Path):
    (tmp_path / "list.csv").write_text(f"uri\n{tmp_path}/{'x' * 300}.mp3\n")
    assert read_list(str(tmp_path / "list.csv"))[0].version == ABSENT


def test_sizes_and_versions_in_the_list_save_the_look(tmp_path: Path):
    table = pa.table({"uri": ["s3://nowhere/at/all.mp3"], "bytes": [77], "version": ["e1"]})
    pq.write_table(table, tmp_path / "list.parquet")
    (found,) = read_list(str(tmp_path / "list.parquet"))
    assert (found.name, found.bytes, found.version) == ("all.mp3", 77, "e1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title\nx\n", "no column uri, path, file"),
        ("path\n", "lists no files"),
        ("path,other\n,x\n", "a row names no file"),
        ("path\n../x.mp3\n", "expected a path without"),
        ("path\nhttp://x/y.mp3\n", "expected a path without"),
        ("path\nx.mp3\nx.mp3\n", "more than once"),
        ("path,bytes,version\nx.mp3,many,1\n", "bytes is 'many', expected a number"),
        ("path,bytes,version\nx.mp3,-1,1\n", "bytes is '-1', expected a number from 0 on"),
        ("path,bytes,version\nx.mp3,9e99,1\n", "expected a number"),
        (f"path,bytes,version\nx.mp3,{1 << 63},1\n", "expected a number"),
        ("path\na\0b.mp3\n", "expected a path without"),
        ("path,path\nx,y\n", "must name the columns, each once"),
        ("path,a\nx\n", "not a readable table"),
        ("", "must name the columns"),
    ],
)
def test_what_is_no_track_list(tmp_path: Path, text: str, message: str):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_list(str(tmp_path / "list.csv"))


@pytest.mark.parametrize("name", ["none.csv", "none.parquet"])
def test_an_absent_list(tmp_path: Path, name: str):
    with pytest.raises(ConfigError, match="no such file"):
        read_list(str(tmp_path / name))


def test_a_parquet_list_that_is_none(tmp_path: Path):
    (tmp_path / "list.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ConfigError, match="not a readable table"):
        read_list(str(tmp_path / "list.parquet"))
