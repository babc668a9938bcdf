"""Which column names the tracks, where files are called by number and other columns look like names too."""

import random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.config import LabelConfig
from infra.datasets.keys import best_named, find_key
from infra.datasets.labels import LabelFile
from infra.datasets.names import Names
from infra.errors import ConfigError

NUMBERED = [f"audio/{number}.mp3" for number in range(1, 1001)]
NAMES = Names(NUMBERED)
IDS = sorted(random.Random(0).sample(range(1, 1001), 200))


def texts(numbers: list[int] | range) -> list[str]:
    return [str(number) for number in numbers]


GENRES = [random.Random(number).choice(["rock", "pop"]) for number in IDS]
SHUFFLED = random.Random(1).sample(range(1, 1001), len(IDS))


@pytest.mark.parametrize(
    "made_up", ["", "Unnamed: 0", "Unnamed: 0.1", "X", "X.1", "...1", "index", "level_0", "rownames"]
)
@pytest.mark.parametrize(
    "rows", [range(200), range(1, 201), IDS[::-1]], ids=["from 0", "from 1", "of a part"]
)
def test_row_numbers_are_never_the_key(made_up: str, rows: range | list[int]):
    """write.csv and to_csv number the rows; of a filtered or shuffled table not in order."""
    columns = {made_up: texts(rows), "song_id": texts(IDS), "genre": GENRES}
    assert find_key("l.csv", columns, NAMES).column == "song_id"
    with pytest.raises(
        ConfigError, match=rf"column {made_up or 'without a name'} holds row numbers.*set labels\.key"
    ):
        find_key("l.csv", {made_up: texts(rows), "genre": GENRES}, NAMES)


@pytest.mark.parametrize(
    "other",
    [IDS[::-1], SHUFFLED, [1950 + row % 70 for row in range(200)], [180 + row % 9 for row in range(200)]],
)
@pytest.mark.parametrize("named", ["duration", "year", "label", "tempo", "plays", "artist_id", "a"])
def test_a_known_name_decides_between_numbers(named: str, other: list[int]):
    for known in ("song_id", "trackId", "Clip ID", "musicId", "id"):
        columns = {named: texts(other), known: texts(IDS)}
        assert find_key("l.csv", columns, NAMES).column == known


def test_numbers_below_an_unknown_name_are_not_trusted():
    columns = {"title": ["x"] * 200, "duration": texts(SHUFFLED), "genre": GENRES}
    with pytest.raises(
        ConfigError,
        match=r"bare numbers of duration \(200 tracks by 200 rows\) would fit; if that names the files, set labels",
    ):
        find_key("l.csv", columns, NAMES)
    columns["excerpt"] = [f"{number}.mp3" for number in IDS]
    assert find_key("l.csv", columns, NAMES).column == "excerpt"


def test_names_without_a_header_are_the_key_where_nothing_else_is():
    """pandas' to_csv of a table whose index are the files."""
    columns = {"": [f"{number}.mp3" for number in IDS], "year": texts(SHUFFLED)}
    assert find_key("l.csv", columns, NAMES).column == ""
    columns["recorded as"] = list(columns[""])
    assert find_key("l.csv", columns, NAMES).column == "recorded as"


@pytest.mark.parametrize(
    ("one", "other"), [("old", "new"), ("file", "filename"), ("track_id", "song_id"), ("", "a")]
)
def test_two_keys_that_disagree_are_refused(one: str, other: str):
    files = [f"{number}.mp3" for number in IDS]
    assert find_key("l.csv", {one: files, other: list(files)}, NAMES).column in (one, other)
    with pytest.raises(
        ConfigError, match=r"more than one column may name the files, and they disagree.*set labels\.key"
    ):
        find_key("l.csv", {one: files, other: files[::-1]}, NAMES)


def test_files_outrank_numbers_that_are_called_ids():
    """A database's own id beside the file, whatever the column of the file is called."""
    files = [f"{number}.mp3" for number in IDS]
    assert find_key("l.csv", {"id": texts(range(1, 201)), "mp3_path": files}, NAMES).column == "mp3_path"
    with pytest.raises(ConfigError, match=r"disagree: id \(200 tracks by 200 rows\), recorded"):
        find_key("l.csv", {"id": texts(range(1, 201)), "recorded": files}, NAMES)


def test_a_few_hits_by_accident_are_no_rival():
    """A title that is called like a file, beside the files."""
    tracks = Names(["Intro.mp3", "a.mp3", "b.mp3", "c.mp3"])
    columns = {"title": ["x", "y", "Intro", "z"], "rec": ["a.mp3", "b.mp3", "c.mp3", "d.mp3"]}
    assert find_key("l.csv", columns, tracks).column == "rec"
    columns["name"] = columns.pop("title")  # as columns of files may be called too
    assert find_key("l.csv", columns, tracks).column == "rec"


def test_names_that_come_twice_do_not_disagree_with_themselves():
    columns = {"file": ["1.mp3", "2.mp3", "1.mp3"], "filename": ["1.wav", "2.wav", "1.wav"]}
    assert find_key("l.csv", columns, NAMES).column == "file"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_of_numbered_files_every_label_is_its_own(data: st.DataObject):
    """Whatever stands beside the key and in which order: its rows, or a refusal."""
    numbers = st.lists(st.integers(1, 1000), min_size=30, max_size=30, unique=True)
    key = texts(data.draw(numbers))
    others = data.draw(
        st.dictionaries(st.sampled_from(["", "X", "year", "dur", "n", "code"]), numbers, max_size=4)
    )
    columns = [(data.draw(st.sampled_from(["song_id", "id", "track_id"])), key)]
    columns += [(name, texts(sorted(values))) for name, values in others.items()]
    found = find_key("l.csv", dict(data.draw(st.permutations(columns))), NAMES)
    assert found.matched.rows == [int(number) - 1 for number in key]


def test_names_that_fit_several_tracks_are_not_left_for_a_column_that_fits_by_accident():
    """Bare file names of albums, and a title that is called like a file."""
    tracks = Names([f"{album}/0{number}.mp3" for album in "ab" for number in range(9)] + ["Intro.mp3"])
    columns = {"file": [f"0{number}.mp3" for number in range(9)], "title": ["Intro", *"abcdefgh"]}
    with pytest.raises(
        ConfigError, match=r"9 of 9 rows fit more than one track .* \(column file\); set labels\.key"
    ):
        find_key("l.csv", columns, tracks)


def test_the_best_name_of_a_header():
    assert best_named(["genre", "id", "Track_ID", "PATH"]) == "PATH"
    assert best_named(["", "index", "label", "artist_id"]) is None


def test_a_column_without_a_name_can_be_asked_for():
    file = LabelFile("l.csv", pa.table({"": texts(IDS), "song_id": texts(IDS[::-1])}))
    config = LabelConfig(key="")  # pyright: ignore[reportCallIssue]
    assert file.columns(config, NAMES).key == ""
