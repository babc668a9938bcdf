"""A corpus as a folder: OUT/<style>/<track>, labels.csv, planted.csv, README.txt and, written last, manifest.json.

The manifest is the mark that the folder is complete. `composing.json` stands for it until then and says whose
unfinished work the folder holds; running again continues it.
"""

import csv
import functools
import hashlib
import io
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from evaluation.compose.files import PLANTED, place, planted, played
from evaluation.compose.plan import COLUMNS, Track, labels, plan, track

VERSION = 1
MANIFEST = "manifest.json"
_STARTED = "composing.json"

_README = """\
Music for trying out and testing, composed and played by a program: {tracks} tracks, seed {seed}.

labels.csv   one row per track: style, instruments, mode, tempo band (slow < 90 <= medium < 130 <= fast),
             group (the composer: keep one composer's tracks on one side of a split), bpm and key
planted.csv  the four files that are broken on purpose, each with the reason; labels.csv leaves them out
manifest.json  SHA-256 of every file

Made by: python -m jobs.compose --out FOLDER --tracks {tracks} --seed {seed}
It has no author to credit and may be used for anything.
"""


class FolderInUse(Exception):
    """The folder holds something else, which composing would mix with."""


def complete(folder: Path, tracks: int, seed: int) -> bool:
    """Whether the folder holds this corpus, every file as it was written. Raises FolderInUse, OSError."""
    found = _content(folder, _identity(tracks, seed))
    return "files" in found and not _damaged(folder, found["files"])


def write_corpus(
    folder: Path, tracks: int, seed: int, processes: int, advance: Callable[[int], None] = lambda _: None
) -> tuple[Track, ...]:
    """Make the folder hold the corpus of (tracks, seed); `advance` is told how many more tracks are there.

    Tracks that are there are kept. The files do not depend on `processes`. Raises FolderInUse, OSError.
    """
    planned = plan(tracks, seed)
    if complete(folder, tracks, seed):
        advance(tracks)
        return planned
    _begin(folder, _identity(tracks, seed))
    missing = [item for item in planned if not (folder / item.file).exists()]
    advance(tracks - len(missing))
    for _ in _mapped(functools.partial(_write_track, folder), missing, processes):
        advance(1)
    _write_planted(folder, replace(track(seed, tracks, tracks + 1), extension="wav"))
    place(folder / "labels.csv", _table(COLUMNS, (labels(item, item.song()) for item in planned)))
    place(folder / "README.txt", _README.format(tracks=tracks, seed=seed).encode())
    names = [*(item.file for item in planned), *PLANTED, "labels.csv", "planted.csv", "README.txt"]
    digests = {name: _digest(folder / name) for name in sorted(names)}
    place(folder / MANIFEST, _json({**_identity(tracks, seed), "files": digests}))
    (folder / _STARTED).unlink()
    return planned


def _identity(tracks: int, seed: int) -> dict[str, int]:
    return {"version": VERSION, "tracks": tracks, "seed": seed}


def _content(folder: Path, identity: dict[str, int]) -> dict:
    """The folder's manifest, or its mark of unfinished work; empty for an empty folder."""
    if not folder.exists() or not any(folder.iterdir()):
        return {}
    found = _read(folder / MANIFEST) or _read(folder / _STARTED)
    if {name: found.get(name) for name in identity} != identity:
        raise FolderInUse(_holds(folder, found))
    return found


def _begin(folder: Path, identity: dict[str, int]) -> None:
    found = _content(folder, identity)
    broken = _damaged(folder, found.get("files", {}))
    # The mark first: killed here, the folder is an unfinished corpus and not a foreign one.
    place(folder / _STARTED, _json(identity))
    for name in (MANIFEST, *broken):
        (folder / name).unlink(missing_ok=True)


def _damaged(folder: Path, digests: dict[str, str]) -> list[str]:
    return [name for name, digest in digests.items() if _digest(folder / name) != digest]


def _holds(folder: Path, found: dict) -> str:
    if "seed" in found:
        held = ", ".join(f"{name} {found.get(name)}" for name in ("tracks", "seed", "version"))
        return f"{folder}: holds another composed corpus ({held}); choose an empty folder or delete it"
    return f"{folder}: not empty and not a composed corpus; choose an empty folder"


def _write_track(folder: Path, item: Track) -> None:
    place(folder / item.file, played(item))


def _write_planted(folder: Path, spare: Track) -> None:
    for name in PLANTED:
        place(folder / name, planted(name, spare))
    rows = ({"file": name, "reason": reason} for name, reason in PLANTED.items())
    place(folder / "planted.csv", _table(("file", "reason"), rows))


def _table(columns: tuple[str, ...], rows: Iterable[dict[str, str]]) -> bytes:
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode()


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _read(path: Path) -> dict:
    return json.loads(path.read_bytes()) if path.exists() else {}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def _mapped(task: Callable[[Track], None], items: list[Track], processes: int) -> Iterator[None]:
    if processes == 1 or len(items) < 2:
        yield from map(task, items)
        return
    with _pool(min(processes, len(items))) as pool:
        yield from pool.map(task, items)


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    # Not forked: the caller may hold threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_follow_parent)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Leave interrupts to the parent and end with it, also when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
