"""More than forty kinds of bad files in one corpus: each gets its reason, and the music beside them its features."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from infra.config import load
from infra.root.songs import read_quarantine, read_songs
from infra.storage.store import Store
from jobs.extract import job as extract
from jobs.extract.work import REASONS
from jobs.extract.worker import LARGEST_BYTES
from jobs.index import job as index
from jobs.upkeep import audit
from tests.damaged import damaged_files
from tests.features import signals
from tests.places import TESTS

pytestmark = [pytest.mark.ray, pytest.mark.slow]

WORKER = TESTS / "faulty_worker.py"
GOOD = {
    "good.wav": "wav",
    "really an mp3.wav": "mp3",
    "really a flac.mp3": "flac",
    "Ünïcode \u97f3\u697d.ogg": "ogg",
    "two\nlines.wav": "wav",
    "% {} $HOME `ls` 'quoted'.mp3": "mp3",
}


def test_every_bad_file_has_its_reason_and_stops_nothing(tmp_path: Path, ray_session: None):
    music, bad = tmp_path / "music", damaged_files()
    music.mkdir()
    for name, (_, content) in bad.items():
        (music / name).write_bytes(content)
    for name, file_format in GOOD.items():
        (music / name).write_bytes(signals.encode(signals.chords(1.0, 22050), 22050, file_format))
    for name in ("gone.wav", "grown.wav"):
        (music / name).write_bytes(b"x")
    with (music / "huge.wav").open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)  # a hole: nothing is on the disk
    (music / "a folder.mp3").mkdir()
    (music / "points nowhere.mp3").symlink_to(music / "nowhere")
    settings = ("extract.track_seconds=6", "extract.preset=paper-52", "extract.max_bad_fraction=1")
    config = load(None, settings, root=str(tmp_path / "root"), music=str(music))
    index.run(config)
    (music / "gone.wav").unlink()
    (music / "grown.wav").write_bytes(b"longer")
    expected = {name: reason for name, (reason, _) in bad.items()}
    expected |= {"gone.wav": "MISSING", "grown.wav": "SIZE_MISMATCH", "huge.wav": "TOO_LARGE"}

    result = extract.run(config, [sys.executable, str(WORKER)])

    rows = read_quarantine(Store(config.root), result.snapshot).to_pylist()
    assert {row["track_id"]: row["reason"] for row in rows} == expected
    assert len(expected) > 50
    assert len(Counter(expected.values())) == len(REASONS)
    for row in rows:
        assert "\n" not in row["message"]
        assert "Traceback" not in row["message"]
        assert 5 < len(row["message"]) <= 200
        died = row["reason"] in ("CRASH", "TIMEOUT") or "killed" in row["message"]
        assert row["attempts"] in (
            (2,) if died else (1, 2)
        )  # a busy machine may take too long the first time
    songs = read_songs(Store(config.root), result.snapshot)
    assert songs["track_id"].to_pylist() == sorted(GOOD)
    assert audit.run(config).problems == ()
