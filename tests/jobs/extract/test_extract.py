"""Extraction through Ray: complete, once, whoever dies; what changes is redone and nothing else."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from features.extract import extract as extract_track
from features.spec import DEFAULT_PRESET, PRESETS
from infra.config import Config, load
from infra.errors import ConfigError, Incomplete, NotStarted, TooManyBadFiles
from infra.root import lease
from infra.root.ledger import Tree
from infra.root.records import Commit
from infra.root.runs import RunFolder, events_of, read_record
from infra.root.songs import read_block, read_quarantine, read_songs
from infra.storage.store import Store
from infra.workers import pool
from infra.workers.isolate import Refused
from infra.workers.pool_metrics import WorkMetrics
from jobs.extract import job as extract
from jobs.extract.packing import Shard
from jobs.extract.work import describe, prepare
from jobs.extract.worker import quarantine_record
from jobs.index import job as index
from jobs.upkeep import audit
from tests.faults.processes import until_no_actors
from tests.jobs.extract.standin import COMMAND, config_of, write_corpus

pytestmark = [pytest.mark.ray, pytest.mark.s3]

TRACKS = {f"{number:02}.mp3": f"ok {number % 3 + 1}" for number in range(14)}
BAD = {"05.mp3": "crash", "09.mp3": "bad SILENT"}
_ALWAYS_OK = (
    "from tests import standin_worker as worker; answer = worker.answer\n"
    "worker.answer = lambda text: answer('ok 3'); worker.main()"
)


@pytest.fixture
def log(tmp_path: Path, ray_session: None) -> Path:
    """Where the stand-in writes the names of the tracks it gets."""
    (tmp_path / "log").touch()
    return tmp_path / "log"


def run(config: Config, log: Path) -> extract.ExtractResult:
    """Index and extract with the stand-in, which logs."""
    index.run(config)
    command = ["env", f"STANDIN_LOG={log}", *COMMAND]
    return extract.run(config, command)


def outcome(config: Config, result: extract.ExtractResult) -> tuple[list[str], dict[str, str]]:
    store = Store(config.root)
    songs, quarantine = read_songs(store, result.snapshot), read_quarantine(store, result.snapshot)
    reasons = zip(quarantine["track_id"].to_pylist(), quarantine["reason"].to_pylist(), strict=True)
    return songs["track_id"].to_pylist(), dict(reasons)


def test_a_second_extraction_of_the_corpus_is_refused(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
):
    """By the lease of the first, whose record stays as it is."""
    config = config_of(str(tmp_path / "root"), write_corpus(str(tmp_path / "music"), {"a.mp3": "ok 1"}))
    index.run(config)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    with RunFolder(Store(config.root), "runs/extract-default", "the extraction of corpus default") as first:
        first.begin({"first": True})
        with pytest.raises(Incomplete, match=r"the extraction of corpus default is under way \(process "):
            extract.run(config, COMMAND)
        first.event("still here")
        first.flush()
    kinds = [event["kind"] for event in events_of(Store(config.root), "runs/extract-default")]
    assert kinds == ["begin", "still here"]
    assert not (tmp_path / "root/features").exists()


def test_complete_and_again_nothing(any_root: str, log: Path):
    config = config_of(any_root, write_corpus(f"{any_root}-music", {**TRACKS, **BAD}))
    result = run(config, log)
    songs, reasons = outcome(config, result)
    assert songs == [name for name in sorted(TRACKS) if name not in BAD]
    assert reasons == {"05.mp3": "CRASH", "09.mp3": "SILENT"}
    assert (result.new_shards, result.snapshot.number) == (4, 1)
    assert audit.run(config).problems == ()
    done = log.read_text()
    again = run(config, log)
    assert (again.new_shards, again.snapshot) == (0, result.snapshot)
    assert log.read_text() == done


def test_only_changes_are_extracted(tmp_path: Path, log: Path):
    music = write_corpus(str(tmp_path / "music"), TRACKS)
    config = config_of(str(tmp_path / "root"), music)
    run(config, log)
    log.write_text("")
    (tmp_path / "music/03.mp3").unlink()
    write_corpus(music, {"07.mp3": "ok 44", "99.mp3": "ok 1"})
    result = run(config, log)
    assert sorted(log.read_text().split()) == ["07.mp3", "99.mp3"]
    songs = read_songs(Store(config.root), result.snapshot)
    assert songs["track_id"].to_pylist() == sorted({*TRACKS, "99.mp3"} - {"03.mp3"})
    assert (
        dict(zip(songs["track_id"].to_pylist(), songs["n_frames"].to_pylist(), strict=True))["07.mp3"] == 44
    )
    assert result.snapshot.number == 2
    assert audit.run(config).problems == ()


def test_files_that_changed_behind_the_list(tmp_path: Path, log: Path):
    config = config_of(str(tmp_path / "root"), write_corpus(str(tmp_path / "music"), TRACKS))
    index.run(config)
    (tmp_path / "music/03.mp3").unlink()
    (tmp_path / "music/04.mp3").write_text("ok 1 longer")
    _, reasons = outcome(config, extract.run(config, COMMAND))
    assert reasons == {"03.mp3": "MISSING", "04.mp3": "SIZE_MISMATCH"}


def test_too_many_bad_files_and_a_higher_limit(tmp_path: Path, log: Path):
    bad = dict.fromkeys(list(TRACKS)[:9], "bad SILENT")
    config = config_of(str(tmp_path / "root"), write_corpus(str(tmp_path / "music"), {**TRACKS, **bad}))
    with pytest.raises(TooManyBadFiles, match=r"of 14 tracks are unusable.*most often SILENT .*as asked"):
        run(config, log)
    result = run(config_of(config.root, str(config.music), "extract.max_bad_fraction=0.9"), log)
    assert result.snapshot.n_quarantined == 9
    with pytest.raises(TooManyBadFiles, match="9 of 14 tracks"):
        run(config, log)
    assert (
        json.loads(read_record(Store(config.root), "runs/extract-default", "summary.json"))["exit_code"] == 3
    )


@pytest.mark.parametrize(
    ("early", "limit", "consumed"), [(500, 0.5, 2), (500, 0.9, 4), (4, 0.5, 1), (4, 1.0, 4)]
)
def test_bad_files_stop_a_run_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: int, limit: float, consumed: int
):
    """Once it is certain for all 14 tracks, or when most of the first `early` ones are bad."""
    monkeypatch.setattr(extract, "EARLY_TRACKS", early)
    music = write_corpus(str(tmp_path / "music"), TRACKS)
    config = config_of(str(tmp_path / "root"), music, f"extract.max_bad_fraction={limit}")
    index.run(config)
    work = prepare(config)
    seen = []

    def workers() -> Iterator[tuple[Shard, Commit]]:
        for shard in work.shards:
            seen.append(shard)
            bad = tuple(quarantine_record(track, "extract", Refused("SILENT", "")) for track in shard.tracks)
            yield shard, Commit(shard.name, "", "", 0, 0, len(bad), bad, ())

    with pytest.raises(TooManyBadFiles) if limit < 1 else nullcontext():
        extract._collect(config, work, workers(), Mock(spec=WorkMetrics))
    assert len(seen) == consumed


def test_quarantined_tracks_are_tried_again(tmp_path: Path, log: Path):
    """Those of the reason asked for alone; attempts add up, the first time stays."""
    cured = {"01.mp3": f"crash-once {tmp_path}/a", "02.mp3": "crash", "05.mp3": "bad SILENT"}
    music = write_corpus(str(tmp_path / "music"), {**TRACKS, **cured})
    config = config_of(str(tmp_path / "root"), music)
    first = run(config, log)
    assert outcome(config, first)[1] == {"02.mp3": "CRASH", "05.mp3": "SILENT"}
    before = read_quarantine(Store(config.root), first.snapshot).to_pylist()
    log.write_text("")
    time.sleep(1.0)
    second = extract.run(config, ["env", f"STANDIN_LOG={log}", *COMMAND], ["CRASH", "TIMEOUT"])
    assert log.read_text().split() == ["02.mp3", "02.mp3"]
    after = read_quarantine(Store(config.root), second.snapshot).to_pylist()
    assert [row["attempts"] for row in after] == [4, 1]
    assert after[0]["first_seen"] == before[0]["first_seen"] < after[0]["last_seen"]
    assert after[1] == before[1]
    third = extract.run(config, [*COMMAND[:1], "-c", _ALWAYS_OK], ["CRASH"])
    songs, reasons = outcome(config, third)
    assert (songs, reasons) == (sorted({*TRACKS} - {"05.mp3"}), {"05.mp3": "SILENT"})
    assert audit.run(config).problems == ()
    with pytest.raises(ConfigError, match=r"--retry-quarantined 'NOISY': expected a reason out of EMPTY, "):
        prepare(config, ["NOISY"])


def test_a_run_that_failed_for_bad_files_is_tried_again(tmp_path: Path, log: Path):
    """Its snapshot was never published, its commits would otherwise be taken as they are."""
    bad = dict.fromkeys(TRACKS, "crash")
    config = config_of(str(tmp_path / "root"), write_corpus(str(tmp_path / "music"), bad))
    with pytest.raises(TooManyBadFiles):
        run(config, log)
    until_no_actors(os.getpid(), "Extractor")
    with pytest.raises(TooManyBadFiles):
        extract.run(config, COMMAND, ["CRASH"])
    until_no_actors(os.getpid(), "Extractor")
    result = extract.run(config, [*COMMAND[:1], "-c", _ALWAYS_OK], ["CRASH"])
    assert outcome(config, result) == (sorted(TRACKS), {})
    assert audit.run(config).problems == ()


def test_what_an_unpublished_run_left_and_what_a_snapshot_says_are_both_retried(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
):
    """Attempts only grow, or planning would go in circles between the two."""
    music = write_corpus(str(tmp_path / "music"), dict.fromkeys(list(TRACKS)[:4], "bad TIMEOUT"))
    write_corpus(music, {"x.mp3": "ok 1"})
    config = config_of(str(tmp_path / "root"), music, "extract.max_bad_fraction=1")
    run(config, log)
    write_corpus(music, {f"z{number}.mp3": "bad TIMEOUT" for number in range(4)})
    monkeypatch.setattr(Tree, "publish", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(config, log)
    work = prepare(config, ["TIMEOUT"])
    tried = {track.track_id: track.attempts for shard in work.todo for track in shard.tracks}
    assert tried == dict.fromkeys([*list(TRACKS)[:4], "z0.mp3", "z1.mp3", "z2.mp3", "z3.mp3"], 1)
    assert all(track.first_seen for shard in work.todo for track in shard.tracks)


def test_a_few_retries_are_judged_as_part_of_the_corpus(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(extract, "EARLY_TRACKS", 2)
    music = write_corpus(str(tmp_path / "music"), {**TRACKS, **BAD})
    config = config_of(str(tmp_path / "root"), music)
    run(config, log)
    again = extract.run(config, COMMAND, ["CRASH", "SILENT"])
    assert again.new_shards == 1
    assert outcome(config, again)[1] == {"05.mp3": "CRASH", "09.mp3": "SILENT"}


def test_not_one_usable_track(tmp_path: Path, log: Path):
    music = write_corpus(str(tmp_path / "music"), dict.fromkeys(TRACKS, "bad NOT_AUDIO"))
    with pytest.raises(TooManyBadFiles, match=r"14 of 14 tracks are unusable.*NOT_AUDIO \(14\)"):
        run(config_of(str(tmp_path / "root"), music, "extract.max_bad_fraction=1"), log)


def test_a_decoder_that_never_starts_ends_the_run_and_blames_no_track(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pool, "HELPLESS", 1)
    config = config_of(str(tmp_path / "root"), write_corpus(str(tmp_path / "music"), {"a.mp3": "ok 1"}))
    index.run(config)
    with pytest.raises(
        NotStarted, match=r"does not start, tried 4 times on .*: .* exit code 1 \(no numba here\)"
    ):
        extract.run(config, [sys.executable, "-c", "import sys; sys.exit('no numba here')"])
    store = Store(config.root)
    assert json.loads(read_record(store, "runs/extract-default", "summary.json"))["exit_code"] == 4
    assert [shard.name for shard in prepare(config).todo] == [shard.name for shard in prepare(config).shards]
    result = run(config, log)
    assert (result.snapshot.n_songs, result.snapshot.n_quarantined) == (1, 0)


def test_without_a_track_list(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no track list yet, run jobs\.index first"):
        extract.run(load(root=str(tmp_path)))


def test_the_plan_is_told(tmp_path: Path):
    config = config_of(str(tmp_path / "root"), write_corpus(str(tmp_path / "music"), TRACKS))
    index.run(config)
    text = describe(prepare(config))
    assert text.startswith("14 of 14 tracks (5.6e-08 GB of audio) in 4 shards, about ")
    assert Store(config.root).names("features") == []


def test_killed_in_the_middle_and_run_again(tmp_path: Path, log: Path):
    """SIGKILL to the driver after its first commits: no process stays, another run does only the rest."""
    slow = {f"{number:02}.mp3": "slow 0.4" for number in range(20)}
    config = config_of(str(tmp_path / "root"), write_corpus(str(tmp_path / "music"), slow), "ray.num_cpus=2")
    index.run(config)
    script = (
        "import sys; from infra.config import Config; from jobs.extract import job as extract\n"
        "extract.run(Config.model_validate_json(sys.argv[1]), sys.argv[2:])"
    )
    command = ["env", f"STANDIN_LOG={log}", *COMMAND]
    driver = subprocess.Popen([sys.executable, "-c", script, config.model_dump_json(), *command])
    committed = tmp_path / "root/features"
    _wait_until(lambda: len(list(committed.glob("*/commits/*.json"))) >= 2 or driver.poll() is not None)
    family = _descendants(driver.pid)
    assert len(family) > 4
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    _wait_until(lambda: not any(map(_alive, family)))
    kept = set(committed.glob("*/commits/*.json"))
    assert 2 <= len(kept) < 5
    log.write_text("")
    result = run(config, log)
    assert result.new_shards == 5 - len(kept)
    assert len(log.read_text().split()) == 4 * result.new_shards
    assert outcome(config, result) == (sorted(slow), {})
    assert audit.run(config).problems == ()


@pytest.mark.slow
def test_real_audio_through_the_real_worker(tone_corpus: Path, tmp_path: Path, ray_session: None):
    """Values are those of `features.extract` in this process, bad files have the right reasons."""
    config = load(root=str(tmp_path), music=str(tone_corpus))
    index.run(config)
    result = extract.run(config)
    songs, reasons = outcome(config, result)
    assert reasons == {
        "silent.wav": "SILENT",
        "truncated.wav": "TRUNCATED",
        "empty.mp3": "EMPTY",
        "notes.ogg": "NOT_AUDIO",
    }
    assert len(songs) == 20
    rows = read_songs(Store(config.root), result.snapshot).to_pylist()
    for row in rows[:4]:
        block = read_block(Store(config.root), row["path"], row["row_group"], [row["row"]])
        data = (tone_corpus / row["track_id"]).read_bytes()
        expected = extract_track(data, row["track_id"], PRESETS[DEFAULT_PRESET]).frames
        # Matrix products may be summed in another order with more threads.
        np.testing.assert_allclose(block.values, expected, atol=1e-4)
    assert audit.run(config).problems == ()


def _wait_until(condition, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _descendants(pid: int) -> list[int]:
    found = [
        int(child)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in path.read_text().split()
    ]
    return found + [pid for child in found for pid in _descendants(child)]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
