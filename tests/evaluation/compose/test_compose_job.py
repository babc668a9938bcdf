"""`python -m jobs.compose`: what it prints and the exit codes it ends with."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from evaluation.compose import corpus
from infra import cli
from jobs import compose
from jobs.compose import main


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracks without the work of their sound."""
    monkeypatch.setattr(corpus, "played", lambda track: b"sound")
    monkeypatch.setattr(corpus, "planted", lambda name, spare: b"")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.run(main, arguments=[*arguments, "--processes", "1"])
    return int(end.value.code or 0)


def test_it_says_what_it_wrote_and_the_second_time_that_it_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "music")
    assert run("--out", out, "--tracks", "12") == 0
    first = capsys.readouterr().out
    assert f"{out}: 12 tracks" in first
    assert "techno 2" in first
    assert "waltz/empty.mp3" in first
    assert run("--out", out, "--tracks", "12") == 0
    assert capsys.readouterr().out == f"{out}: already there (12 tracks, seed 0)\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tracks", "0"), "--tracks 0: expected 1 or more"),
        (("--seed", "-1"), "--seed -1: expected 0 or more"),
        (("--processes", "0"), "--processes 0"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.run(main, arguments=["--out", str(tmp_path / "m"), *arguments])
    assert end.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].startswith(f"error: {message}")
    assert not (tmp_path / "m").exists()


def test_a_file_or_a_used_folder_as_out_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "song.mp3").write_bytes(b"mine")
    assert run("--out", str(tmp_path / "song.mp3")) == 2
    assert "is a file" in capsys.readouterr().err
    assert run("--out", str(tmp_path)) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert "not empty" in error[0]


def test_a_place_that_cannot_be_written_is_exit_5(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--out", "/proc/music") == 5
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: --out /proc/music:")


def test_a_process_that_is_killed_is_one_line_and_exit_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(*_: object) -> None:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(os._exit, 9).result()

    monkeypatch.setattr(compose, "write_corpus", killed)
    assert run("--out", str(tmp_path / "music"), "--tracks", "12") == 4
    assert "a process that composes died" in capsys.readouterr().err
