"""One contract, two storages: the local disk and S3."""

import os
import pickle
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.errors import ConfigError, StorageError
from infra.storage.local import TEMPORARY, LocalDisk
from infra.storage.parquet import encode
from infra.storage.s3 import Bucket, connect
from infra.storage.store import Store, read_uri

pytestmark = pytest.mark.s3


@pytest.fixture
def store(any_root: str) -> Store:
    return Store(any_root)


def test_an_object_is_written_read_and_replaced(store: Store):
    store.write("a/b/c", b"old")
    assert (store.read("a/b/c"), store.size("a/b/c"), store.exists("a/b/c")) == (b"old", 3, True)
    store.write("a/b/c", b"newer")
    assert store.read("a/b/c") == b"newer"
    assert read_uri(store.uri("a/b/c")) == b"newer"


def test_everything_under_a_prefix_is_listed_with_its_age(store: Store):
    assert list(store.walk("a")) == []
    for path in ("a/b/c", "a/d", "ab/e"):
        store.write(path, b"12345")
    found = list(store.walk("a"))
    assert sorted(entry.path for entry in found) == ["a/b/c", "a/d"]
    assert {entry.bytes for entry in found} == {5}
    assert all(-5 < entry.age < 60 for entry in found)
    assert {entry.path for entry in store.walk("")} == {"a/b/c", "a/d", "ab/e"}


def test_objects_of_a_bucket_say_what_they_are(s3_root: str):
    """Pages that a browser shows and does not download."""
    for name, kind in {
        "a.html": "text/html",
        "b.js": "javascript",
        "c.mp3": "audio/mpeg",
        "d.css": "css",
    }.items():
        Store(s3_root).write(name, b"x")
        assert kind in content_type(s3_root, name)
        store = Store(s3_root)
        store.move(store.stage(name, b"y"), name)
        assert kind in content_type(s3_root, name)


def content_type(s3_root: str, name: str) -> str:
    bucket, _, prefix = s3_root.removeprefix("s3://").partition("/")
    return connect().call_s3("head_object", Bucket=bucket, Key=f"{prefix}/{name}")["ContentType"]


def test_a_staged_object_is_hidden_until_it_is_moved_once(store: Store):
    store.write("a/b", b"old")
    staged = [store.stage(path, b"new") for path in ("a/b", "a/c", "d")]
    assert (store.names("a"), store.names("")) == (["b"], ["a"])
    assert store.read("a/b") == b"old"
    assert store.move(staged[0], "a/b")
    assert store.read("a/b") == b"new"
    store.write("a/b", b"newer")
    assert not store.move(staged[0], "a/b")
    assert store.read("a/b") == b"newer"
    assert store.move(staged[1], "a/c")
    assert store.move(staged[2], "d")
    assert {entry.path for entry in store.walk("")} == {"a/b", "a/c", "d"}


def test_an_absent_object(store: Store):
    for look in (store.read, store.size, store.digest, store.open):
        with pytest.raises(FileNotFoundError):
            look("no/thing")
    with pytest.raises(FileNotFoundError):
        read_uri(store.uri("no/thing"))
    assert not store.exists("no/thing")
    assert store.names("no") == []
    store.delete("no/thing")


def test_create_happens_once(store: Store):
    assert store.create("x/only", b"first")
    assert not store.create("x/only", b"second")
    assert store.read("x/only") == b"first"


def test_of_many_creators_one_wins(store: Store):
    with ThreadPoolExecutor(8) as pool:
        for round_ in range(5):
            contents = [secrets.token_bytes(2000) for _ in range(8)]
            path = f"race/{round_}"
            won = list(pool.map(lambda data, path=path: store.create(path, data), contents))
            assert won.count(True) == 1
            assert store.read(path) == contents[won.index(True)]


def test_names_are_those_of_one_folder(store: Store):
    for path in ("t/b", "t/a", "t/sub/deep", "u/z"):
        store.write(path, b"")
    assert store.names("t") == ["a", "b", "sub"]
    store.delete("t/a")
    assert store.names("t") == ["b", "sub"]
    assert not store.exists("t/sub")


def test_many_are_deleted_at_once(store: Store):
    paths = [f"many/{number}" for number in range(5)]
    for path in paths:
        store.write(path, b"x")
    store.delete_many([*paths[1:], "many/absent"])
    assert store.names("many") == ["0"]
    store.delete_many([])


def test_a_thousand_deletions_are_one_request(s3_root: str, monkeypatch: pytest.MonkeyPatch):
    store, asked = Store(s3_root), []
    backend = store._backend
    monkeypatch.setattr(backend, "_call", lambda name, **about: asked.append((name, about)) or {})
    store.delete_many(f"n{number}" for number in range(2001))
    assert [len(about["Delete"]["Objects"]) for _, about in asked] == [1000, 1000, 1]
    assert {name for name, _ in asked} == {"delete_objects"}


def test_what_s3_could_not_delete_is_asked_for_again(s3_root: str, monkeypatch: pytest.MonkeyPatch):
    store, asked = Store(s3_root), []
    monkeypatch.setattr("infra.storage.s3.DELAYS_SECONDS", (0.0, 0.0))
    replies = [{"Errors": [{"Key": "root/b", "Code": "SlowDown"}]}, {}]

    def call(_: str, Delete: dict) -> dict:
        asked.append([item["Key"] for item in Delete["Objects"]])
        return replies[len(asked) - 1]

    monkeypatch.setattr(store._backend, "_call", call)
    store.delete_many(["a", "b"])
    assert asked == [["root/a", "root/b"], ["root/b"]]
    replies[:] = [*replies, replies[0], replies[0]]
    with pytest.raises(StorageError, match=r"root/b: 1 objects could not be deleted \(SlowDown\)"):
        store.delete_many(["b"])


def test_an_object_that_is_written_again_has_another_version(store: Store):
    """Also with the same bytes."""
    store.write("v", b"same")
    (first,) = store.walk("")
    if store.root.startswith("s3://"):
        time.sleep(1.1)  # S3 keeps whole seconds
    (unchanged,) = store.walk("")
    store.write("v", b"same")
    (second,) = store.walk("")
    assert first.version == unchanged.version != second.version


def test_a_long_listing_comes_in_pages(s3_root: str, monkeypatch: pytest.MonkeyPatch):
    store = Store(s3_root)
    for number in range(5):
        store.write(f"p/{number}", b"x")
    backend = store._backend
    assert isinstance(backend, Bucket)
    call = backend._call

    def paged(name: str, **about: object) -> object:
        return call(name, **about, MaxKeys=2)

    monkeypatch.setattr(backend, "_call", paged)
    assert sorted(entry.path for entry in store.walk("p")) == [f"p/{number}" for number in range(5)]


def test_digest_is_sha256(store: Store):
    store.write("d", b"abc")
    assert store.digest("d") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_parquet_is_read_at_random(store: Store):
    table = pa.table({"n": list(range(1000)), "x": [float(i) for i in range(1000)]})
    store.write("t.parquet", encode(table, [400, 600]))
    with store.open("t.parquet") as source, pq.ParquetFile(source, pre_buffer=True) as file:
        assert file.read_row_group(1, columns=["n"])["n"].to_pylist() == list(range(400, 1000))


def test_only_the_root_travels(store: Store):
    store.write("a", b"1")
    copy = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert copy.root == store.root
    assert copy.read("a") == b"1"
    assert len(pickle.dumps(store)) < 200 + len(store.root)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x"])
def test_paths_stay_below_the_root(store: Store, path: str):
    with pytest.raises(StorageError, match="not a path below the root"):
        store.write(path, b"")


def test_check_leaves_nothing_behind(store: Store):
    store.check()
    assert store.names("") == []


def test_a_missing_bucket_is_named(s3_server: str):
    store = Store("s3://no-such-bucket-here/root")
    for call in (
        store.check,
        lambda: store.names("a"),
        lambda: store.read("a"),
        lambda: store.create("a", b""),
    ):
        with pytest.raises(StorageError, match="no such bucket"):
            call()


def test_a_bucket_whose_name_says_bucket_may_lack_objects(s3_server: str):
    connect().call_s3("create_bucket", Bucket="my-bucket")
    with pytest.raises(FileNotFoundError):
        Store("s3://my-bucket/bucket").read("bucket")
    assert Store("s3://my-bucket/bucket").names("bucket") == []


def test_a_root_that_is_a_file(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="is a file, expected a folder"):
        Store(str(tmp_path / "file")).check()


def test_a_root_without_write_permission():
    # /proc refuses new entries to everybody, also to root.
    with pytest.raises(StorageError, match="root /proc/x: cannot write there"):
        Store("/proc/x").check()


def test_other_schemes_are_refused():
    with pytest.raises(ConfigError, match="gs://b: expected a local path or s3://"):
        Store("gs://b")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_replacement_keeps_the_old_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
):
    disk = LocalDisk(tmp_path)
    disk.write("a", b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StorageError, match="No space left on device"):
        disk.write("a", b"new")
    assert os.listdir(tmp_path) == ["a"]
    assert disk.read("a") == b"old"


def test_a_failed_creation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        LocalDisk(tmp_path).create("b", b"new")
    assert os.listdir(tmp_path) == []


def test_what_a_killed_writer_left_is_not_listed(tmp_path: Path):
    (tmp_path / f"{TEMPORARY}0123").write_bytes(b"half")
    assert LocalDisk(tmp_path).names("") == []
