"""The folder: same bytes per seed, complete or continued, four broken files, nobody else's folder touched."""

import csv
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluation.compose import corpus
from evaluation.compose.corpus import FolderInUse, complete, write_corpus
from evaluation.compose.files import PLANTED, encode
from evaluation.compose.plan import plan
from evaluation.compose.writing.styles import STYLES

TRACKS = len(STYLES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One track per style, written by two processes."""
    out = tmp_path_factory.mktemp("compose") / "music"
    write_corpus(out, TRACKS, 0, processes=2)
    return out


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus of three tracks whose sound is quickly made."""
    monkeypatch.setattr(corpus, "played", lambda track: f"sound of {track.file}".encode())
    monkeypatch.setattr(corpus, "planted", lambda name, spare: name.encode())
    write_corpus(tmp_path / "music", 3, 0, processes=1)
    return tmp_path / "music"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_one_process_writes_the_same_bytes_as_two(folder: Path, tmp_path: Path) -> None:
    planned = [track for track in plan(TRACKS, 0) if track.extension in ("wav", "flac")]
    assert {track.extension for track in planned} == {"wav", "flac"}
    for track in planned:
        assert (folder / track.file).read_bytes() == corpus.played(track)


def test_files_are_what_their_plan_says(folder: Path) -> None:
    for track in plan(TRACKS, 0):
        info = soundfile.info(folder / track.file)
        assert (info.samplerate, info.channels) == (track.rate, track.channels)
        assert info.format == track.extension.upper()
        assert 15 <= info.duration <= 30


def test_the_label_file_names_exactly_the_good_files(folder: Path) -> None:
    audio = {str(path.relative_to(folder)) for path in folder.glob("*/*")}
    named = {row["file"] for row in rows(folder / "labels.csv")}
    assert named == {track.file for track in plan(TRACKS, 0)}
    assert audio == named | set(PLANTED)


def test_four_files_are_broken_as_they_say(folder: Path) -> None:
    reasons = {row["reason"]: folder / row["file"] for row in rows(folder / "planted.csv")}
    assert set(reasons) == {"SILENT", "TRUNCATED", "EMPTY", "NOT_AUDIO"}
    silence, _ = soundfile.read(reasons["SILENT"])
    assert len(silence) > 15 * 22050
    assert not silence.any()
    assert reasons["EMPTY"].read_bytes() == b""
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(reasons["NOT_AUDIO"])
    cut = reasons["TRUNCATED"].read_bytes()
    promised = int.from_bytes(cut[4:8], "little") + 8
    assert len(cut) == pytest.approx(0.6 * promised, abs=2)


def test_the_manifest_knows_every_file(folder: Path) -> None:
    digests = json.loads((folder / "manifest.json").read_text())["files"]
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {
        "manifest.json"
    }
    assert set(digests) == names
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digests[name] for name in names)


def test_a_second_run_finds_it_done_and_touches_nothing(small: Path) -> None:
    before = state(small)
    done = []
    assert complete(small, 3, 0)
    write_corpus(small, 3, 0, processes=1, advance=done.append)
    assert state(small) == before
    assert sum(done) == 3


def test_a_damaged_file_is_written_again_and_nothing_else(small: Path) -> None:
    before = state(small)
    broken, lost = (track.file for track in plan(3, 0)[:2])
    (small / broken).write_bytes(b"x")
    (small / lost).unlink()
    assert not complete(small, 3, 0)
    write_corpus(small, 3, 0, processes=1)
    assert complete(small, 3, 0)
    after = state(small)
    assert {name: data for name, (data, _) in after.items()} == {
        name: data for name, (data, _) in before.items()
    }
    untouched = plan(3, 0)[2].file
    assert after[untouched] == before[untouched]


def test_an_interrupted_run_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def played(track: object) -> bytes:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(track.file)  # pyright: ignore[reportAttributeAccessIssue]
        return b"sound"

    monkeypatch.setattr(corpus, "played", played)
    monkeypatch.setattr(corpus, "planted", lambda name, spare: b"")
    with pytest.raises(KeyboardInterrupt):
        write_corpus(tmp_path / "out", 4, 0, processes=1)
    assert not (tmp_path / "out/manifest.json").exists()
    monkeypatch.setattr(corpus, "played", lambda track: made.append(track.file) or b"sound")
    write_corpus(tmp_path / "out", 4, 0, processes=1)
    assert sorted(made) == sorted(track.file for track in plan(4, 0))
    assert complete(tmp_path / "out", 4, 0)
    assert not list((tmp_path / "out").rglob("*.partial"))


@pytest.mark.parametrize(("tracks", "seed"), [(3, 1), (4, 0)])
def test_another_corpus_in_the_folder_is_refused_and_kept(small: Path, tracks: int, seed: int) -> None:
    before = state(small)
    with pytest.raises(FolderInUse, match=r"another composed corpus \(tracks 3, seed 0"):
        write_corpus(small, tracks, seed, processes=1)
    assert state(small) == before


def test_a_folder_of_somebodys_music_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"mine")
    with pytest.raises(FolderInUse, match="not empty"):
        write_corpus(tmp_path, 3, 0, processes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["song.mp3"]


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
def test_encoding_keeps_length_channels_and_sound(extension: str) -> None:
    time = np.arange(44100) / 22050
    sound = np.stack([0.4 * np.sin(2 * np.pi * hertz * time) for hertz in (440, 660)]).astype(np.float32)
    heard, rate = soundfile.read(io.BytesIO(encode(sound, 22050, extension)))
    assert rate == 22050
    assert heard.shape[1] == 2
    assert len(heard) == pytest.approx(44100, abs=2500)
    for channel, hertz in enumerate((440, 660)):
        power = np.abs(np.fft.rfft(heard[:, channel]))
        assert np.argmax(power) * 22050 / len(heard) == pytest.approx(hertz, abs=2)
