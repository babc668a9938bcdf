"""MagnaTagATune: annotations_final.csv, whose artists are in clip_info_final.csv beside it."""

import logging

import pyarrow as pa

from infra.datasets.readers.reader import Reader
from infra.datasets.tables import read_table
from infra.errors import ConfigError

log = logging.getLogger(__name__)

CLIPS, CLIP, ARTIST = "clip_info_final.csv", "clip_id", "artist"


def with_artists(table: pa.Table, uri: str) -> pa.Table:
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


def part_of_folder(name: str) -> str:
    """The usual split: of 16 folders named by a hexadecimal digit 0 to b train, c valid, d to f test."""
    folder = name.replace("\\", "/").rpartition("/")[0].rpartition("/")[2].lower()
    place = "0123456789abcdef".find(folder) if len(folder) == 1 else -1
    return "" if place < 0 else "train" if place < 12 else "valid" if place == 12 else "test"


READER = Reader(
    "MagnaTagATune",
    "annotations_final.csv, clip_info_final.csv",
    complete=with_artists,
    parts={"folder": part_of_folder},
)
