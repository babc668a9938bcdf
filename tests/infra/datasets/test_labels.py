"""Which column is what, from names and values."""

import pyarrow as pa
import pytest

from infra.config import LabelConfig
from infra.datasets.labels import LabelFile, Names, attach, split
from infra.errors import ConfigError

IDS = [f"clips/{style}/{number:02}.mp3" for number in range(6) for style in ("a", "b")]
NAMES = Names(IDS)
NOTHING = LabelConfig()  # pyright: ignore[reportCallIssue]


def file_of(**columns: list) -> LabelFile:
    return LabelFile("labels.csv", pa.table(columns))


def shared_music() -> LabelFile:
    """The columns of ../shared/music/labels.csv, with values of their kinds."""
    rows = range(12)
    return file_of(
        clip=IDS,
        track_id=[f"t{row // 2:03}" for row in rows],
        genre=[("rock", "jazz", "folk")[row % 3] for row in rows],
        genre_source=[("upstream", "assigned")[row % 2] for row in rows],
        tags=["vocal|song" if row % 2 else "vocal" for row in rows],
        artist=[f"artist {row // 3}" for row in rows],
        format=[("mp3", "wav")[row % 2] for row in rows],
        sample_rate=["44100"] * 12,
        licence=["CC0" if row % 2 else "CC-BY" for row in rows],
        sha256=[f"{row:016x}" for row in rows],
        fold=[str(row % 2) for row in rows],
    )


def composed() -> LabelFile:
    """The columns of a corpus by jobs.compose; `key` is musical there."""
    rows = range(12)
    return file_of(
        file=IDS,
        style=[("techno", "waltz")[row % 2] for row in rows],
        instruments=[("piano|bass", "choir|drums")[row % 2] for row in rows],
        mode=[("major", "minor")[row % 2] for row in rows],
        tempo=[("slow", "medium", "fast")[row % 3] for row in rows],
        group=[f"composer_{row // 2:02}" for row in rows],
        bpm=[str(100 + row) for row in rows],
        key=[("Bb", "F#")[row % 2] for row in rows],
    )


def test_real_label_files():
    found = shared_music().columns(NOTHING, NAMES)
    assert (found.key, found.single, found.multi, found.group) == ("clip", ("genre",), ("tags",), "artist")
    found = composed().columns(NOTHING, NAMES)
    assert (found.key, found.single, found.group) == ("file", ("style", "mode", "tempo"), "group")
    assert found.multi == ("instruments",)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["rock"] * 12, id="constant"),
        pytest.param([f"word {row}" for row in range(12)], id="all different"),
        pytest.param([str(row % 2) for row in range(12)], id="numbers"),
        pytest.param([None] * 12, id="empty"),
    ],
)
def test_a_good_name_with_useless_values_is_no_label(values: list):
    file = file_of(file=IDS, genre=pa.array(values, pa.string()))
    assert file.columns(NOTHING, NAMES).single == ()


def test_a_group_must_group():
    assert file_of(file=IDS, artist=IDS, album=["x", "y"] * 6).columns(NOTHING, NAMES).group == "album"
    assert file_of(file=IDS, artist=["only"] * 12).columns(NOTHING, NAMES).group is None


def test_configuration_comes_first():
    config = LabelConfig(file=None, key="clip", single=("format",), multi=(), group="track_id")
    found = shared_music().columns(config, NAMES)
    assert (found.single, found.multi, found.group) == (("format",), (), "track_id")
    with pytest.raises(ConfigError, match=r"labels.csv: no column 'gnere'; it has clip, track_id, genre"):
        shared_music().columns(config.model_copy(update={"single": ("gnere",)}), NAMES)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("clips/a/00.mp3", 0),
        ("./clips/a/00.mp3", 0),
        ("clips\\a\\00.mp3", 0),
        ("x/unique.flac", 3),
        ("unique", 3),
        ("/elsewhere/x/unique.flac", 3),
        ("/elsewhere/unique.flac", None),
        ("same.mp3", None),
        ("same", None),
        ("nothing", None),
        ("", None),
        (None, None),
    ],
)
def test_how_a_value_names_a_track(value: str | None, found: int | None):
    assert Names(["clips/a/00.mp3", "a/same.mp3", "b/same.mp3", "x/unique.flac"]).find(value) == found


def test_unknown_rows_are_counted_and_the_first_is_named(caplog: pytest.LogCaptureFixture):
    file = file_of(clip=["x.mp3", *IDS[:9], "y.mp3", None])
    assert file.rows("clip", NAMES) == {row: row + 1 for row in range(9)}
    assert "labels.csv: 3 of 12 rows name no track of the corpus, the first is 'x.mp3'" in caplog.text
    with pytest.raises(ConfigError, match=r"2 of 2 rows name no track .* \(column clip\); set labels\.key"):
        file_of(clip=["x.mp3", "y.mp3"]).rows("clip", NAMES)


def test_a_file_about_something_else():
    with pytest.raises(ConfigError, match="12 of 12 rows name no track of the corpus in any column"):
        shared_music().columns(NOTHING, Names(["other.mp3"]))


def test_a_track_named_twice():
    file = file_of(clip=["gone.mp3", IDS[0], IDS[1], IDS[0]])
    with pytest.raises(ConfigError, match=r"more than one row names the track 'clips/a/00\.mp3'"):
        file.rows("clip", NAMES)


def test_labels_are_laid_beside_their_tracks():
    file = file_of(clip=[IDS[3], IDS[0]], genre=[" rock ", ""], tags=["b| a|b|", None], artist=["x", "y"])
    config = LabelConfig(file=None, key=None, single=("genre",), multi=("tags",), group="artist")
    table, rows = attach(pa.table({"track_id": IDS[:5]}), file, file.columns(config, NAMES))
    assert rows == 2
    assert table["label_genre"].to_pylist() == [None, None, None, "rock", None]
    assert table["tags_tags"].to_pylist() == [None, None, None, ["b", "a"], None]
    assert table["group"].to_pylist() == ["y", None, None, "x", None]


def test_parquet_lists_are_multi_labels():
    file = file_of(file=IDS, tags=[["a", "b"], ["a"], ["b"]] * 4)
    assert file.columns(NOTHING, NAMES).multi == ("tags",)
    assert split(["a ", "a", ""]) == ["a"]
