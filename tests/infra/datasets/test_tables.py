"""Tables as people write them: what separates the fields, and quotes that belong to a title."""

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.datasets.tables import read_table

TITLES = ['"Heroes" - live', '"7 mix', "plain", 'a "b" c', '"12 mix', "x, y"]


def read(folder: Path, name: str, text: str) -> list[dict[str, str | None]]:
    (folder / name).write_text(text, newline="")
    return read_table(str(folder / name)).to_pylist()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quotes_of_titles_that_nobody_quoted_join_no_lines(tmp_path: Path, end: str):
    rows = [{"id": str(row), "song": title, "genres": f"g{row}"} for row, title in enumerate(TITLES)]
    text = end.join(["id\tsong\tgenres", *("\t".join(row.values()) for row in rows)]) + end
    assert read(tmp_path, "id_genres.csv", text) == rows


@settings(max_examples=100, deadline=None)
@given(
    titles=st.lists(st.text('ab"\t;, \n', max_size=6), min_size=1, max_size=6),
    delimiter=st.sampled_from(",\t;"),
)
def test_what_programs_write_comes_back(
    tmp_path_factory: pytest.TempPathFactory, titles: list[str], delimiter: str
):
    """The quoting of Python's csv, pandas' and R's: only where needed, and everywhere.

    Not of values that hold a line's end and a delimiter each: their lines may look whole, see `_has_bare_quotes`.
    """
    titles = [title for title in titles if not ("\n" in title and delimiter in title)] or ["a"]
    folder, rows = tmp_path_factory.mktemp("t"), [(f"{row}.mp3", title) for row, title in enumerate(titles)]
    expected = [{"file": name, "title": title or None} for name, title in rows]
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter, quoting=quoting).writerows([("file", "title"), *rows])
        assert read(folder, "l.csv", text.getvalue()) == expected
    frame = pd.DataFrame(rows, columns=["file", "title"])
    assert read(folder, "l.csv", frame.to_csv(sep=delimiter, index=False)) == expected


@pytest.mark.parametrize("header", ["path;genre", "path\tgenre", "path,genre", '"path";"genre"'])
def test_the_header_says_what_separates(tmp_path: Path, header: str):
    delimiter = next(sign for sign in ";\t," if sign in header)
    assert read(tmp_path, "l.csv", f"{header}\na.mp3{delimiter}rock\n") == [
        {"path": "a.mp3", "genre": "rock"}
    ]
    assert read(tmp_path, "l.csv", 'path\n"a, b; c.mp3"\n') == [{"path": "a, b; c.mp3"}]
