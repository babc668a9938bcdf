"""One vector per song from every model, in the order of the songs that are asked for; frames pass in blocks."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation import baselines
from infra.config import EvaluateConfig
from infra.ledger import Snapshot
from infra.songs import SongBlock, read_block, read_songs
from infra.storage import Store
from jobs.evaluate_inputs import Inputs

HDPGMM = {
    "HDPGMM log posterior": "posterior_log",
    "HDPGMM sqrt posterior": "posterior_sqrt",
    "HDPGMM responsibility": "responsibility",
}
SAMPLED_SONGS = 4096  # songs the codebook's frames come from, at most


def baseline_vectors(inputs: Inputs, wanted: Sequence[str], config: EvaluateConfig) -> dict[str, np.ndarray]:
    """G1 and VQCodebook of the wanted songs, (song, dim) in their order, in two passes over the frames."""
    songs = read_songs(inputs.store, inputs.features)
    sampled = _sample_songs(songs["track_id"].to_pylist(), config.seed)
    per_song = max(1, baselines.SAMPLE_FRAMES // len(sampled))
    kept, simple, frames = set(wanted), {}, {}
    for block in blocks(inputs.store, songs, kept | sampled):
        simple.update(zip(block.track_ids, baselines.g1(block.values, block.offsets), strict=True))
        for track, values in songs_of(block):
            if track in sampled:
                frames[track] = baselines.sample_frames(track, values, per_song, config.seed)
    # In the order of the names: how songs are packed into shards must not change a centre.
    sample = np.concatenate([frames[track] for track in sorted(frames)])
    codebook = baselines.fit_codebook(sample, config.codewords, config.seed)
    shares: dict[str, np.ndarray] = {}
    for block in blocks(inputs.store, songs, kept):
        histogram = baselines.vq_histogram(codebook, block.values, block.offsets)
        shares.update(zip(block.track_ids, histogram, strict=True))
    words, g1 = (np.stack([found[song] for song in wanted]) for found in (shares, simple))
    name = f"VQCodebook {words.shape[1]}"
    return {"G1": g1, f"{name} log": baselines.log_floor(words), f"{name} sqrt": np.sqrt(words)}


def _sample_songs(track_ids: Sequence[str], seed: int) -> set[str]:
    """A random part of the songs that depends on their names only, or all of them."""
    order = sorted(track_ids, key=lambda track: hashlib.sha256(f"{seed} {track}".encode()).digest())
    return set(order[:SAMPLED_SONGS])


def model_vectors(inputs: Inputs, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """The model's vectors of the wanted songs, (song, component) in their order."""
    rows: dict[str, dict[str, np.ndarray]] = {name: {} for name in HDPGMM}
    kept = set(wanted)
    for table in vector_tables(inputs.store, inputs.vectors, [*HDPGMM.values()]):
        ids = table["track_id"].to_pylist()
        for name, column in HDPGMM.items():
            matrix = as_matrix(table[column])
            rows[name].update({track: matrix[i] for i, track in enumerate(ids) if track in kept})
    return {
        name: np.stack([found[track] for track in wanted]).astype(np.float64) for name, found in rows.items()
    }


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


def blocks(store: Store, songs: pa.Table, wanted: set[str]) -> Iterator[SongBlock]:
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
