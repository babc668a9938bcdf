"""What a reader of a public dataset's files is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from infra.datasets.play_tables import Pairs
from infra.errors import ConfigError
from infra.storage.store import read_uri


@dataclass(frozen=True)
class Reader:
    """One dataset's official files. What it reads, it reads from a path or s3:// address; None: a file of another kind.

    read: a label file that no other program would read as a table, as one: a row per track, lists for tags, text
    otherwise. complete: what it adds to a table that anybody can read, of what lies elsewhere.
    plays: who played what, of an open file and its address. song_tracks: the tracks of each song, of a file beside it.
    parts: rules by which a track's name says its part of a split, by what stands behind `TABLE#`; each gives train,
    valid, test or "". All raise ConfigError for what is not what it seems.
    """

    name: str
    files: str
    read: Callable[[str], pa.Table | None] = lambda _: None
    complete: Callable[[pa.Table, str], pa.Table] = lambda table, _: table
    plays: Callable[[pa.NativeFile, str], Pairs | None] = lambda source, _: None
    song_tracks: Callable[[str], Mapping[str, Sequence[str]] | None] = lambda _: None
    parts: Mapping[str, Callable[[str], str]] = field(default_factory=dict)


def content(uri: str) -> bytes:
    """The bytes of a label file. Raises ConfigError where there is none."""
    try:
        return read_uri(uri)
    except FileNotFoundError:
        raise ConfigError(f"{uri}: no such file") from None
