"""Echonest's Taste Profile: train_triplets.txt, and taste_profile_song_to_tracks.txt, neither with a header."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from infra.datasets.play_tables import TEXTS, USERS, Pairs, first_fields, text_pairs
from infra.datasets.readers.reader import Reader, content
from infra.errors import ConfigError


def plays(source: pa.NativeFile, uri: str) -> Pairs | None:
    """A user, a song and a count in each line; None for a table whose first line names a column of users."""
    if not uri.lower().endswith(TEXTS):
        return None
    fields = first_fields(source)
    if len(fields) < 2 or any(field.lower() in USERS for field in fields):
        return None
    return text_pairs(source, (0, 1), has_header=False)


def song_tracks(uri: str) -> Mapping[str, Sequence[str]]:
    """A song, then its tracks, with tabs between. Raises ConfigError for what is no text or names a song twice."""
    try:
        text = content(uri).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{uri}: not a text file; expected a song and its tracks in each line") from None
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    twice = [name for name, count in Counter(row[0] for row in rows).items() if count > 1]
    if twice:
        raise ConfigError(f"{uri}: has more than one line for {twice[0]!r}")
    return {row[0]: [track for track in row[1:] if track] for row in rows}


READER = Reader(
    "Echonest Taste Profile",
    "train_triplets.txt, taste_profile_song_to_tracks.txt",
    plays=plays,
    song_tracks=song_tracks,
)
