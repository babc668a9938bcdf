"""One worker of the extraction: reads tracks ahead, lets the isolated child work, commits whole shards."""

import fcntl
import itertools
import json
import os
import platform
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa

from features.spec import FeatureSpec
from hdpgmm.ragged import offsets_of
from infra.datasets.own_frames import read_bytes
from infra.errors import StorageError
from infra.root.ledger import Tree
from infra.root.records import Commit
from infra.root.runs import now
from infra.root.schemas import (
    ATTEMPTS,
    FIRST_SEEN,
    FRAMES,
    LAST_SEEN,
    N_FRAMES,
    SOURCE_FACTS,
    STAGE,
    TRACK_ID,
    VERSION,
    feature_shard,
)
from infra.storage.retry import with_retries
from infra.storage.store import Store, read_uri
from infra.workers.isolate import Extracted, Isolated, Refused
from jobs.extract.own_frames import NOWHERE
from jobs.extract.packing import Shard, Track, row_groups

TICK_SECONDS = 1.0
READERS = 4
AHEAD_BYTES = 64 << 20
# The allocator keeps what one track leaves for the next: asking the system for it again is a twelfth of an mp3's time.
# Larger arrays are still mapped each by itself, where they can grow without a copy.
KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
}
NOT_READ = ("MISSING", "SIZE_MISMATCH", "TOO_LARGE")
LARGEST_BYTES = 4 << 30  # of a file; it is read whole, and the longest that are used (3 hours) are smaller
_claimed: dict[Path, TextIO] = {}  # folders of compiled code, by locks that last as long as this process
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Tick:
    """How far a shard is. fallbacks: tracks that the second decoder read; incomplete: that lack less than a packet."""

    tracks: int = 0
    quarantined: int = 0
    audio_seconds: float = 0.0
    audio_bytes: int = 0
    fallbacks: int = 0
    incomplete: int = 0

    def __add__(self, other: "Tick") -> "Tick":
        return Tick(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: "Tick") -> "Tick":
        return Tick(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


class Extractor:
    """Turns shards into commits. The child process starts with the first shard and stays warm."""

    def __init__(
        self,
        root: str,
        tree: str,
        spec: FeatureSpec,
        command: Sequence[str],
        slot: int,
        track_seconds: float,
        row_group_bytes: int,
    ) -> None:
        self.tree = Tree(Store(root), tree)
        self.spec, self.row_group_bytes = spec, row_group_bytes
        self.child = Isolated(command, child_environment(slot), track_seconds)
        self.reader = ThreadPoolExecutor(READERS)

    def extract_shard(self, shard: Shard) -> Iterator[Tick | Commit]:
        """Ticks on the way, then the commit. Raises StorageError if the storage keeps failing."""
        rows: list[tuple[Track, Extracted]] = []
        quarantined: list[dict[str, Any]] = []
        tick, told = Tick(), time.monotonic()
        for track, content in self._read_ahead(shard.tracks):
            result = content if isinstance(content, Refused) else self.child.extract(track.track_id, content)
            if isinstance(result, Refused):
                stage = "read" if isinstance(content, Refused) else "extract"
                quarantined.append(quarantine_record(track, stage, result))
                tick += Tick(1, 1, 0.0, track.bytes)
            else:
                rows.append((track, result))
                second, lacks = result.fallback is not None, result.missing_seconds > 0
                tick += Tick(1, 0, result.duration_seconds, track.bytes, int(second), int(lacks))
            if time.monotonic() - told >= TICK_SECONDS:
                told = time.monotonic()
                yield tick
        yield tick
        yield self._commit(shard, rows, quarantined)

    def _read_ahead(self, tracks: Sequence[Track]) -> Iterator[tuple[Track, bytes | Refused]]:
        """The bytes of each track, in order; the next ones are read while the caller works.

        At most READERS at a time and AHEAD_BYTES together, one track always.
        """
        waiting, ahead = deque(tracks), deque[tuple[Track, Future[bytes | Refused]]]()
        while waiting or ahead:
            held = sum(track.bytes for track, _ in ahead)
            while waiting and len(ahead) < READERS and (not ahead or held + waiting[0].bytes <= AHEAD_BYTES):
                held += waiting[0].bytes
                read = fetch_frames if self.spec.frames else fetch
                ahead.append((waiting[0], self.reader.submit(read, waiting.popleft())))
            track, reading = ahead[0]
            content = reading.result()
            ahead.popleft()
            yield track, content

    def _commit(
        self, shard: Shard, rows: list[tuple[Track, Extracted]], quarantined: list[dict[str, Any]]
    ) -> Commit:
        table = feature_table(rows, self.spec)
        groups = row_groups([result.frames.nbytes for _, result in rows], self.row_group_bytes)
        inputs = len(shard.tracks)
        return with_retries(lambda: self.tree.commit(shard.name, table, quarantined, inputs, groups))


def fetch(track: Track) -> bytes | Refused:
    """The file's bytes if it still is the one that was indexed. Raises StorageError if it cannot be known."""
    if track.bytes > LARGEST_BYTES:
        return Refused("TOO_LARGE", f"{track.bytes} bytes, at most {LARGEST_BYTES} are read")
    try:
        data = with_retries(lambda: read_uri(track.uri, track.bytes + 1))
    except FileNotFoundError:
        return Refused("MISSING", "the file is in the track list and no longer there")
    except StorageError as error:
        # On a disk this is the file's own fault; a bucket's refusal may be about all of them.
        if isinstance(error.__cause__, PermissionError) and not track.uri.startswith("s3://"):
            return Refused("MISSING", "no permission to read the file")
        raise
    if len(data) != track.bytes:
        size = f"more than {track.bytes}" if len(data) > track.bytes else len(data)
        return Refused("SIZE_MISMATCH", f"{size} bytes, the track list says {track.bytes}")
    return data


def fetch_frames(track: Track) -> bytes | Refused:
    """A track's frames among those that a user brought, as the bytes of an .npy file."""
    if track.uri == NOWHERE:
        return Refused("MISSING", "no frames of this track are among those that were brought")
    try:
        return read_bytes(track.uri)
    except FileNotFoundError:
        return Refused("MISSING", f"{track.uri} was there and is no longer")


def quarantine_record(track: Track, stage: str, refused: Refused) -> dict[str, Any]:
    """A row of the quarantine table."""
    seen = now()
    return {
        TRACK_ID: track.track_id,
        VERSION: track.version,
        STAGE: stage,
        **asdict(refused),
        ATTEMPTS: track.attempts + refused.attempts,
        FIRST_SEEN: track.first_seen or seen,
        LAST_SEEN: seen,
    }


def feature_schema(spec: FeatureSpec) -> pa.Schema:
    """The columns of a feature shard."""
    return feature_shard(pa.from_numpy_dtype(spec.dtype), spec.n_features)


def feature_table(rows: Sequence[tuple[Track, Extracted]], spec: FeatureSpec) -> pa.Table:
    """The rows of a feature shard, in the order given."""
    lengths = [len(result.frames) for _, result in rows]
    frames = [result.frames for _, result in rows] or [np.empty((0, spec.n_features), spec.dtype)]
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(frames).ravel()), spec.n_features)
    offsets = pa.array(offsets_of(lengths).astype(np.int32))
    columns = {
        TRACK_ID: [track.track_id for track, _ in rows],
        VERSION: [track.version for track, _ in rows],
        N_FRAMES: lengths,
        FRAMES: pa.ListArray.from_arrays(offsets, values),
        **{name: [getattr(result, name) for _, result in rows] for name in SOURCE_FACTS.names},
    }
    return pa.table(columns, schema=feature_schema(spec))


def child_command(spec: FeatureSpec) -> list[str]:
    """How to start the child that decodes and computes features."""
    fields = {name: value for name, value in asdict(spec).items() if value != getattr(FeatureSpec, name)}
    return [sys.executable, "-m", "features.worker", "--spec", json.dumps(fields, sort_keys=True)]


def child_environment(slot: int) -> dict[str, str]:
    """One thread a worker, a private numba cache that stays warm between runs, memory kept, this repository's code."""
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {
        **os.environ,
        **dict.fromkeys(threads, "1"),
        **KEPT_MEMORY,
        "NUMBA_CACHE_DIR": str(_own_cache(slot)),
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }


def _own_cache(slot: int) -> Path:
    """A folder that no other living process compiles into, the same one in the next run.

    Of two that compile one of librosa's ufuncs into one folder at the same time numba keeps halves, and who loads them
    crashes. Where the file system knows no locks there is one folder a slot.
    """
    base = _numba_cache()
    for number in itertools.count():
        folder = base / (f"{platform.node()}-{slot}" + (f"-{number}" if number else ""))
        if folder in _claimed:
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        except OSError:
            pass
        _claimed[folder] = lock
        return folder
    raise AssertionError("unreachable")


def _numba_cache() -> Path:
    key = f"{platform.python_version()}-{version('numba')}"
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "hdpgmm" / f"numba-{key}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir()) / f"hdpgmm-{os.getuid()}-numba-{key}"
    return folder
