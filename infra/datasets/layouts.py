"""Label files in the official layouts of public datasets, as plain tables: a row per track, lists for tags.

MagnaTagATune  annotations_final.csv: tabs, a column of 0 and 1 for each tag; artists from clip_info_final.csv beside it
FMA            fma_metadata/tracks.csv: three header lines
Last.fm        lastfm_tags.db: SQLite with tids, tags, tid_tag

Any table with many columns of 0 and 1 is read as MagnaTagATune's: one column `tags`.
"""

import csv
import io
import logging
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from infra.datasets.tables import read_table
from infra.errors import ConfigError
from infra.storage.store import read_uri

log = logging.getLogger(__name__)

INDICATORS = 8  # columns of 0 and 1 from which on they are taken as tags
DATABASES = (".db", ".sqlite", ".sqlite3")
CLIPS, CLIP, ARTIST = "clip_info_final.csv", "clip_id", "artist"
FMA = {
    ("track", "genre_top"): "genre",
    ("artist", "id"): "artist",
    ("set", "split"): "split",
    ("set", "subset"): "subset",
}


def read_labels(uri: str) -> pa.Table:
    """The label file as a table. Raises ConfigError for what is neither a table nor one of the layouts above."""
    if uri.lower().endswith(DATABASES):
        return _lastfm(uri)
    if uri.rpartition("/")[2].lower() == "tracks.csv":
        data = _read(uri)
        if data.startswith((b",", b"\xef\xbb\xbf,")):
            return _fma(data, uri)
    return _with_artists(_joined(read_table(uri)), uri)


def _read(uri: str) -> bytes:
    try:
        return read_uri(uri)
    except FileNotFoundError:
        raise ConfigError(f"{uri}: no such file") from None


def _joined(table: pa.Table) -> pa.Table:
    """Columns of 0 and 1, where there are many, as one column of lists: the names of those that are 1."""
    names = [name for name in table.column_names if _is_indicator(table[name])]
    if len(names) < INDICATORS or "tags" in table.column_names:
        return table
    flags = np.column_stack([table[name].cast(pa.string()).to_numpy() == "1" for name in names])
    tags = [[names[i] for i in np.flatnonzero(row)] for row in flags]
    return table.drop_columns(names).append_column("tags", pa.array(tags, pa.list_(pa.string())))


def _is_indicator(column: pa.ChunkedArray) -> bool:
    if not (pa.types.is_integer(column.type) or pa.types.is_string(column.type)) or column.null_count:
        return False
    return set(column.unique().cast(pa.string()).to_pylist()) <= {"0", "1"}


def _with_artists(table: pa.Table, uri: str) -> pa.Table:
    """MagnaTagATune's artists, from the file beside the annotations."""
    if CLIP not in table.column_names or ARTIST in table.column_names or "tags" not in table.column_names:
        return table
    beside = f"{uri.rpartition('/')[0] or '.'}/{CLIPS}"
    try:
        clips = read_table(beside)
    except ConfigError:
        log.warning(
            "labels: %s: no such file, so songs of one artist may fall on both sides of a split", beside
        )
        return table
    if not {CLIP, ARTIST} <= set(clips.column_names):
        raise ConfigError(
            f"{beside}: needs columns {CLIP} and {ARTIST}; it has {', '.join(clips.column_names)}"
        )
    artist = dict(zip(clips[CLIP].to_pylist(), clips[ARTIST].to_pylist(), strict=True))
    found = [artist.get(clip) for clip in table[CLIP].cast(pa.string()).to_pylist()]
    return table.append_column(ARTIST, pa.array(found, pa.string()))


def _fma(data: bytes, uri: str) -> pa.Table:
    """FMA's tracks.csv: the first two lines name a column together, the third says track_id."""
    try:
        rows = csv.reader(io.StringIO(data.decode("utf-8-sig")))
        top, below, third = next(rows), next(rows), next(rows)
        if third[:1] != ["track_id"] or len(below) != len(top):
            raise ValueError("the third line does not begin with track_id")
        places = {pair: i for i, pair in enumerate(zip(top, below, strict=True))}
        lacking = [" ".join(pair) for pair in FMA if pair not in places]
        if lacking:
            raise ValueError(f"no column {lacking[0]!r}")
        body = [row for row in rows if row]
        columns = {"track_id": [f"{int(row[0]):06}" for row in body]}
        for pair, name in FMA.items():
            columns[name] = [row[places[pair]] or None for row in body]  # pyright: ignore
    except (ValueError, IndexError, StopIteration, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{uri}: not FMA's tracks.csv ({str(error) or 'too short'})") from None
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _lastfm(uri: str) -> pa.Table:
    """Last.fm's tags of the Million Song Dataset: each track's tags, heaviest first."""
    with _local(uri) as path, closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as base:
        try:
            tracks = [str(row[0]) for row in base.execute("SELECT tid FROM tids ORDER BY ROWID")]
            names = [str(row[0]) for row in base.execute("SELECT tag FROM tags ORDER BY ROWID")]
            tags: list[list[str]] = [[] for _ in tracks]
            for track, tag in base.execute("SELECT tid, tag FROM tid_tag ORDER BY tid, val DESC, tag"):
                tags[track - 1].append(names[tag - 1])
        except (sqlite3.Error, IndexError, TypeError) as error:
            raise ConfigError(f"{uri}: not Last.fm's tags (tables tids, tags, tid_tag): {error}") from None
    return pa.table({"track_id": tracks, "tags": pa.array(tags, pa.list_(pa.string()))})


@contextmanager
def _local(uri: str) -> Iterator[Path]:
    if not uri.startswith("s3://"):
        if not Path(uri).is_file():
            raise ConfigError(f"{uri}: no such file")
        yield Path(uri).absolute()
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.db"
        path.write_bytes(_read(uri))
        yield path
