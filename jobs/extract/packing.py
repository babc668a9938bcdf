"""Which tracks share a shard: a pure function of the tracks, so that any number of workers agrees on it."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

# Audio bytes of a second, by extension; what is not listed is taken for 128 kbit/s.
ENCODED_RATES = {
    **dict.fromkeys(("wav", "wave", "w64", "rf64", "aif", "aiff", "aifc", "au", "snd", "caf"), 176_400),
    **dict.fromkeys(("flac", "alac"), 100_000),
}
DEFAULT_RATE = 16_000

# A corpus that would fit one shard is still cut into some, for the workers to share.
SMALL_CORPUS_SHARDS = 32
MIN_SHARD_TRACKS = 8


class Track(NamedTuple):
    """A row of the track list; `bytes` is the size of the audio file.

    `attempts` and `first_seen` are those of its quarantine, for one that is tried again.
    """

    track_id: str
    uri: str
    bytes: int
    version: str
    attempts: int = 0
    first_seen: str = ""


class Shard(NamedTuple):
    """Tracks that are extracted and committed together.

    The name is a hash of them, of how often each was tried before and of the specification.
    """

    name: str
    tracks: tuple[Track, ...]
    feature_bytes: int


def pack(
    tracks: Iterable[Track],
    fingerprint: str,
    feature_bytes: Callable[[float], float],
    shard_bytes: int,
    shard_tracks: int,
) -> list[Shard]:
    """Consecutive tracks by track_id, up to `shard_bytes` of estimated features and `shard_tracks` tracks.

    `feature_bytes` are those of a track by its seconds.
    """
    ordered = sorted(tracks)
    most = min(shard_tracks, fair_tracks(len(ordered)))
    sizes = [int(feature_bytes(estimated_seconds(track))) + 1 for track in ordered]
    return [
        Shard(_name(fingerprint, ordered[start:stop]), tuple(ordered[start:stop]), sum(sizes[start:stop]))
        for start, stop in cut(sizes, shard_bytes, most)
    ]


def estimated_seconds(track: Track) -> float:
    """The length of a track, guessed from its size and extension."""
    extension = track.track_id.rpartition(".")[2].lower()
    return track.bytes / ENCODED_RATES.get(extension, DEFAULT_RATE)


def row_groups(row_bytes: Sequence[int], row_group_bytes: int) -> list[int]:
    """Rows of each row group: consecutive rows up to `row_group_bytes`, at least one row each."""
    return [stop - start for start, stop in cut(row_bytes, row_group_bytes, len(row_bytes))]


def cut(sizes: Sequence[int], most_bytes: int, most_items: int) -> Iterator[tuple[int, int]]:
    """Half-open ranges that cover the sizes in order; a range of one item may exceed `most_bytes`."""
    start, total = 0, 0
    for index, size in enumerate(sizes):
        if index > start and (total + size > most_bytes or index - start >= most_items):
            yield start, index
            start, total = index, 0
        total += size
    if sizes:
        yield start, len(sizes)


def fair_tracks(n_tracks: int) -> int:
    """Tracks of a shard in a small corpus: a power of two, so that a few tracks more change little."""
    share = n_tracks // SMALL_CORPUS_SHARDS
    return max(MIN_SHARD_TRACKS, 1 << max(share.bit_length() - 1, 0))


def _name(fingerprint: str, tracks: Sequence[Track]) -> str:
    digest = hashlib.sha256(fingerprint.encode())
    for track in tracks:
        tried = f"\0{track.attempts}" if track.attempts else ""
        for part in (track.track_id, track.version + tried):
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.hexdigest()[:24]
