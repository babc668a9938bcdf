"""Who played what: plays of public datasets by the reader of each, any other CSV, TSV or Parquet as the table it is.

Read in batches: of a play only two numbers stay in memory.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from infra.datasets.names import Names
from infra.datasets.play_tables import table_pairs
from infra.datasets.readers import READERS
from infra.errors import ConfigError
from infra.storage.store import Store


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
    folder, _, name = uri.rpartition("/")
    try:
        with Store(folder or ".").open(name) as source:
            known = (reader.plays(source, uri) for reader in READERS)
            batches = next((pairs for pairs in known if pairs is not None), None)
            for user, song in table_pairs(source, uri) if batches is None else batches:
                if user.null_count or song.null_count:
                    raise ConfigError(f"{uri}: a row lacks its user or its song")
                yield user, song
    except FileNotFoundError:
        raise ConfigError(f"{uri}: no such file") from None
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{uri}: not a readable table of plays ({str(error).splitlines()[0]})") from None


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
    for reader in READERS:
        if (mapping := reader.song_tracks(uri)) is not None:
            return mapping
    raise ConfigError(f"{uri}: not a file that says which tracks a song is")
