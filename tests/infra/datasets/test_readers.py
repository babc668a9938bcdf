"""Official layouts of public datasets, in miniature: each becomes labels of tracks, or one clear line."""

import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.config import LabelConfig
from infra.datasets.label_files import read_labels
from infra.datasets.labels import LabelFile, Names, attach
from infra.datasets.readers import reader
from infra.datasets.splits import read_split_lists
from infra.errors import ConfigError
from infra.storage.store import Store, read_uri
from tests.places import SHARED

METADATA = SHARED / "metadata"
TAGS = ["guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock"]
NOTHING = LabelConfig()  # pyright: ignore[reportCallIssue]


def labelled(uri: str, track_ids: list[str], config: LabelConfig = NOTHING) -> dict[str, list]:
    file = LabelFile(uri, read_labels(uri))
    columns = file.columns(config, Names(track_ids))
    return attach(pa.table({"track_id": track_ids}), file, columns, config.top)[0].to_pydict()


def magnatagatune(store: Store, artists: bool = True) -> str:
    """Tabs in a .csv, quoted, a column for each tag, the path last; 188 tags in the original, eight here."""
    rows = [
        (2, "f/a-01-30-59.mp3", 0),
        (6, "f/a-01-146-175.mp3", 0),
        (10, "0/b-02-0-29.mp3", 3),
        (11, "c/b-3.mp3", 3),
    ]
    lines = ["\t".join(f'"{name}"' for name in ["clip_id", *TAGS, "mp3_path"])]
    for clip, path, first in rows:
        flags = ["1" if first <= i < first + 3 and clip != 11 else "0" for i in range(len(TAGS))]
        lines.append("\t".join(f'"{value}"' for value in [clip, *flags, path]))
    store.write("annotations_final.csv", "\n".join(lines).encode())
    if artists:
        header = '"clip_id"\t"track_number"\t"title"\t"artist"\t"album"\t"mp3_path"'
        clips = [f'"{clip}"\t"1"\t"x, y"\t"Artist {path[2]}"\t"z"\t"{path}"' for clip, path, _ in rows[:3]]
        store.write("clip_info_final.csv", "\n".join([header, *clips]).encode())
    return store.uri("annotations_final.csv")


@pytest.mark.s3
def test_magnatagatune(any_root: str):
    """A clip without a tag is annotated: none applies. A clip that is not there has nothing, and nobody's tags move."""
    uri = magnatagatune(Store(any_root))
    ids = [
        "mp3/0/b-02-0-29.mp3",
        "mp3/0/missing.mp3",
        "mp3/c/b-3.mp3",
        "mp3/f/a-01-146-175.mp3",
        "mp3/f/a-01-30-59.mp3",
    ]
    found = labelled(uri, ids, NOTHING.model_copy(update={"multi": ("tags",)}))
    assert found["tags_tags"] == [TAGS[3:6], None, [], TAGS[:3], TAGS[:3]]
    assert found["group"] == ["Artist b", None, None, "Artist a", "Artist a"]


def test_magnatagatune_without_its_artists_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    uri = magnatagatune(Store(str(tmp_path)), artists=False)
    assert set(labelled(uri, ["f/a-01-30-59.mp3"])["group"]) == {None}
    assert "clip_info_final.csv: no such file, so songs of one artist may fall on both sides" in caplog.text


def test_the_most_frequent_tags_are_kept(tmp_path: Path):
    tags = [[f"t{i}" for i in range(120) if i <= 119 - row] or [] for row in range(20)]
    pq.write_table(
        pa.table({"path": [f"{row}.mp3" for row in range(20)], "tags": tags}), tmp_path / "l.parquet"
    )
    ids = [f"{row}.mp3" for row in range(20)]
    found = labelled(f"{tmp_path}/l.parquet", ids)["tags_tags"]
    assert set().union(*found) == {
        f"t{i}" for i in range(120) if f"t{i}" in sorted(f"t{j}" for j in range(101))[:50]
    }
    config = NOTHING.model_copy(update={"top": 3, "multi": ("tags",)})
    assert set().union(*labelled(f"{tmp_path}/l.parquet", ids, config)["tags_tags"]) == {"t0", "t1", "t10"}


FMA = (
    ",album,album,artist,set,set,track,track\n"
    ",comments,title,id,split,subset,genre_top,title\n"
    "track_id,,,,,,,\n"
    '2,0,"AWOL, a way",1,training,small,Hip-Hop,Food\n'
    "3,0,AWOL,1,validation,medium,,Electric Ave\n"
    "134,0,AWOL,1,test,small,Hip-Hop,Street Music\n"
    "10,0,Const,6,training,small,Pop,Freeway\n"
    "20,0,Const,6,test,small,Pop,Spiritual\n"
)


def test_fma(tmp_path: Path):
    (tmp_path / "tracks.csv").write_text(FMA)
    ids = ["000/000002.mp3", "000/000003.mp3", "000/000010.mp3", "000/000020.mp3", "000/000134.mp3"]
    found = labelled(f"{tmp_path}/tracks.csv", ids)
    assert found["label_genre"] == ["Hip-Hop", None, "Pop", "Pop", "Hip-Hop"]
    assert found["group"] == ["1", "1", "6", "6", "1"]
    parts, note = read_split_lists(f"{tmp_path}/tracks.csv#split").of(ids)
    assert (parts["train"], parts["valid"]) == ({ids[0], ids[2]}, {ids[1]})
    assert (parts["test"], note) == ({ids[3], ids[4]}, None)


def test_fmas_table_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It has 260 MB, and may lie in S3."""
    (tmp_path / "tracks.csv").write_text(FMA)
    asked: list[str] = []
    monkeypatch.setattr(reader, "read_uri", lambda uri: asked.append(uri) or read_uri(uri))
    read_labels(f"{tmp_path}/tracks.csv")
    assert asked == [f"{tmp_path}/tracks.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",album\n,comments\n", "not FMA's tracks.csv (too short)"),
        (",album\n,comments\nid,\n", "the third line does not begin with track_id"),
        (",set,set,track\n,split,subset,genre_top\ntrack_id,,,\n", "no column 'artist id'"),
        (FMA + "x,1\n", "invalid literal for int"),
        (FMA + "7,1\n", "list index out of range"),
    ],
)
def test_a_wrong_tracks_csv_is_said_in_one_line(tmp_path: Path, text: str, message: str):
    (tmp_path / "tracks.csv").write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_labels(f"{tmp_path}/tracks.csv")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.s3
def test_lastfms_tags(any_root: str, tmp_path: Path):
    """ROWIDs link the tables; the heaviest tag comes first."""
    with sqlite3.connect(tmp_path / "x.db") as base:
        base.execute("CREATE TABLE tags (tag TEXT)")
        base.execute("CREATE TABLE tids (tid TEXT)")
        base.execute("CREATE TABLE tid_tag (tid INT, tag INT, val FLOAT)")
        base.executemany("INSERT INTO tags VALUES (?)", [("rock",), ("Oldies",), ("60s",)])
        base.executemany(
            "INSERT INTO tids VALUES (?)", [("TRCCCYE12903CFF0E9",), ("TRCCCFH12903CEBC70",), ("TRA",)]
        )
        base.executemany(
            "INSERT INTO tid_tag VALUES (?, ?, ?)", [(2, 1, 30.0), (1, 2, 8.0), (1, 3, 100.0), (2, 2, 8.0)]
        )
    base.close()
    store = Store(any_root)
    store.write("lastfm_tags.db", (tmp_path / "x.db").read_bytes())
    config = NOTHING.model_copy(update={"multi": ("tags",)})
    ids = ["A/TRCCCFH12903CEBC70.mp3", "C/TRCCCYE12903CFF0E9.mp3", "x/TRB.mp3"]
    assert labelled(store.uri("lastfm_tags.db"), ids, config)["tags_tags"] == [
        ["rock", "Oldies"],
        ["60s", "Oldies"],
        None,
    ]


def test_what_is_no_database_of_tags(tmp_path: Path):
    (tmp_path / "a.db").write_text("no database at all, but long enough to look like one" * 30)
    sqlite3.connect(tmp_path / "b.db").close()
    for name, message in (
        ("a.db", "not Last.fm's tags"),
        ("b.db", "no such table: tids"),
        ("c.db", "no such file"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_labels(f"{tmp_path}/{name}")


def test_numbers_are_labels_of_their_own_kind(tmp_path: Path):
    """DEAM's names have a blank before them."""
    lines = [
        "song_id, valence_mean, valence_std, arousal_mean",
        *(f"{i}, {i / 7}, 1, {9 - i}" for i in range(2, 9)),
    ]
    (tmp_path / "static.csv").write_text("\n".join(lines))
    found = labelled(f"{tmp_path}/static.csv", [f"MEMD_audio/{i}.mp3" for i in range(2, 10)])
    assert found["value_arousal_mean"] == [7, 6, 5, 4, 3, 2, 1, None]
    assert found["value_valence_mean"][:2] == [2 / 7, 3 / 7]
    assert "value_valence_std" not in found
    config = NOTHING.model_copy(update={"value": ("song_id",)})
    file = LabelFile("x", pa.table({"file": ["a.mp3", "b.mp3"], "song_id": ["1", "one"]}))
    columns = file.columns(config, Names(["a.mp3", "b.mp3"]))
    with pytest.raises(ConfigError, match=r"labels\.value: column 'song_id' must hold numbers .*'one'"):
        attach(pa.table({"track_id": ["a.mp3", "b.mp3"]}), file, columns)


@pytest.mark.skipif(not METADATA.is_dir(), reason="needs ../shared/metadata")
@pytest.mark.parametrize(("name", "songs"), [("deam", 1802), ("emomusic", 744), ("pmemo", 767)])
def test_published_emotions(name: str, songs: int):
    ids = [f"audio/{i}.mp3" for i in range(1, 3000)]
    found = labelled(f"{METADATA}/emotion/{name}_static_annotations.csv", ids)
    for column in ("value_valence_mean", "value_arousal_mean"):
        known = [value for value in found[column] if value is not None]
        assert len(known) == songs
        assert 0 < min(known) < max(known) < 10


@pytest.mark.skipif(not METADATA.is_dir(), reason="needs ../shared/metadata")
def test_magnatagatunes_published_splits_by_name():
    uri = f"{METADATA}/mtat/mtat_top50_labels.parquet"
    ids = pq.read_table(uri, columns=["mp3_path"])["mp3_path"].to_pylist()
    for column, sizes in (
        ("split_pons_full", (18_706, 1_825, 5_329)),
        ("split_lee_pub", (15_244, 1_529, 4_332)),
    ):
        parts, _ = read_split_lists(f"{uri}#{column}").of(ids)
        assert (len(parts["train"]), len(parts["valid"]), len(parts["test"])) == sizes
    by_column, by_folder = (
        read_split_lists(f"{uri}#{name}").of(ids)[0] for name in ("split_pons_full", "folder")
    )
    assert by_column == by_folder
    found = labelled(uri, ids)["tags_tags"]
    tags = {tag for labels in found for tag in labels}
    assert tags == set((METADATA / "mtat/top50_tags.txt").read_text().split("\n")) - {""} or len(tags) == 50


def test_splits_that_a_table_cannot_give(tmp_path: Path):
    (tmp_path / "l.csv").write_text("path,part\na.mp3,train\nb.mp3,valid\n")
    (tmp_path / "k.csv").write_text("title,part\na.mp3,train\n")
    for split, message in (
        ("l.csv#parts", "needs a column 'parts'"),
        ("k.csv#part", "needs one of the columns uri, path"),
        ("l.csv#part", "no row says test"),
        ("l.csv#folder", "no row says train"),
        ("gone.csv#part", "no such file"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_split_lists(f"{tmp_path}/{split}")
