"""Who played what, from the tables people have: Echonest's triplets, HetRec's plays, any CSV, TSV or Parquet.

Read in batches: of a play only two numbers stay in memory.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv
from scipy.sparse import csr_matrix

from infra.datasets.names import Names
from infra.errors import ConfigError
from infra.storage.store import Store, read_uri

USERS = ("user", "user_id", "userid")
SONGS = (
    *("song", "song_id", "songid", "track", "track_id", "trackid", "item", "item_id", "itemid"),
    *("artist", "artist_id", "artistid", "path", "file", "filename"),
)
SUFFIXES = (".txt", ".dat", ".csv", ".tsv", ".parquet")
BATCH = 1 << 24  # bytes of text parsed at once


@dataclass(frozen=True)
class Plays:
    """plays (user, song): a non-zero entry is a song played; tracks: the track of each column; note: what was lost."""

    plays: csr_matrix
    tracks: tuple[str, ...]
    note: str


def read_plays(
    uri: str,
    songs: str | None,
    living: Iterable[str],
    min_users: int,
    min_songs: int,
    listed: Sequence[str] | None = None,
) -> Plays:
    """The plays of songs whose track is `living`; then songs of `min_users` users, then users of `min_songs` of these.

    `songs` names a file that says which tracks a song is (Echonest's song_to_tracks: a song, then its tracks, with tabs
    between); without it a song is named as a track is. `listed` are all tracks of the corpus: a name may mean one that
    does not live. Raises ConfigError for what is not such a file or leaves nothing.
    """
    living = frozenset(living)
    mapping = None if songs is None else _read_mapping(songs)
    users, codes = _Codes(), _Codes()
    pairs = [(users.of(user), codes.of(song)) for user, song in _batches(uri)]
    if not pairs:
        raise ConfigError(f"{uri}: holds no plays")
    user, song = (np.concatenate(side) for side in zip(*pairs, strict=True))
    tracks, disputed = _tracks_of(codes.names, mapping, listed or sorted(living), living)
    known = np.array([track is not None for track in tracks])
    kept = known[song]
    if not kept.any():
        raise ConfigError(
            f"{uri}: none of its {len(tracks)} songs has a track with a vector, the first is {codes.names[0]!r}; "
            "recommendation.songs names a file that says which tracks a song is"
        )
    note = f"{(~known).sum()} of {len(tracks)} songs, with {100 * (1 - kept.mean()):.3g} % of the plays, have no vector"
    note = "; ".join([note, *disputed])
    plays = matrix(user[kept], song[kept], len(users.names), len(tracks))
    popular = np.bincount(plays.indices, minlength=len(tracks)) >= max(1, min_users)
    plays = _columns(plays, np.flatnonzero(popular))
    plays = plays[np.diff(plays.indptr) >= max(1, min_songs)]
    if plays.shape[0] < 2:  # pyright: ignore
        raise ConfigError(
            f"{uri}: {plays.shape[0]} users have {min_songs} songs that {min_users} users played, needs 2; "  # pyright: ignore
            "lower recommendation.min_songs or recommendation.min_users"
        )
    return Plays(plays, tuple(tracks[i] or "" for i in np.flatnonzero(popular)), note)


def matrix(users: np.ndarray, songs: np.ndarray, n_users: int, n_songs: int) -> csr_matrix:
    """Plays as (user, song) float32 ones, whatever the number of plays; users, songs: int (play,)."""
    ones = np.ones(len(users), dtype=np.float32)
    made = csr_matrix((ones, (users, songs)), (n_users, n_songs))
    made.sum_duplicates()
    made.data[:] = 1.0
    return made


def _columns(plays: csr_matrix, kept: np.ndarray) -> csr_matrix:
    some: Any = plays[:, kept]
    return some.tocsr()


class _Codes:
    """Numbers for names, in the order in which they come."""

    def __init__(self) -> None:
        self._code: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        return list(self._code)

    def of(self, column: pa.Array) -> np.ndarray:
        """int32 (row,)."""
        encoded: Any = column.dictionary_encode()
        new = self._code
        codes = np.array(
            [new.setdefault(name.strip(), len(new)) for name in encoded.dictionary.to_pylist()], np.int32
        )
        return codes[encoded.indices.to_numpy()]


def _batches(uri: str) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Users and songs as strings, a batch at a time."""
    if not uri.lower().endswith(SUFFIXES):
        raise ConfigError(f"{uri}: expected a {', '.join(SUFFIXES)} file of plays")
    folder, _, name = uri.rpartition("/")
    try:
        with Store(folder or ".").open(name) as source:
            batches = _parquet(source, uri) if uri.lower().endswith(".parquet") else _text(source, uri)
            for user, song in batches:
                if user.null_count or song.null_count:
                    raise ConfigError(f"{uri}: a row lacks its user or its song")
                yield user, song
    except FileNotFoundError:
        raise ConfigError(f"{uri}: no such file") from None
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{uri}: not a readable table of plays ({str(error).splitlines()[0]})") from None


def _parquet(source: pa.NativeFile, uri: str) -> Iterator[tuple[pa.Array, pa.Array]]:
    with pq.ParquetFile(source) as file:
        user, song = _places(file.schema_arrow.names, uri)
        names = [file.schema_arrow.names[place] for place in (user, song)]
        for batch in file.iter_batches(columns=names):
            batch.validate(full=True)
            yield tuple(batch.column(name).cast(pa.string()) for name in names)  # pyright: ignore


def _text(source: pa.NativeFile, uri: str) -> Iterator[tuple[pa.Array, pa.Array]]:
    """A header names the columns; without one the first column is the user and the second the song."""
    first = source.read(1 << 16).split(b"\n", 1)[0].decode("utf-8-sig").rstrip("\r")
    source.seek(0)
    delimiter = "\t" if "\t" in first else ","
    header = [field.strip().strip('"') for field in first.split(delimiter)]
    if len(header) < 2:
        raise ConfigError(
            f"{uri}: the first line is {first[:80]!r}, expected a user and a song with a tab between"
        )
    named = any(field.lower() in USERS for field in header)
    places = _places(header, uri) if named else (0, 1)
    names = [str(i) for i in range(len(header))]
    reader = arrow_csv.open_csv(
        source,
        read_options=arrow_csv.ReadOptions(block_size=BATCH, column_names=names, skip_rows=int(named)),
        parse_options=arrow_csv.ParseOptions(delimiter=delimiter),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=[names[place] for place in places],
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    for batch in reader:
        yield batch.column(0), batch.column(1)


def _places(header: Sequence[str], uri: str) -> tuple[int, int]:
    lower = [name.lower() for name in header]
    user = next((lower.index(name) for name in USERS if name in lower), None)
    song = next((lower.index(name) for name in SONGS if name in lower), None)
    if user is None or song is None:
        raise ConfigError(f"{uri}: needs a column user and a column song; it has {', '.join(header)}")
    return user, song


def _tracks_of(
    songs: Sequence[str],
    mapping: Mapping[str, Sequence[str]] | None,
    listed: Sequence[str],
    living: Collection[str],
) -> tuple[list[str | None], list[str]]:
    """The track of each song, None where it has no living one, and what is said of names that fit several."""
    names = [[song] if mapping is None else mapping.get(song, ()) for song in songs]
    every = list(dict.fromkeys(name for some in names for name in some))
    matched = Names(listed).match(every)
    found = {name: listed[row] for name, row in zip(every, matched.rows, strict=True) if row is not None}
    tracks = (next((found[name] for name in some if found.get(name) in living), None) for some in names)
    return list(tracks), matched.disputed("names of songs")


def _read_mapping(uri: str) -> Mapping[str, Sequence[str]]:
    try:
        text = read_uri(uri).decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{uri}: no such file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{uri}: not a text file; expected a song and its tracks in each line") from None
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    twice = [name for name, count in Counter(row[0] for row in rows).items() if count > 1]
    if twice:
        raise ConfigError(f"{uri}: has more than one line for {twice[0]!r}")
    return {row[0]: [track for track in row[1:] if track] for row in rows}
