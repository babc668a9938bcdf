"""Lists of labels in one field, as programs and people write them, and what only looks like one."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.config import LabelConfig
from infra.datasets.labels import LabelFile, attach
from infra.datasets.names import Names
from infra.datasets.separators import BRACKETS, is_plural, separator_of, split
from infra.datasets.tables import read_table

SETS = [["pop", "rock"], ["rock"], ["rock", "indie rock"], ["pop"], ["indie rock", "pop"], ["pop", "rock"]]
NOTHING = LabelConfig()  # pyright: ignore[reportCallIssue]
LABEL = st.text(st.characters(codec="utf-8", exclude_characters="\\\r\n\0"), min_size=1).map(str.strip)


@settings(max_examples=200, deadline=None)
@given(st.lists(LABEL.filter(bool), min_size=1, unique=True))
def test_lists_of_programs_come_back_whole(labels: list[str]):
    unescaped = [label for label in labels if label.isprintable()]
    for text, expected in (
        (json.dumps(labels), labels),
        (json.dumps(labels, ensure_ascii=False), labels),
        (repr(unescaped), unescaped),
    ):
        assert split(text, BRACKETS) == [label for label in expected if label]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (str(np.array(["hip hop", "rock 'n' roll"])), ["hip hop", "rock 'n' roll"]),
        ("[rock, hip hop]", ["rock", "hip hop"]),
        ("[21, 456]", ["21", "456"]),
        ("[]", []),
        ("['a', \"b's\", 'c, d',]", ["a", "b's", "c, d"]),
        ("['it\\'s']", ["it's"]),
    ],
)
def test_other_lists(text: str, labels: list[str]):
    assert split(text, BRACKETS) == labels


@pytest.mark.parametrize(
    ("column", "values", "separator"),
    [
        ("genres", [",".join(labels) for labels in SETS], ","),
        ("genre", ["; ".join(labels) for labels in SETS], ";"),
        ("whatever", ["|".join(labels) for labels in SETS], "|"),
        ("whatever", [str(labels) for labels in SETS], BRACKETS),
        ("genres", ["Folk, World, & Country", "Rock", "Rock", "Folk, World, & Country", "Pop"], None),
        ("genre", ["Rock; live", "Pop; studio"], None),
        ("title", [",".join(labels) for labels in SETS], None),
        ("artist", ["Bach, Johann", "Bach, Carl", "Haydn, Johann"], None),
        ("whatever", ["[live]", "take 2"], None),
        ("track_genres", ["[{'genre_id': '21'}]", "[{'genre_id': '4'}]"], None),
        ("genres", [], None),
    ],
)
def test_what_separates_the_labels_of_a_column(column: str, values: list[str], separator: str | None):
    assert separator_of(column, values) == separator


def test_names_that_promise_lists():
    assert all(map(is_plural, ["tags", "TAGS", "Genres", "track_genres", "moodTags", "categories", "tag"]))
    assert not any(map(is_plural, ["class", "genre", "stage", "bus", "language", "themes_2", ""]))


def labelled(path, text: str, config: LabelConfig = NOTHING, ids: list[str] | None = None) -> dict[str, list]:
    path.write_text(text)
    file = LabelFile(path.name, read_table(str(path)))
    ids = ids or [f"audios/{name}.mp3" for name in ("0aB", "0AB", "1c", "2d", "3e", "4f")]
    columns = file.columns(config, Names(ids))
    return attach(pa.table({"track_id": ids}), file, columns, config.top)[0].to_pydict()


IDS4 = ("0aB", "0AB", "1c", "2d", "3e", "4f")


def test_music4alls_tables(tmp_path):
    """Tabs in a .csv, ids that differ in case alone, labels with commas."""
    rows = [f"{name}\t{','.join(labels)}" for name, labels in zip(IDS4, SETS, strict=True)]
    found = labelled(tmp_path / "id_genres.csv", "\n".join(["id\tgenres", *rows]))
    assert found["tags_genres"] == SETS


@pytest.mark.parametrize("write", [str, json.dumps, ";".join, "|".join, lambda labels: ", ".join(labels)])
def test_every_way_to_write_lists_gives_the_same_labels(tmp_path, write):
    quoted = ['"' + write(labels).replace('"', '""') + '"' for labels in SETS]
    rows = [f"{name}.wav,{field}" for name, field in zip(IDS4, quoted, strict=True)]
    assert labelled(tmp_path / "l.csv", "\n".join(["file,genres", *rows]))["tags_genres"] == SETS


def test_a_separator_that_is_said(tmp_path, caplog: pytest.LogCaptureFixture):
    rows = [f"{name}\tFolk, World" if i % 2 else f"{name}\tRock, Live" for i, name in enumerate(IDS4)]
    text = "\n".join(["id\tgenres", *rows])
    with caplog.at_level("INFO"):
        assert labelled(tmp_path / "l.tsv", text)["tags_genres"][0] == ["Rock, Live"]
    assert "column genres holds ',' in most rows" in caplog.text
    config = LabelConfig(multi=("genres",), separator=",")  # pyright: ignore[reportCallIssue]
    assert labelled(tmp_path / "l.tsv", text, config)["tags_genres"][:2] == [
        ["Rock", "Live"],
        ["Folk", "World"],
    ]


def test_too_many_labels_are_cut_aloud(tmp_path, caplog: pytest.LogCaptureFixture):
    ids = [f"{number}.mp3" for number in range(400)]
    rows = [f"{name}\tt{i % 200},t{(i * 7) % 200},all" for i, name in enumerate(ids)]
    with caplog.at_level("INFO"):
        found = labelled(tmp_path / "id_tags.csv", "\n".join(["id\ttags", *rows]), ids=ids)
    assert len({tag for tags in found["tags_tags"] for tag in tags}) == 50
    assert "id_tags.csv: the 50 most frequent of 201 labels of tags are kept" in caplog.text


def test_missing_values_are_no_label(tmp_path):
    rows = ["0aB,NA,NA", "0AB,rock,1.5", "1c,rock,2", "2d,jazz,NaN", "3e,jazz,3", "4f,NA,4"]
    found = labelled(tmp_path / "l.csv", "\n".join(["file,genre,valence", *rows]))
    assert found["label_genre"] == [None, "rock", "rock", "jazz", "jazz", None]
    assert found["value_valence"] == [None, 1.5, 2, None, 3, 4]
