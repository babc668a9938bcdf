"""Listing audio in a folder and below an S3 prefix."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from infra.datasets.audio import scan
from infra.errors import ConfigError, StorageError
from infra.storage.store import Store

pytestmark = pytest.mark.s3

FILES = ("b.mp3", "a/Z.WAV", "a/x y#1.flac", "notes.txt", ".hidden.mp3", "a/._twin.mp3", "mp3", "ü/é.ogg")


@pytest.fixture
def music(any_root: str) -> str:
    store = Store(any_root)
    for number, name in enumerate(FILES):
        store.write(name, b"x" * number)
    return any_root


def test_audio_is_found_by_extension_in_order(music: str):
    found = scan(music)[0]
    assert [item.name for item in found] == ["a/Z.WAV", "a/x y#1.flac", "b.mp3", "ü/é.ogg"]
    assert [item.bytes for item in found] == [1, 2, 0, 7]
    assert found[2].uri == Store(music).uri("b.mp3")
    assert scan(music + "/")[0] == found


def test_versions_change_with_the_content(music: str):
    before = {item.name: item.version for item in scan(music)[0]}
    assert before == {item.name: item.version for item in scan(music)[0]}
    Store(music).write("b.mp3", b"other")
    after = {item.name: item.version for item in scan(music)[0]}
    assert {name for name in after if after[name] != before[name]} == {"b.mp3"}


def test_an_s3_version_is_the_etag(s3_root: str):
    Store(s3_root).write("a.mp3", b"abc")
    assert scan(s3_root)[0][0].version == "900150983cd24fb0d6963f7d28e17f72"  # MD5 of abc


def test_a_folder_without_audio(any_root: str):
    Store(any_root).write("notes.txt", b"")
    with pytest.raises(ConfigError, match="no audio files there"):
        scan(any_root)[0]


def test_no_such_place(tmp_path: Path, s3_server: str):
    with pytest.raises(ConfigError, match="no such folder"):
        scan(str(tmp_path / "nowhere"))[0]
    with pytest.raises(StorageError, match="no such bucket"):
        scan("s3://no-such-bucket-here/music")[0]


def tree(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def names_in(folder: Path) -> list[str]:
    return [item.name for item in scan(str(folder))[0]]


def test_what_the_decoders_read_is_listed(any_root: str):
    store = Store(any_root)
    kinds = "webm weba mka mov 3gp mpga mp2 oga w64 caf bw64 rf64 m4b mkv aac WMA"
    for kind in kinds.split():
        store.write(f"x.{kind}", b"x")
    assert {item.name for item in scan(any_root)[0]} == {f"x.{kind}" for kind in kinds.split()}


def test_what_is_left_out_is_counted(any_root: str):
    store = Store(any_root)
    others = (
        "a/x.wv",
        "x.WV",
        "y.wv",
        "song.mid",
        "film.avi",
        "b.mp3.part",
        "b.wav.zip",
        ".b.mp3",
        "track01",
    )
    for name in ("b.mp3", *others, "notes.txt", "b.mp3.json", "._b.mp3", ".DS_Store", "cover.jpg"):
        store.write(name, b"x")
    found, left = scan(any_root)
    assert [item.name for item in found] == ["b.mp3"]
    assert str(left) == (
        "3 .wv, 1 .avi, 1 .mid, 1 .mp3.part, 1 .wav.zip, 1 hidden ('.b.mp3'), 1 without an extension ('track01')"
    )
    assert sum(left.counts.values()) == len(others)


def test_no_audio_but_something_like_it(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no audio files there \(looked for .*\); left out: 2 \.ape"):
        scan(str(tree(tmp_path, "a.ape", "b.ape")))


def test_linked_folders_are_listed_once(tmp_path: Path):
    """A link to a folder elsewhere, two to the same, one to a part of it, one inside it, and links in a circle."""
    away = tree(tmp_path / "away", "x.mp3", "part/y.mp3", "other/z.mp3")
    music = tree(tmp_path / "music", "a/1.mp3", "b/2.mp3")
    (music / "linked").symlink_to(away, target_is_directory=True)
    (music / "later").symlink_to(away, target_is_directory=True)
    (music / "zzz").symlink_to(away / "part", target_is_directory=True)
    (music / "0").symlink_to(music / "b", target_is_directory=True)
    (away / "loop").symlink_to(away, target_is_directory=True)
    (away / "up").symlink_to(music, target_is_directory=True)
    (away / "top").symlink_to(tmp_path, target_is_directory=True)
    found, left = scan(str(music))
    names = [item.name for item in found]
    assert names == ["a/1.mp3", "b/2.mp3", "later/other/z.mp3", "later/part/y.mp3", "later/x.mp3"]
    assert str(left) == "6 links to folders that are listed already, or hold the music ('0/')"
    assert Path(found[-1].uri).read_bytes() == b"x.mp3"


def test_links_of_links_and_hidden_ones(tmp_path: Path):
    far = tree(tmp_path / "far", "f.mp3")
    away = tree(tmp_path / "away", "x.mp3")
    (away / "on").symlink_to(far, target_is_directory=True)
    music = tree(tmp_path / "music", "1.mp3")
    (music / "l").symlink_to(away, target_is_directory=True)
    (music / ".secret").symlink_to(far, target_is_directory=True)
    assert names_in(music) == ["1.mp3", "l/on/f.mp3", "l/x.mp3"]
    (tmp_path / "entry").symlink_to(music, target_is_directory=True)
    assert names_in(tmp_path / "entry") == names_in(music)


def test_links_that_lead_nowhere_and_things_that_are_no_files(tmp_path: Path):
    music = tree(tmp_path, "a.mp3")
    (music / "b.mp3").symlink_to(music / "a.mp3")
    for name in ("gone.mp3", "unmounted", "notes.txt"):
        (music / name).symlink_to("/nowhere/at/all")
    (music / "self.mp3").symlink_to(music / "self.mp3")
    os.mkfifo(music / "pipe.mp3")
    found, left = scan(str(music))
    assert [item.name for item in found] == ["a.mp3", "b.mp3"]
    assert str(left) == "3 broken links ('gone.mp3'), 1 not ordinary files ('pipe.mp3')"


def test_folders_that_nobody_lets_us_read():
    """As another user than root, who may read everything."""
    with tempfile.TemporaryDirectory() as folder:
        music = tree(Path(folder), "a.mp3", "closed/b.mp3", "closed/deep/c.mp3")
        os.chmod(folder, 0o755)
        os.chmod(music / "closed", 0o000)
        as_root = os.geteuid() == 0
        if as_root:
            os.seteuid(65534)
        try:
            found, left = scan(folder)
        finally:
            if as_root:
                os.seteuid(0)
            os.chmod(music / "closed", 0o755)
    assert [item.name for item in found] == ["a.mp3"]
    assert str(left) == "1 folders that cannot be read ('closed/')"


def test_folders_deeper_than_the_interpreters_stack(tmp_path: Path):
    """1,200 of them, made from the inside: the whole path is within the limit of the system."""
    music = tree(tmp_path, "a.mp3")
    here, deepest = os.open(music, os.O_RDONLY), 1200
    for _ in range(deepest):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("b.mp3", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    try:
        assert names_in(music) == ["a.mp3", "d/" * deepest + "b.mp3"]
    finally:
        subprocess.run(["rm", "-r", music / "d"], check=True)  # pytest's own cleaning recurses
