"""Similar songs of a track and of a file: by name, through the whole path, or one clear line."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from infra.config import Config, load
from infra.errors import ConfigError
from jobs import index, similar
from jobs.extract import run as extract
from jobs.represent import run as represent
from jobs.train import run as train
from tests.jobs.scored_roots import make_songs, write_root

SETTINGS = (
    *(
        "train.n_components=6",
        "train.n_atoms=4",
        "train.epochs=2",
        "train.moves=false",
        "train.data_workers=1",
    ),
    *("represent.workers=1", "extract.workers=1"),
)


def tone(path: Path, hertz: float, seed: int) -> None:
    rng, time = np.random.default_rng(seed), np.arange(2 * 22_050) / 22_050
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * time) + 0.02 * rng.normal(size=len(time)), 22_050)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Config:
    """Eight low tones and eight noisy high ones, from audio to vectors."""
    folder = tmp_path_factory.mktemp("similar")
    (folder / "music").mkdir()
    for i in range(8):
        tone(folder / f"music/low{i}.wav", 110.0 + i, i)
        tone(folder / f"music/high{i}.wav", 1760.0 + 9 * i, 20 + i)
    tone(folder / "asked.wav", 113.5, 99)
    (folder / "bad.wav").write_bytes(b"no audio")
    config = load(None, SETTINGS, root=str(folder / "root"), music=str(folder / "music"))
    index.run(config)
    extract(config)
    train(config)
    represent(config)
    return config


@pytest.mark.ray
@pytest.mark.slow
def test_a_file_finds_songs_of_its_kind(config: Config, capsys: pytest.CaptureFixture[str]):
    asked = str(Path(config.root).parent / "asked.wav")
    found = similar.run(config, None, None, asked, 4)
    assert {one.track_id[:3] for one in found} == {"low"}
    similar.main(audio=asked, k=2, as_json=True, root=config.root, set_=list(SETTINGS))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["track_id"] for line in lines] == [one.track_id for one in found[:2]]


@pytest.mark.ray
def test_a_track_finds_its_like_as_its_own_file_does(config: Config, capsys: pytest.CaptureFixture[str]):
    by_track = similar.run(config, None, "high3", None, 15)
    by_file = similar.run(config, None, None, f"{config.music}/high3.wav", 16)
    assert "high3.wav" not in {one.track_id for one in by_track}
    assert {one.track_id[:4] for one in by_track[:3]} == {"high"}
    cosines = {one.track_id: one.cosine for one in by_file}
    assert cosines["high3.wav"] == pytest.approx(1.0, abs=1e-4)
    for one in by_track:
        assert cosines[one.track_id] == pytest.approx(one.cosine, abs=1e-3)
    similar.main(track="low0.wav", k=3, root=config.root, set_=list(SETTINGS))
    assert "low" in capsys.readouterr().out


@pytest.mark.ray
def test_what_cannot_be_compared_is_one_line(config: Config):
    folder = Path(config.root).parent
    for track, audio, message in (
        (None, None, "give --track ID or --audio FILE"),
        ("a", "b", "give --track ID or --audio FILE"),
        (
            "nobody",
            None,
            "--track 'nobody': no track of corpus 'default' has that name; the first is 'high0.wav'",
        ),
        (None, f"{folder}/gone.wav", "gone.wav: no such file"),
        (None, f"{folder}/bad.wav", "bad.wav: NOT_AUDIO: "),
    ):
        with pytest.raises(ConfigError, match=message):
            similar.run(config, None, track, audio, 3)


def test_a_track_that_was_set_aside_says_so(tmp_path: Path):
    songs = make_songs(8)
    write_root(tmp_path, songs, without_vector=[songs[2].track_id])
    with pytest.raises(ConfigError, match="has no vector"):
        similar.run(load(None, (), root=str(tmp_path)), None, songs[2].track_id, None, 3)
