"""From a folder, a prefix or a list to the track list."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pytest

from infra.config import load
from infra.errors import ConfigError, StorageError
from infra.storage.parquet import decode
from infra.storage.store import Store
from jobs.index import job as index
from tests.jobs.extract.standin import write_corpus
from tests.places import SHARED

pytestmark = pytest.mark.s3

MUSIC = SHARED / "music"


def tracks_of(root: str) -> pa.Table:
    return decode(Store(root).read("corpus/default/tracks.parquet"))


def test_a_folder_with_labels(tone_corpus: Path, any_root: str):
    config = load(root=any_root, music=str(tone_corpus), labels_file=str(tone_corpus / "labels.csv"))
    result = index.run(config)
    assert (result.n_tracks, result.n_labelled, result.changed) == (24, 20, True)
    table = tracks_of(any_root)
    assert table.column_names == [
        *("track_id", "uri", "bytes", "version", "same_as", "label_style", "tags_tags", "group")
    ]
    rows = {row["track_id"]: row for row in table.to_pylist()}
    assert list(rows) == sorted(rows)
    first = rows["low/00.wav"]
    assert (first["label_style"], first["tags_tags"], first["group"]) == ("low", ["low", "tone"], "artist 0")
    assert (first["uri"], first["bytes"]) == (str(tone_corpus / "low/00.wav"), os.path.getsize(first["uri"]))
    assert (rows["silent.wav"]["label_style"], rows["silent.wav"]["group"]) == (None, None)
    about = json.loads(table.schema.metadata[b"hdpgmm"])
    assert about == {
        "music": str(tone_corpus),
        "labels": str(tone_corpus / "labels.csv"),
        "single": ["style"],
        "multi": ["tags"],
        "group": "artist",
    }


def test_folders_are_labels_where_asked(tone_corpus: Path, tmp_path: Path):
    result = index.run(load(None, ("labels.folder=genre",), root=str(tmp_path), music=str(tone_corpus)))
    rows = {row["track_id"]: row for row in tracks_of(str(tmp_path)).to_pylist()}
    assert (rows["low/00.wav"]["label_genre"], rows["silent.wav"]["label_genre"]) == ("low", None)
    assert result.n_labelled == sum("/" in track for track in rows)
    about = json.loads(tracks_of(str(tmp_path)).schema.metadata[b"hdpgmm"])
    assert about["single"] == ["genre"]


def test_folders_beside_a_label_file_and_where_there_are_none(tone_corpus: Path, tmp_path: Path):
    both = {"music": str(tone_corpus), "labels_file": str(tone_corpus / "labels.csv")}
    index.run(load(None, ("labels.folder=genre",), root=str(tmp_path), **both))
    assert {"label_style", "label_genre", "group"} < set(tracks_of(str(tmp_path)).column_names)
    with pytest.raises(ConfigError, match=r"labels\.folder: 'style' is a column of the label file too"):
        index.run(load(None, ("labels.folder=style",), root=str(tmp_path), **both))
    with pytest.raises(ConfigError, match=r"labels\.folder: no track lies in a folder"):
        index.run(load(None, ("labels.folder=genre",), root=str(tmp_path), music=str(tone_corpus / "low")))


def test_again_writes_nothing(tone_corpus: Path, tmp_path: Path):
    config = load(root=str(tmp_path), music=str(tone_corpus))
    assert index.run(config).changed
    written = (tmp_path / "corpus/default/tracks.parquet").stat().st_mtime_ns
    assert not index.run(config).changed
    assert (tmp_path / "corpus/default/tracks.parquet").stat().st_mtime_ns == written


def test_a_corpus_has_its_name(tone_corpus: Path, tmp_path: Path):
    index.run(load(root=str(tmp_path), music=str(tone_corpus), corpus="other"))
    assert Store(str(tmp_path)).names("corpus") == ["other"]


def test_a_list_of_files_on_s3(s3_root: str, tmp_path: Path):
    store = Store(write_corpus(s3_root, {"m/a.mp3": "123", "m/b.mp3": "4567"}))
    store.write("list.csv", b"path,genre\nm/b.mp3,x\nm/a.mp3,y\n")
    index.run(load(root=str(tmp_path), music=store.uri("list.csv")))
    table = tracks_of(str(tmp_path))
    assert table["uri"].to_pylist() == [store.uri("m/a.mp3"), store.uri("m/b.mp3")]
    assert table["bytes"].to_pylist() == [3, 4]


def test_a_prefix_and_a_label_file_on_s3(s3_root: str, tmp_path: Path):
    music = write_corpus(f"{s3_root}/music", {f"{number}.mp3": "x" for number in range(4)})
    Store(music).write("labels.csv", b"\xef\xbb\xbffile,genre\n0,a\n1,b\n2.mp3,a\n3,b\n")
    config = load(root=str(tmp_path), music=music, labels_file=f"{music}/labels.csv")
    assert index.run(config).n_labelled == 4
    assert tracks_of(str(tmp_path))["label_genre"].to_pylist() == ["a", "b", "a", "b"]


def test_names_that_are_not_utf8_are_left_out_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "music").mkdir()
    (tmp_path / "music/a.mp3").touch()
    Path(os.fsdecode(os.fsencode(tmp_path / "music") + b"/\xff.mp3")).touch()
    with caplog.at_level("WARNING"):
        assert index.run(load(root=str(tmp_path / "root"), music=str(tmp_path / "music"))).n_tracks == 1
    assert "1 files left out, their names are not UTF-8: '\\udcff.mp3'" in caplog.text


def test_the_log_names_the_key_and_what_is_left_out_or_there_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    music = tmp_path / "music"
    for name, data in {"1.mp3": b"a", "2.mp3": b"b", "3.mp3": b"a", "x.wv": b"a", "y.mid": b"a"}.items():
        Store(str(music)).write(name, data)
    (tmp_path / "l.csv").write_text('"","song_id","genre"\n"1",3,"x"\n"2",2,"x"\n"3",7,"y"\n')
    config = load(root=str(tmp_path / "root"), music=str(music), labels_file=str(tmp_path / "l.csv"))
    with caplog.at_level("INFO"):
        index.run(config)
    assert "index: left out: 1 .mid, 1 .wv" in caplog.text
    assert tracks_of(str(tmp_path / "root"))["same_as"].to_pylist() == ["1.mp3", None, "1.mp3"]
    assert (
        "index: 1 files have the same bytes as another one, the first is '3.mp3', the same as '1.mp3'"
        in caplog.text
    )
    assert (
        "labels: l.csv: key song_id; single -; multi -; group -; the key names 2 of 3 tracks by 2 of 3 rows"
        in (caplog.text)
    )
    caplog.clear()
    with caplog.at_level("INFO"):
        index.run(config.model_copy(update={"index": config.index.model_copy(update={"compare_bytes": 0})}))
    assert "same bytes" not in caplog.text
    assert tracks_of(str(tmp_path / "root"))["same_as"].to_pylist() == [None] * 3


def test_labels_of_other_folders_stay_there(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """A/ is not in the corpus, B/ is; one row fits two tracks, two rows want one."""
    for name in ("B/01.mp3", "B/02.mp3", "C/03.mp3", "D/03.mp3", "04.mp3"):
        Store(str(tmp_path / "music")).write(name, name.encode())
    names = ["A/01.mp3", "B/01.mp3", "A/02.mp3", "03.mp3", "x/04.mp3", "y/04.mp3"]
    (tmp_path / "l.csv").write_text(
        "path,genre\n" + "".join(f"{n},{'uv'[i % 2]}\n" for i, n in enumerate(names))
    )
    config = load(
        root=str(tmp_path / "root"), music=str(tmp_path / "music"), labels_file=str(tmp_path / "l.csv")
    )
    assert index.run(config).n_labelled == 1
    rows = {row["track_id"]: row["label_genre"] for row in tracks_of(config.root).to_pylist()}
    assert rows == {"04.mp3": None, "B/01.mp3": "v", "B/02.mp3": None, "C/03.mp3": None, "D/03.mp3": None}
    for words in (
        "2 of 6 rows name no track of the corpus, the first is 'A/01.mp3'",
        "1 of 6 rows fit more than one track and are left out, the first is '03.mp3', which may be 'C/03.mp3' or 'D/03",
        "2 of 6 rows want a track that another one fits as well or better and are left out, the first is 'x/04.mp3'",
    ):
        assert words in caplog.text


def test_absolute_paths_of_this_very_folder(tmp_path: Path):
    """The end of an absolute path may also be another track's whole name."""
    music = tmp_path / "music"
    for name in ("01.mp3", "a/01.mp3", "a/a/01.mp3"):
        Store(str(music)).write(name, name.encode())
    rows = [
        f"{music}/{name},{label}\n"
        for name, label in (("01.mp3", "x"), ("a/01.mp3", "y"), ("a/a/01.mp3", "z"))
    ]
    (tmp_path / "l.csv").write_text("path,genre\n" + "".join(rows))
    config = load(
        *(None, ("labels.single=[genre]",)),
        root=str(tmp_path / "root"),
        music=str(music),
        labels_file=str(tmp_path / "l.csv"),
    )
    index.run(config)
    assert tracks_of(config.root)["label_genre"].to_pylist() == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"music": "{tmp}/nowhere"}, ConfigError, "nowhere: no such folder"),
        ({"music": "{tmp}"}, ConfigError, "no audio files there"),
        ({}, ConfigError, "music: not set"),
        ({"music": "s3://no-such-bucket-here/x"}, StorageError, "no such bucket"),
        ({"music": "{tones}", "root": "s3://no-such-bucket-here/x"}, StorageError, "no such bucket"),
        ({"music": "{tones}", "root": "/proc/x"}, StorageError, "root /proc/x: cannot write there"),
        ({"music": "{tones}", "labels_file": "{tmp}/none.csv"}, ConfigError, "none.csv: no such file"),
        ({"music": "{tones}", "labels_file": "{tones}"}, ConfigError, "expected a .csv, .tsv, .parquet file"),
    ],
)
def test_what_cannot_be_indexed(
    s3_server: str, tmp_path: Path, tone_corpus: Path, fields: dict, error: type, message: str
):
    places = {"tmp": str(tmp_path), "tones": str(tone_corpus)}
    filled = {name: value.format(**places) for name, value in {"root": "{tmp}/out", **fields}.items()}
    with pytest.raises(error, match=message):
        index.run(load(**filled))


@pytest.mark.skipif(not MUSIC.exists(), reason="the shared music is not on this machine")
def test_the_shared_music(tmp_path: Path):
    """../shared/music as it lies there: 215 labelled clips and 15 files without labels."""
    config = load(root=str(tmp_path), music=str(MUSIC), labels_file=str(MUSIC / "labels.csv"))
    result = index.run(config)
    assert (result.n_tracks, result.n_labelled) == (230, 215)
    about = json.loads(tracks_of(str(tmp_path)).schema.metadata[b"hdpgmm"])
    assert (about["single"], about["multi"], about["group"]) == (["genre"], ["tags"], "artist")
