"""Where audio comes from: the files of a folder or of an S3 prefix, each with a version of its content."""

import heapq
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.errors import ConfigError
from infra.storage.s3 import connect, named

AUDIO_EXTENSIONS = frozenset(
    (
        *("wav", "wave", "w64", "rf64", "bw64", "flac", "alac", "caf", "aif", "aiff", "aifc", "au", "snd"),
        *(
            "mp3",
            "mp2",
            "mp1",
            "mpga",
            "mpa",
            "m2a",
            "ogg",
            "oga",
            "opus",
            "aac",
            "adts",
            "wma",
            "asf",
            "wmv",
        ),
        *("m4a", "m4b", "m4p", "m4r", "m4v", "mp4", "mov", "qt", "3gp", "3gpp", "3g2"),
        *("webm", "weba", "mka", "mkv", "mk3d"),
    )
)
OTHER_EXTENSIONS = frozenset(  # audio and video that the decoders do not read
    (
        *(
            "wv",
            "ape",
            "apl",
            "tta",
            "tak",
            "ofr",
            "ofs",
            "mpc",
            "mpp",
            "shn",
            "la",
            "pac",
            "dsf",
            "dff",
            "dsd",
        ),
        *("mid", "midi", "kar", "rmi", "mod", "xm", "s3m", "sid", "spc", "vgm", "amr", "awb", "gsm", "spx"),
        *(
            "ac3",
            "eac3",
            "ec3",
            "dts",
            "dtshd",
            "mlp",
            "thd",
            "truehd",
            "ra",
            "ram",
            "rm",
            "rmvb",
            "aa",
            "aax",
        ),
        *(
            "aaxc",
            "voc",
            "8svx",
            "svx",
            "iff",
            "sd2",
            "paf",
            "avr",
            "pvf",
            "sph",
            "nist",
            "vox",
            "raw",
            "pcm",
        ),
        *("avi", "mpg", "mpeg", "vob", "ts", "m2ts", "mts", "flv", "f4v", "f4a", "ogv", "ogm", "ogx", "divx"),
    )
)
MEDIA_EXTENSIONS = AUDIO_EXTENSIONS | OTHER_EXTENSIONS
UNFINISHED = frozenset(
    ("part", "crdownload", "download", "tmp", "bak", "old", "gz", "bz2", "xz", "zst", "zip")
)


@dataclass(frozen=True)
class Found:
    """An audio file: `name` is its path below the folder with forward slashes, `bytes` its size."""

    uri: str
    name: str
    bytes: int
    version: str


class LeftOut:
    """What a listing does not list although it may be audio: how many of each kind, and the first of each."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, kind: str, name: str) -> None:
        """Count a file or folder; `kind` is an extension with its dot, or words."""
        self._counts[kind] += 1
        self._first[kind] = min(self._first.get(kind, name), name)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many of each kind."""
        return self._counts

    def __str__(self) -> str:
        kinds = sorted(self._counts, key=lambda kind: (not kind.startswith("."), -self._counts[kind], kind))
        return ", ".join(f"{self._counts[kind]} {kind}{self._example(kind)}" for kind in kinds)

    def _example(self, kind: str) -> str:
        return "" if kind.startswith(".") else f" ({self._first[kind]!a})"


def scan(music: str) -> tuple[list[Found], LeftOut]:
    """Audio files below a folder or s3:// prefix, by extension, sorted by name; and what is left out.

    Links to folders are followed; each folder is listed once, under its own name where it lies below `music`.
    Raises ConfigError if there is no such folder or no audio in it, StorageError for a missing bucket.
    """
    left = LeftOut()
    found = _list_prefix(music, left) if music.startswith("s3://") else _list_folder(music, left)
    if not found:
        others = f"; left out: {left}" if left.counts else ""
        known = ", ".join(sorted(AUDIO_EXTENSIONS))
        raise ConfigError(f"{music}: no audio files there (looked for {known}){others}")
    return sorted(found, key=lambda item: item.name), left


def is_audio(name: str) -> bool:
    """Whether the extension is one of audio and the file is not hidden."""
    return not _is_hidden(name) and _extension(name) in AUDIO_EXTENSIONS


def local_version(status: os.stat_result) -> str:
    """A file's version on disk: it changes whenever the file is written."""
    return f"{status.st_mtime_ns}-{status.st_size}"


def _unlisted(name: str) -> str | None:
    """The kind under which a file that is no audio by its name is counted; None for what cannot be audio.

    Hidden audio counts, macOS's `._` companions do not. A file without an extension may be anything.
    """
    extension = _extension(name)
    if _is_hidden(name):
        is_twin = name.rpartition("/")[2].startswith("._")
        return "hidden" if extension in MEDIA_EXTENSIONS and not is_twin else None
    if extension in OTHER_EXTENSIONS:
        return f".{extension}"
    inner = _extension(name[: -1 - len(extension)])
    if extension in UNFINISHED and inner in MEDIA_EXTENSIONS:
        return f".{inner}.{extension}"
    return None if extension else "without an extension"


def _extension(name: str) -> str:
    stem, _, extension = name.rpartition("/")[2].rpartition(".")
    return extension.lower() if stem else ""


def _is_hidden(name: str) -> bool:
    return name.rpartition("/")[2].startswith(".")


def _list_folder(music: str, left: LeftOut) -> list[Found]:
    folder = Path(music).absolute()
    if not folder.exists():
        raise ConfigError(f"{music}: no such folder")
    if not folder.is_dir():
        raise ConfigError(f"{music}: a file, expected a folder, an s3:// prefix or a .csv or .parquet list")
    return list(_walk(folder, left))


def _walk(music: Path, left: LeftOut) -> Iterator[Found]:
    """Folders of their own come first, then links to folders by name: a link never takes a folder's place."""
    seen = {_identity(str(parent)) for path in (music, music.resolve()) for parent in path.parents}
    folders, links = [("", str(music))], list[tuple[str, str]]()
    while folders or links:
        prefix, path = folders.pop() if folders else heapq.heappop(links)
        try:
            identity, entries = _identity(path), sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError:
            left.add("folders that cannot be read", prefix or path)
            continue
        if identity in seen:
            left.add("links to folders that are listed already, or hold the music", prefix)
            continue
        seen.add(identity)
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if not _is_folder(entry):
                yield from _listed(entry, name, left)
            elif not _is_hidden(name) and entry.is_symlink():
                heapq.heappush(links, (f"{name}/", entry.path))
            elif not _is_hidden(name):
                folders.append((f"{name}/", entry.path))


def _listed(entry: os.DirEntry[str], name: str, left: LeftOut) -> Iterator[Found]:
    """An entry that is no folder, if it is audio that can be read; a broken link may have been a folder."""
    kind = None if is_audio(name) else _unlisted(name)
    try:
        if entry.is_symlink() and (kind or is_audio(name)):
            os.stat(entry.path)
        if kind:
            left.add(kind, name)
        elif is_audio(name) and entry.is_file():
            status = entry.stat()
            yield Found(entry.path, name, status.st_size, local_version(status))
        elif is_audio(name):
            left.add("not ordinary files", name)
    except OSError:
        left.add("broken links", name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """False for a link that leads nowhere or in a circle."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _list_prefix(music: str, left: LeftOut) -> list[Found]:
    prefix = music.rstrip("/").removeprefix("s3://") + "/"
    with named(music):
        objects: Any = connect().find(prefix, detail=True)
    found = []
    for path, info in objects.items():
        name = path.removeprefix(prefix)
        kind = None if is_audio(name) else _unlisted(name)
        if info["type"] == "file" and is_audio(name):
            found.append(Found(f"s3://{path}", name, info["size"], info["ETag"].strip('"')))
        elif info["type"] == "file" and kind:
            left.add(kind, name)
    return found
