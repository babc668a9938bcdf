"""Where audio comes from: the files of a folder or of an S3 prefix, each with a version of its content."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.errors import ConfigError
from infra.s3 import connect, named

AUDIO_EXTENSIONS = frozenset(
    (
        *("wav", "wave", "w64", "rf64", "flac", "alac", "caf", "aif", "aiff", "aifc", "au", "snd"),
        *("mp3", "mp2", "ogg", "oga", "opus", "m4a", "m4b", "mp4", "aac", "wma"),
    )
)


@dataclass(frozen=True)
class Found:
    """An audio file: `name` is its path below the folder with forward slashes, `bytes` its size."""

    uri: str
    name: str
    bytes: int
    version: str


def list_audio(music: str) -> list[Found]:
    """Audio files below a folder or s3:// prefix, by extension, sorted by name; hidden files are left out.

    Raises ConfigError if there is no such folder or no audio in it, StorageError for a missing bucket.
    """
    found = _list_prefix(music) if music.startswith("s3://") else _list_folder(music)
    if not found:
        raise ConfigError(f"{music}: no audio files there (looked for {', '.join(sorted(AUDIO_EXTENSIONS))})")
    return sorted(found, key=lambda item: item.name)


def is_audio(name: str) -> bool:
    """Whether the extension is one of audio and the file is not hidden."""
    base = name.rpartition("/")[2]
    stem, _, extension = base.rpartition(".")
    return bool(stem) and not base.startswith(".") and extension.lower() in AUDIO_EXTENSIONS


def local_version(status: os.stat_result) -> str:
    """A file's version on disk: it changes whenever the file is written."""
    return f"{status.st_mtime_ns}-{status.st_size}"


def _list_folder(music: str) -> list[Found]:
    folder = Path(music).absolute()
    if not folder.exists():
        raise ConfigError(f"{music}: no such folder")
    if not folder.is_dir():
        raise ConfigError(f"{music}: a file, expected a folder, an s3:// prefix or a .csv or .parquet list")
    return list(_walk(str(folder), ""))


def _walk(folder: str, prefix: str) -> Iterator[Found]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _walk(entry.path, f"{name}/")
            elif is_audio(name) and entry.is_file():
                status = entry.stat()
                yield Found(entry.path, name, status.st_size, local_version(status))


def _list_prefix(music: str) -> list[Found]:
    prefix = music.rstrip("/").removeprefix("s3://") + "/"
    with named(music):
        objects: Any = connect().find(prefix, detail=True)
    return [
        Found(f"s3://{path}", path.removeprefix(prefix), info["size"], info["ETag"].strip('"'))
        for path, info in objects.items()
        if is_audio(path.removeprefix(prefix)) and info["type"] == "file"
    ]
