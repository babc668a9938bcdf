"""Listing audio in a folder and below an S3 prefix."""

import os
from pathlib import Path

import pytest

from infra.errors import ConfigError, StorageError
from infra.source import list_audio
from infra.storage import Store

pytestmark = pytest.mark.s3

FILES = ("b.mp3", "a/Z.WAV", "a/x y#1.flac", "notes.txt", ".hidden.mp3", "a/._twin.mp3", "mp3", "ü/é.ogg")


@pytest.fixture
def music(any_root: str) -> str:
    store = Store(any_root)
    for number, name in enumerate(FILES):
        store.write(name, b"x" * number)
    return any_root


def test_audio_is_found_by_extension_in_order(music: str):
    found = list_audio(music)
    assert [item.name for item in found] == ["a/Z.WAV", "a/x y#1.flac", "b.mp3", "ü/é.ogg"]
    assert [item.bytes for item in found] == [1, 2, 0, 7]
    assert found[2].uri == Store(music).uri("b.mp3")
    assert list_audio(music + "/") == found


def test_versions_change_with_the_content(music: str):
    before = {item.name: item.version for item in list_audio(music)}
    assert before == {item.name: item.version for item in list_audio(music)}
    Store(music).write("b.mp3", b"other")
    after = {item.name: item.version for item in list_audio(music)}
    assert {name for name in after if after[name] != before[name]} == {"b.mp3"}


def test_an_s3_version_is_the_etag(s3_root: str):
    Store(s3_root).write("a.mp3", b"abc")
    assert list_audio(s3_root)[0].version == "900150983cd24fb0d6963f7d28e17f72"  # MD5 of abc


def test_a_folder_without_audio(any_root: str):
    Store(any_root).write("notes.txt", b"")
    with pytest.raises(ConfigError, match="no audio files there"):
        list_audio(any_root)


def test_no_such_place(tmp_path: Path, s3_server: str):
    with pytest.raises(ConfigError, match="no such folder"):
        list_audio(str(tmp_path / "nowhere"))
    with pytest.raises(StorageError, match="no such bucket"):
        list_audio("s3://no-such-bucket-here/music")


def test_links_to_folders_are_not_followed(tmp_path: Path):
    (tmp_path / "a.mp3").touch()
    os.symlink(tmp_path, tmp_path / "loop")
    assert [item.name for item in list_audio(str(tmp_path))] == ["a.mp3"]
