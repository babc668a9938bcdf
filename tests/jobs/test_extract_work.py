"""The plan's words: what is to do, and how long it may take."""

from pathlib import Path

import pytest

from infra.config import Config
from infra.runs import RunFolder
from infra.storage import Store
from jobs import extract, index
from jobs.extract_work import expected_time, likely_workers, prepare, remember_speed, run_path
from tests.jobs.standin import config_of, write_corpus

SECONDS = 400.0 * 3600


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A list of one mp3 as long as 400 hours."""
    config = config_of(str(tmp_path / "root"), write_corpus(str(tmp_path / "music"), {"a.mp3": "ok 1"}))
    index.run(config)
    return config


def test_time_is_guessed_at_first_and_then_measured(config: Config):
    work, folder = prepare(config), RunFolder(Store(config.root), run_path(config))
    (shard,) = work.shards
    work.shards[0] = shard._replace(tracks=(shard.tracks[0]._replace(bytes=int(16000 * SECONDS)),))
    assert expected_time(work, folder, 2) == "about 0:30:00 with 2 workers (a guess before the first run)"
    assert expected_time(work, folder, None) == "about 1 hours of one worker (a guess before the first run)"
    remember_speed(work, folder, workers=4, seconds=3600.0)
    words = "(the last run: 100 s of audio a second and worker)"
    assert expected_time(work, folder, 8) == f"about 0:30:00 with 8 workers {words}"


def test_a_run_without_audio_says_nothing_of_speed(config: Config):
    work, folder = prepare(config), RunFolder(Store(config.root), run_path(config))
    work.shards[0] = work.shards[0]._replace(tracks=(work.shards[0].tracks[0]._replace(bytes=0),))
    remember_speed(work, folder, workers=4, seconds=3600.0)
    assert expected_time(prepare(config), folder, 2).endswith("(a guess before the first run)")


def test_a_dry_run_tells_the_plan_and_leaves_nothing(config: Config, capsys: pytest.CaptureFixture[str]):
    before = sorted(Path(config.root).rglob("*"))
    extract.main(root=config.root, overrides=["extract.workers=3"], dry_run=True)
    assert sorted(Path(config.root).rglob("*")) == before
    text = capsys.readouterr().out
    assert text.startswith("1 of 1 tracks (4e-09 GB of audio) in 1 shards, about ")
    assert text.endswith("; about 0:00:00 with 3 workers (a guess before the first run)\n")


def test_workers_of_a_cluster_are_not_guessed(config: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert likely_workers(config) is None
    monkeypatch.delenv("RAY_ADDRESS")
    assert (likely_workers(config) or 0) >= 1
