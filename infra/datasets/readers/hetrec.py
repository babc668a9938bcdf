"""HetRec 2011, Last.fm: user_artists.dat, plays of artists in place of songs."""

import pyarrow as pa

from infra.datasets.play_tables import TEXTS, Pairs, first_fields, text_pairs
from infra.datasets.readers.reader import Reader

HEADER = ["userID", "artistID", "weight"]


def plays(source: pa.NativeFile, uri: str) -> Pairs | None:
    """Who listened to which artist; None for a file of another header."""
    if not uri.lower().endswith(TEXTS) or first_fields(source) != HEADER:
        return None
    return text_pairs(source, (0, 1), has_header=True)


READER = Reader("HetRec 2011 Last.fm", "user_artists.dat", plays=plays)
