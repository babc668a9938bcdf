"""Last.fm's tags of the Million Song Dataset: lastfm_tags.db, SQLite with tids, tags and tid_tag."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa

from infra.datasets.readers.reader import Reader, content
from infra.errors import ConfigError

DATABASES = (".db", ".sqlite", ".sqlite3")


def read(uri: str) -> pa.Table | None:
    """Each track's tags, heaviest first; None for a file that is no database by its name."""
    if not uri.lower().endswith(DATABASES):
        return None
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
        path.write_bytes(content(uri))
        yield path


READER = Reader("Last.fm (Million Song Dataset)", "lastfm_tags.db", read)
