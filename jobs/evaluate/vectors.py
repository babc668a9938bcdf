"""One vector per song from every model, in the order of the songs that are asked for; frames pass in blocks."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.baselines import with_shares
from evaluation.baselines.baseline import Baseline
from evaluation.baselines.sampling import frames_per_song, sample_frames, sample_songs
from hdpgmm.kinds.kind import Kind
from hdpgmm.ragged import ragged
from infra.config import EvaluateConfig
from infra.errors import ConfigError, StorageError
from infra.root.records import Snapshot
from infra.root.schemas import N_FRAMES, PATH, ROW, ROW_GROUP, TRACK_ID
from infra.root.songs import SongBlock, read_block, read_songs
from infra.storage.store import Store
from jobs.evaluate.inputs import Inputs

Named = dict[tuple[str, int], np.ndarray]  # (representation, seed) -> (song, dim)
Seeded = tuple[Baseline, int]


def n_sampled(inputs: Inputs, config: EvaluateConfig) -> int:
    """How many frames comparison models are fitted on."""
    songs = read_songs(inputs.store, inputs.features)
    ids = songs[TRACK_ID].to_pylist()
    sampled = sample_songs(ids, config.seed)
    frames = np.minimum(songs[N_FRAMES].to_numpy(), frames_per_song(len(sampled)))
    return sum(frames[[track in sampled for track in ids]].tolist())


def baseline_vectors(
    inputs: Inputs, wanted: Sequence[str], config: EvaluateConfig, models: Sequence[Seeded]
) -> Named:
    """The rows of comparison models, of the wanted songs in their order: a pass over the frames for the samples, where
    one is fitted, and one for the vectors.

    The frames and the start of a seeded one are drawn from config.seed plus its own seed.
    """
    songs = read_songs(inputs.store, inputs.features)
    samples = _samples(inputs, songs, [config.seed + seed for model, seed in models if model.sampled])
    fitted = [
        (model, seed, model.fit(samples.get(config.seed + seed, np.empty((0, 0))), config.seed + seed))
        for model, seed in models
    ]
    drawn = n_sampled(inputs, config)
    rows = {(model, seed): model.rows(drawn) for model, seed in models}
    place = {track: row for row, track in enumerate(wanted)}
    found: dict[tuple[str, int], np.ndarray | None] = {}
    for block in blocks(inputs.store, songs, place.keys()) if fitted else ():
        block_songs = ragged(block.lengths, block.values)
        for model, seed, transform in fitted:
            for name, part in zip(rows[model, seed], transform(block_songs), strict=True):
                found[name, seed] = _put(found.get((name, seed)), place, block.track_ids, part)
    return {key: _whole(table, wanted) for key, table in found.items() if table is not None}


def baseline_shares(inputs: Inputs, wanted: Sequence[str], config: EvaluateConfig) -> dict[str, np.ndarray]:
    """Of each comparison model with units, its name and the share of each unit in the wanted songs, (song, unit)."""
    models = [(baseline, 0) for baseline in with_shares(config.model_dump())]
    return {name: shares for (name, _), shares in baseline_vectors(inputs, wanted, config, models).items()}


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


def _samples(inputs: Inputs, songs: pa.Table, seeds: Sequence[int]) -> dict[int, np.ndarray]:
    """Frames of random songs for each seed, (frame, dim), in one pass, in the order of the songs' names: how songs are
    packed into shards must not change a vector.
    """
    ids = songs[TRACK_ID].to_pylist()
    drawn = {seed: sample_songs(ids, seed) for seed in seeds}
    frames: dict[int, dict[str, np.ndarray]] = {seed: {} for seed in seeds}
    for block in blocks(inputs.store, songs, set[str]().union(*drawn.values())) if drawn else ():
        for track, values in songs_of(block):
            for seed, sampled in drawn.items():
                if track in sampled:
                    most = frames_per_song(len(sampled))
                    frames[seed][track] = sample_frames(track, values, most, seed)
    return {seed: np.concatenate([found[track] for track in sorted(found)]) for seed, found in frames.items()}


def model_vectors(inputs: Inputs, wanted: Sequence[str], kinds: Sequence[Kind]) -> dict[str, np.ndarray]:
    """These kinds of the model's vectors of the wanted songs, by their rows, float32 (song, n) in the songs' order."""
    place = {track: row for row, track in enumerate(wanted)}
    found: dict[str, np.ndarray | None] = {}
    for table in vector_tables(inputs.store, inputs.vectors, [kind.name for kind in kinds]):
        ids = table[TRACK_ID].to_pylist()
        for kind in kinds:
            found[kind.row] = _put(found.get(kind.row), place, ids, as_matrix(table[kind.name]))
    return {name: _whole(rows, wanted) for name, rows in found.items() if rows is not None}


def vector_tables(
    store: Store, vectors: Snapshot, columns: Sequence[str], having: Collection[str] | None = None
) -> Iterator[pa.Table]:
    """The shards of a snapshot of vectors, living songs only, with track_id and n_frames; of all shards, or of those
    that have one of the songs `having`.
    """
    songs = read_songs(store, vectors)
    living = set(zip(songs[TRACK_ID].to_pylist(), songs[PATH].to_pylist(), strict=True))
    paths = {path for track, path in living if having is None or track in having}
    for shard in vectors.shards:
        if shard.path not in paths and having is not None:
            continue
        with store.open(shard.path) as source, pq.ParquetFile(source) as file:
            if lacking := set(columns) - set(file.schema_arrow.names):
                raise ConfigError(
                    f"{store.uri(shard.path)}: vectors without {', '.join(sorted(lacking))}: of an older version; "
                    "delete the folder of that model under vectors/ and run python -m jobs.represent"
                )
            table = file.read(columns=[TRACK_ID, N_FRAMES, *columns])
        mask = [(track, shard.path) in living for track in table[TRACK_ID].to_pylist()]
        yield table.filter(pa.array(mask, pa.bool_()))


def as_matrix(column: pa.ChunkedArray) -> np.ndarray:
    """A column of fixed-size lists as (row, item); 16-bit floats as float32, which numpy computes with."""
    array: Any = column.combine_chunks()
    found = array.flatten().to_numpy(zero_copy_only=False).reshape(len(array), array.type.list_size)
    return found.astype(np.float32) if found.dtype == np.float16 else found


def blocks(store: Store, songs: pa.Table, wanted: Collection[str]) -> Iterator[SongBlock]:
    """The wanted songs' frames, one row group at a time."""
    columns = (PATH, ROW_GROUP, ROW, TRACK_ID)
    places = sorted(zip(*(songs[name].to_pylist() for name in columns), strict=True))
    places = [place for place in places if place[3] in wanted]
    for (path, row_group), members in groupby(places, key=lambda place: place[:2]):
        yield read_block(store, path, row_group, [row for _, _, row, _ in members])


def songs_of(block: SongBlock) -> Iterator[tuple[str, np.ndarray]]:
    """(track id, frames) of each song of a block."""
    return zip(block.track_ids, ragged(block.lengths, block.values), strict=True)
