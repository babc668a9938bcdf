"""FMA: fma_metadata/tracks.csv, with three header lines."""

import csv
import io

import pyarrow as pa

from infra.datasets.readers.reader import Reader, content
from infra.errors import ConfigError

COLUMNS = {
    ("track", "genre_top"): "genre",
    ("artist", "id"): "artist",
    ("set", "split"): "split",
    ("set", "subset"): "subset",
}


def read(uri: str) -> pa.Table | None:
    """FMA's tracks.csv: the first two lines name a column together, the third says track_id.

    None for a file that is not called tracks.csv, or whose first line names the first column.
    """
    if uri.rpartition("/")[2].lower() != "tracks.csv":
        return None
    data = content(uri)
    if not data.startswith((b",", b"\xef\xbb\xbf,")):
        return None
    try:
        rows = csv.reader(io.StringIO(data.decode("utf-8-sig")))
        top, below, third = next(rows), next(rows), next(rows)
        if third[:1] != ["track_id"] or len(below) != len(top):
            raise ValueError("the third line does not begin with track_id")
        places = {pair: i for i, pair in enumerate(zip(top, below, strict=True))}
        lacking = [" ".join(pair) for pair in COLUMNS if pair not in places]
        if lacking:
            raise ValueError(f"no column {lacking[0]!r}")
        body = [row for row in rows if row]
        columns = {"track_id": [f"{int(row[0]):06}" for row in body]}
        for pair, name in COLUMNS.items():
            columns[name] = [row[places[pair]] or None for row in body]  # pyright: ignore
    except (ValueError, IndexError, StopIteration, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{uri}: not FMA's tracks.csv ({str(error) or 'too short'})") from None
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


READER = Reader("FMA", "fma_metadata/tracks.csv", read)
