"""Progress in a log."""

import logging

import pytest

from infra import progress
from infra.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_the_line_has_count_rate_figures_and_time_left(clock: list[float]):
    bar = Progress(100, "tracks", "extract")
    clock[0] += 10
    bar.advance(25, bad=1, seconds=0.123456)
    assert bar.line() == "extract: 25/100 tracks 2.5/s  bad 1  seconds 0.1235, 0:00:30 left"


def test_a_log_gets_a_line_every_half_minute_and_one_at_the_end(
    clock: list[float], capfd: pytest.CaptureFixture[str]
):
    with Progress(100, "tracks", "x") as bar:
        for _ in range(100):
            clock[0] += 1
            bar.advance()
    lines = capfd.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["30/100", "60/100", "90/100", "100/100"]


def test_a_runs_log_has_the_same_lines_once(clock: list[float], caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "infra.progress")
    with Progress(100, "tracks", "x") as bar:
        for _ in range(100):
            clock[0] += 1
            bar.advance()
    assert [record.getMessage().split()[1] for record in caplog.records] == [
        *("30/100", "60/100", "90/100", "100/100")
    ]
    assert all(getattr(record, "shown", False) for record in caplog.records)  # the console has them already


def test_what_was_done_before_has_no_part_in_the_rate(clock: list[float]):
    bar = Progress(100, "steps", "train", done=80)
    assert bar.line() == "train: 80/100 steps 0/s"
    clock[0] += 10
    bar.advance(5)
    assert bar.line() == "train: 85/100 steps 0.5/s, 0:00:30 left"
