"""The lines of the README by which other programs read what extraction wrote."""

from pathlib import Path

import datasets
import duckdb
import pandas as pd
import pytest
import ray.data

from infra.errors import ConfigError
from jobs.extract import job as extract
from jobs.index import job as index
from jobs.upkeep.files import files, main
from tests.jobs.extract.standin import COMMAND, config_of, write_corpus

pytestmark = [pytest.mark.ray]

TRACKS = {f"{number:02}.mp3": f"ok {number % 3 + 1}" for number in range(10)} | {"03.mp3": "bad SILENT"}
SONGS = [name for name in sorted(TRACKS) if name != "03.mp3"]
FRAMES = sum(int(TRACKS[name].split()[1]) for name in SONGS)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> str:
    folder = tmp_path_factory.mktemp("readable")
    config = config_of(str(folder / "root"), write_corpus(str(folder / "music"), TRACKS))
    index.run(config)
    extract.run(config, COMMAND)
    return config.root


def test_pandas(root: str):
    table = pd.read_parquet(files(root))
    assert sorted(table["track_id"]) == SONGS
    assert sum(len(song) for song in table["frames"]) == FRAMES
    assert pd.read_parquet(files(root, "quarantine"))["reason"].tolist() == ["SILENT"]
    assert len(pd.read_parquet(files(root, "tracks"))) == 10


def test_duckdb(root: str):
    rows = duckdb.sql(
        f"SELECT track_id, len(frames), frames[1][1] FROM read_parquet({files(root)})"
    ).fetchall()
    assert sorted(rows) == [(name, (n := int(TRACKS[name].split()[1])), float(n)) for name in SONGS]
    features, (songs,) = files(root), files(root, "songs")
    living = f"SELECT f.* FROM read_parquet({features}) f SEMI JOIN '{songs}' USING (track_id, version)"
    assert len(duckdb.sql(living).fetchall()) == len(SONGS)


def test_hugging_face_datasets(root: str, tmp_path: Path):
    songs = datasets.load_dataset("parquet", data_files=files(root), split="train", cache_dir=str(tmp_path))
    assert sorted(songs["track_id"]) == SONGS
    assert songs.with_format("numpy")[0]["frames"].shape[1] == 59


def test_ray_data(root: str):
    songs = ray.data.read_parquet(files(root))
    assert songs.count() == len(SONGS)
    assert sorted(row["track_id"] for row in songs.select_columns(["track_id"]).take_all()) == SONGS


def test_the_command_prints_them(root: str, capsys: pytest.CaptureFixture[str]):
    main(root=root)
    printed = capsys.readouterr().out.split()
    assert printed == files(root)
    assert all(Path(path).is_file() for path in printed)


def test_what_is_not_there(root: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no features of corpus 'default', run jobs\.extract first"):
        files(root, "features", "default", "extract.preset=pcm-22050")
    with pytest.raises(ConfigError, match="no track list yet"):
        files(str(tmp_path), "tracks")
