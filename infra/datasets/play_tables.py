"""Tables of plays as text or Parquet: a column of users and one of songs, a batch at a time."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from infra.errors import ConfigError

Pairs = Iterator[tuple[pa.Array, pa.Array]]  # users and songs as strings, a batch at a time
USERS = ("user", "user_id", "userid")
SONGS = (
    *("song", "song_id", "songid", "track", "track_id", "trackid", "item", "item_id", "itemid"),
    *("artist", "artist_id", "artistid", "path", "file", "filename"),
)
TEXTS = (".txt", ".dat", ".csv", ".tsv")
SUFFIXES = (*TEXTS, ".parquet")
BATCH = 1 << 24  # bytes of text parsed at once


def table_pairs(source: pa.NativeFile, uri: str) -> Pairs:
    """Of a table with a header, whatever its columns are called of USERS and SONGS. ConfigError for what is none."""
    if not uri.lower().endswith(SUFFIXES):
        raise ConfigError(f"{uri}: expected a {', '.join(SUFFIXES)} file of plays")
    if uri.lower().endswith(".parquet"):
        return _parquet(source, uri)
    fields = first_fields(source)
    if len(fields) < 2:
        line = "".join(fields)
        raise ConfigError(
            f"{uri}: the first line is {line[:80]!r}, expected a user and a song with a tab between"
        )
    return text_pairs(source, _places(fields, uri), has_header=True)


def first_fields(source: pa.NativeFile) -> list[str]:
    """The fields of a text's first line; the source is at its beginning afterwards."""
    line = _first_line(source)
    return [field.strip().strip('"') for field in line.split(_delimiter(line))]


def text_pairs(source: pa.NativeFile, places: tuple[int, int], has_header: bool) -> Pairs:
    """The columns at the places of user and song, of text with tabs or else commas."""
    line = _first_line(source)
    names = [str(i) for i in range(len(line.split(_delimiter(line))))]
    reader = arrow_csv.open_csv(
        source,
        read_options=arrow_csv.ReadOptions(block_size=BATCH, column_names=names, skip_rows=int(has_header)),
        parse_options=arrow_csv.ParseOptions(delimiter=_delimiter(line)),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=[names[place] for place in places],
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    for batch in reader:
        yield batch.column(0), batch.column(1)


def _first_line(source: pa.NativeFile) -> str:
    source.seek(0)
    line = source.read(1 << 16).split(b"\n", 1)[0].decode("utf-8-sig").rstrip("\r")
    source.seek(0)
    return line


def _delimiter(line: str) -> str:
    return "\t" if "\t" in line else ","


def _parquet(source: pa.NativeFile, uri: str) -> Pairs:
    with pq.ParquetFile(source) as file:
        user, song = _places(file.schema_arrow.names, uri)
        names = [file.schema_arrow.names[place] for place in (user, song)]
        for batch in file.iter_batches(columns=names):
            batch.validate(full=True)
            yield tuple(batch.column(name).cast(pa.string()) for name in names)  # pyright: ignore


def _places(header: Sequence[str], uri: str) -> tuple[int, int]:
    lower = [name.lower() for name in header]
    user = next((lower.index(name) for name in USERS if name in lower), None)
    song = next((lower.index(name) for name in SONGS if name in lower), None)
    if user is None or song is None:
        raise ConfigError(f"{uri}: needs a column user and a column song; it has {', '.join(header)}")
    return user, song
