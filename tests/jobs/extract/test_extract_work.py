"""The plan's words: what is to do, and how long it may take."""

from pathlib import Path
from typing import Any

import pytest

from infra.config import Config
from infra.root import layout
from infra.root.runs import RunFolder, events_of
from infra.storage.store import Store
from jobs.extract.command import main
from jobs.extract.work import Work, expected_time, likely_workers, prepare, remember_speed
from jobs.index import job as index
from tests.jobs.extract.standin import config_of, write_corpus

SECONDS = 400.0 * 3600


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A list of one mp3 as long as 400 hours."""
    config = config_of(str(tmp_path / "root"), write_corpus(str(tmp_path / "music"), {"a.mp3": "ok 1"}))
    index.run(config)
    return config


def test_time_is_guessed_at_first_and_then_measured(config: Config):
    work = prepare(config)
    (shard,) = work.shards
    work.shards[0] = shard._replace(tracks=(shard.tracks[0]._replace(bytes=int(16000 * SECONDS)),))
    assert expected_time(work, [], 2) == "about 0:30:00 with 2 workers (a guess before the first run)"
    assert expected_time(work, [], None) == "about 1 hours of one worker (a guess before the first run)"
    words = "(the last run: 100 s of audio a second and worker)"
    assert expected_time(work, remembered(config, work), 8) == f"about 0:30:00 with 8 workers {words}"


def remembered(config: Config, work: Work) -> list[dict[str, Any]]:
    """What a later run finds after this one."""
    store, path = Store(config.root), layout.run("extract", config.corpus)
    with RunFolder(store, path, "the extraction") as folder:
        folder.begin({})
        remember_speed(work, folder, workers=4, seconds=3600.0)
    return events_of(store, path)


def test_a_run_without_audio_says_nothing_of_speed(config: Config):
    work = prepare(config)
    work.shards[0] = work.shards[0]._replace(tracks=(work.shards[0].tracks[0]._replace(bytes=0),))
    assert expected_time(prepare(config), remembered(config, work), 2).endswith(
        "(a guess before the first run)"
    )


def test_a_dry_run_tells_the_plan_and_leaves_nothing(config: Config, capsys: pytest.CaptureFixture[str]):
    before = sorted(Path(config.root).rglob("*"))
    main(root=config.root, overrides=["extract.workers=3"], dry_run=True)
    assert sorted(Path(config.root).rglob("*")) == before
    text = capsys.readouterr().out
    assert text.startswith("1 of 1 tracks (4e-09 GB of audio) in 1 shards, about ")
    assert text.endswith("; about 0:00:00 with 3 workers (a guess before the first run)\n")


def test_workers_of_a_cluster_are_not_guessed(config: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert likely_workers(config) is None
    monkeypatch.delenv("RAY_ADDRESS")
    assert (likely_workers(config) or 0) >= 1
