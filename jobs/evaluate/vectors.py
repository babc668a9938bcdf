"""One vector per song from every model, in the order of the songs that are asked for; frames pass in blocks."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation import baselines
from infra.config import EvaluateConfig
from infra.errors import StorageError
from infra.root.ledger import Snapshot
from infra.root.songs import SongBlock, read_block, read_songs
from infra.storage.store import Store
from jobs.evaluate.inputs import Inputs

HDPGMM = {
    "HDPGMM log posterior": "posterior_log",
    "HDPGMM sqrt posterior": "posterior_sqrt",
    "HDPGMM soft posterior": "soft_sqrt",
    "HDPGMM responsibility": "responsibility",
}
SAMPLED_SONGS = 4096  # songs the codebook's frames come from, at most


Named = dict[tuple[str, int], np.ndarray]  # (representation, seed) -> (song, dim)


def codebook_name(inputs: Inputs, config: EvaluateConfig) -> str:
    """VQCodebook and how many centres it will have: fewer than asked where there are few frames."""
    songs = read_songs(inputs.store, inputs.features)
    sampled = _sample_songs(songs["track_id"].to_pylist(), config.seed)
    frames = np.minimum(songs["n_frames"].to_numpy(), _per_song(sampled))
    drawn = sum(frames[[track in sampled for track in songs["track_id"].to_pylist()]].tolist())
    return f"VQCodebook {baselines.n_centres(drawn, config.codewords)}"


def baseline_vectors(
    inputs: Inputs, wanted: Sequence[str], config: EvaluateConfig, seeds: Sequence[int] = (0,)
) -> Named:
    """G1, and a VQCodebook for each seed, of the wanted songs in their order, in two passes over the frames.

    A codebook's frames and start are drawn from config.seed plus its own seed.
    """
    songs = read_songs(inputs.store, inputs.features)
    place = {track: row for row, track in enumerate(wanted)}
    draws = {seed: _Sample(songs["track_id"].to_pylist(), config.seed + seed) for seed in seeds}
    needed = place.keys() | set[str]().union(*(draw.songs for draw in draws.values()))
    simple: np.ndarray | None = None
    for block in blocks(inputs.store, songs, needed):
        simple = _put(simple, place, block.track_ids, baselines.g1(block.values, block.offsets))
        for track, values in songs_of(block):
            for draw in draws.values():
                draw.add(track, values)
    books = {
        seed: baselines.fit_codebook(draw.frames(), config.codewords, draw.seed)
        for seed, draw in draws.items()
    }
    shares: dict[int, np.ndarray | None] = dict.fromkeys(books)
    for block in blocks(inputs.store, songs, place.keys()) if books else ():
        for seed, book in books.items():
            histogram = baselines.vq_histogram(book, block.values, block.offsets)
            shares[seed] = _put(shares[seed], place, block.track_ids, histogram)
    found: Named = {} if simple is None else {("G1", 0): _whole(simple, wanted)}
    for seed, words in shares.items():
        if words is not None:
            name = f"VQCodebook {words.shape[1]}"
            found[f"{name} log", seed] = baselines.log_floor(words)
            found[f"{name} sqrt", seed] = np.sqrt(words)
    return found


def _put(
    table: np.ndarray | None, place: Mapping[str, int], tracks: Sequence[str], rows: np.ndarray
) -> np.ndarray:
    """The table, float32 (song, dim), with these songs' rows where they belong; tracks without a place are left out."""
    if table is None:
        table = np.full((len(place), rows.shape[1]), np.nan, np.float32)
    known = [i for i, track in enumerate(tracks) if track in place]
    table[[place[tracks[i]] for i in known]] = rows[known]
    return table


def _whole(table: np.ndarray, wanted: Sequence[str]) -> np.ndarray:
    missing = np.flatnonzero(np.isnan(table[:, 0]))
    if len(missing):
        first = wanted[missing[0]]
        raise StorageError(f"{len(missing)} of {len(wanted)} songs have no vector, the first is {first!r}")
    return table


class _Sample:
    """Frames of random songs for a codebook, gathered song by song."""

    def __init__(self, track_ids: Sequence[str], seed: int) -> None:
        self.seed = seed
        self.songs = _sample_songs(track_ids, seed)
        self._most = _per_song(self.songs)
        self._frames: dict[str, np.ndarray] = {}

    def add(self, track: str, values: np.ndarray) -> None:
        if track in self.songs:
            self._frames[track] = baselines.sample_frames(track, values, self._most, self.seed)

    def frames(self) -> np.ndarray:
        """(frame, dim) in the order of the names: how songs are packed into shards must not change a centre."""
        return np.concatenate([self._frames[track] for track in sorted(self._frames)])


def _per_song(sampled: set[str]) -> int:
    return max(1, baselines.SAMPLE_FRAMES // max(1, len(sampled)))


def _sample_songs(track_ids: Sequence[str], seed: int) -> set[str]:
    """A random part of the songs that depends on their names only, or all of them."""
    order = sorted(track_ids, key=lambda track: hashlib.sha256(f"{seed} {track}".encode()).digest())
    return set(order[:SAMPLED_SONGS])


def model_vectors(inputs: Inputs, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """The model's vectors of the wanted songs, float32 (song, component) in their order."""
    place = {track: row for row, track in enumerate(wanted)}
    found: dict[str, np.ndarray | None] = dict.fromkeys(HDPGMM)
    for table in vector_tables(inputs.store, inputs.vectors, [*HDPGMM.values()]):
        ids = table["track_id"].to_pylist()
        for name, column in HDPGMM.items():
            found[name] = _put(found[name], place, ids, as_matrix(table[column]))
    return {name: _whole(rows, wanted) for name, rows in found.items() if rows is not None}


def vector_tables(store: Store, vectors: Snapshot, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The shards of a snapshot of vectors, living songs only, with track_id and n_frames."""
    songs = read_songs(store, vectors)
    living = set(zip(songs["track_id"].to_pylist(), songs["path"].to_pylist(), strict=True))
    for shard in vectors.shards:
        with store.open(shard["path"]) as source, pq.ParquetFile(source) as file:
            table = file.read(columns=["track_id", "n_frames", *columns])
        mask = [(track, shard["path"]) in living for track in table["track_id"].to_pylist()]
        yield table.filter(pa.array(mask, pa.bool_()))


def as_matrix(column: pa.ChunkedArray) -> np.ndarray:
    """A column of fixed-size lists as (row, item)."""
    array: Any = column.combine_chunks()
    return array.flatten().to_numpy(zero_copy_only=False).reshape(len(array), array.type.list_size)


def blocks(store: Store, songs: pa.Table, wanted: Collection[str]) -> Iterator[SongBlock]:
    """The wanted songs' frames, one row group at a time."""
    columns = ("path", "row_group", "row", "track_id")
    places = sorted(zip(*(songs[name].to_pylist() for name in columns), strict=True))
    places = [place for place in places if place[3] in wanted]
    for (path, row_group), members in groupby(places, key=lambda place: place[:2]):
        yield read_block(store, path, row_group, [row for _, _, row, _ in members])


def songs_of(block: SongBlock) -> Iterator[tuple[str, np.ndarray]]:
    """(track id, frames) of each song of a block."""
    for track, start, stop in zip(block.track_ids, block.offsets[:-1], block.offsets[1:], strict=True):
        yield track, block.values[start:stop]
