"""One extraction worker, called directly."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from features.spec import DEFAULT_PRESET, PRESETS, FeatureSpec
from infra.errors import StorageError
from infra.root.records import Commit
from infra.root.songs import read_block
from infra.storage import retry
from infra.storage.parquet import decode, encode
from infra.storage.store import Store
from infra.workers.isolate import Extracted, Refused
from jobs.extract import worker as extractor
from jobs.extract.packing import Shard, Track
from jobs.extract.worker import (
    AHEAD_BYTES,
    Extractor,
    Tick,
    child_command,
    child_environment,
    feature_schema,
    feature_table,
    fetch,
)
from tests.jobs.extract.standin import COMMAND
from tests.places import REPOSITORY


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Extractor]:
    worker = Extractor(
        str(tmp_path / "root"), "features/f", PRESETS[DEFAULT_PRESET], COMMAND, 0, 30.0, 2 * 59 * 4 * 3
    )
    with worker.child:
        yield worker


def shard_of(folder: Path, *contents: str) -> Shard:
    tracks = []
    for number, content in enumerate(contents):
        path = folder / f"{number}.mp3"
        path.write_text(content)
        tracks.append(Track(path.name, str(path), len(content), "1"))
    return Shard("shard", tuple(tracks), 1)


def test_rows_and_quarantine_are_the_inputs(worker: Extractor, tmp_path: Path):
    shard = shard_of(tmp_path, "ok 3", "crash", "ok 2", "bad SILENT", "ok 3", "ok 0")
    (tmp_path / "4.mp3").unlink()
    *ticks, commit = worker.extract_shard(shard)
    assert isinstance(commit, Commit)
    assert [(track.track_id, track.n_frames) for track in commit.tracks] == [
        ("0.mp3", 3),
        ("2.mp3", 2),
        ("5.mp3", 0),
    ]
    faults = {record["track_id"]: record for record in commit.quarantined}
    assert {name: (fault["stage"], fault["reason"], fault["attempts"]) for name, fault in faults.items()} == {
        "1.mp3": ("extract", "CRASH", 2),
        "3.mp3": ("extract", "SILENT", 1),
        "4.mp3": ("read", "MISSING", 1),
    }
    assert isinstance(ticks[-1], Tick)
    assert (ticks[-1].tracks, ticks[-1].quarantined) == (6, 3)
    assert ticks[-1].audio_seconds == pytest.approx(5 * 512 / 22050)


def test_values_and_row_groups(worker: Extractor, tmp_path: Path):
    *_, commit = worker.extract_shard(shard_of(tmp_path, "ok 3", "ok 3", "ok 4"))
    assert isinstance(commit, Commit)
    assert [(track.row_group, track.row) for track in commit.tracks] == [(0, 0), (0, 1), (1, 0)]
    block = read_block(Store(str(tmp_path / "root")), commit.path, 1)
    np.testing.assert_array_equal(block.values, np.full((4, 59), 4, np.float32))


def test_integers_stay_integers(tmp_path: Path):
    spec = PRESETS["pcm-22050"]
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, (1000, 1)).astype(np.int16)
    track = Track("a", "", 1, "1")
    table = feature_table([(track, Extracted(samples, 1.0, 22050, 1, "x"))], spec)
    data = encode(table, [1])
    assert decode(data).schema == feature_schema(spec)
    np.testing.assert_array_equal(np.array(decode(data)["frames"][0].as_py()), samples)


@pytest.mark.parametrize(("size", "at_once"), [(1, 4), (AHEAD_BYTES // 2, 2), (AHEAD_BYTES, 1)])
def test_files_are_read_ahead_within_limits(
    worker: Extractor, monkeypatch: pytest.MonkeyPatch, size: int, at_once: int
):
    """In order, READERS at a time, AHEAD_BYTES together, and one file however large."""
    begun: list[str] = []

    def slowly(track: Track) -> bytes:
        begun.append(track.track_id)
        time.sleep(0.01 * (5 - int(track.track_id) % 5))
        return track.track_id.encode()

    monkeypatch.setattr(extractor, "fetch", slowly)
    tracks = [Track(str(number), "", size, "") for number in range(20)]
    ahead = []
    for number, (track, content) in enumerate(worker._read_ahead(tracks)):
        assert content == track.track_id.encode() == str(number).encode()
        time.sleep(0.02)
        ahead.append(len(begun) - number)
    assert max(ahead) == at_once


def test_a_shard_without_any_good_track(worker: Extractor, tmp_path: Path):
    *_, commit = worker.extract_shard(shard_of(tmp_path, "bad SILENT", "bad EMPTY"))
    assert isinstance(commit, Commit)
    assert (commit.rows, len(commit.quarantined)) == (0, 2)


def test_a_file_of_another_size_is_not_the_one_that_was_indexed(tmp_path: Path):
    (tmp_path / "a").write_text("12345")
    refused = fetch(Track("a", str(tmp_path / "a"), 4, "1"))
    assert refused == Refused("SIZE_MISMATCH", "more than 4 bytes, the track list says 4")
    refused = fetch(Track("a", str(tmp_path / "a"), 9, "1"))
    assert refused == Refused("SIZE_MISMATCH", "5 bytes, the track list says 9")
    refused = fetch(Track("a", str(tmp_path / "nowhere"), 1 << 33, "1"))  # nobody looks for it
    assert refused == Refused("TOO_LARGE", "8589934592 bytes, at most 4294967296 are read")


def test_a_failing_storage_is_nobodys_quarantine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retry.time, "sleep", lambda _: None)

    def failing(*_: object) -> bytes:
        raise StorageError("503")

    monkeypatch.setattr(extractor, "read_uri", failing)
    with pytest.raises(StorageError, match="503"):
        fetch(Track("a", "s3://b/a", 4, "1"))


def test_a_folder_in_place_of_a_file_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retry.time, "sleep", lambda _: None)
    with pytest.raises(StorageError, match="Is a directory"):
        fetch(Track("a", str(tmp_path), 4, "1"))


def test_forbidden_files_are_missing_on_disk_and_a_failure_on_s3(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retry.time, "sleep", lambda _: None)

    def forbidden(uri: str, _: int) -> bytes:
        raise StorageError(uri) from PermissionError(13, "no")

    monkeypatch.setattr(extractor, "read_uri", forbidden)
    assert fetch(Track("a", "/a", 4, "1")) == Refused("MISSING", "no permission to read the file")
    with pytest.raises(StorageError):
        fetch(Track("a", "s3://b/a", 4, "1"))


def test_the_child_has_one_thread_and_its_own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, two = child_environment(0), child_environment(1)
    assert {one[name] for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS")} == {"1"}
    assert one["NUMBA_CACHE_DIR"].startswith(str(tmp_path))
    assert one["NUMBA_CACHE_DIR"] != two["NUMBA_CACHE_DIR"]
    assert child_command(FeatureSpec())[1:] == ["-m", "features.worker", "--spec", "{}"]
    assert child_command(PRESETS["pcm-22050"])[-1] == '{"features": ["pcm"]}'


def test_no_two_processes_compile_into_one_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Of two extractions on one machine; the next one finds what is compiled already."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    mine = child_environment(0)["NUMBA_CACHE_DIR"]
    assert child_environment(0)["NUMBA_CACHE_DIR"] == mine
    script = "from jobs.extract.worker import child_environment as e; print(e(0)['NUMBA_CACHE_DIR'])"
    run = [sys.executable, "-c", script]
    others = [
        subprocess.run(run, capture_output=True, text=True, check=True, cwd=REPOSITORY) for _ in range(2)
    ]
    assert {other.stdout.strip() for other in others} == {f"{mine}-1"}


def test_without_a_home_the_cache_is_temporary(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert child_environment(0)["NUMBA_CACHE_DIR"].startswith("/tmp")
