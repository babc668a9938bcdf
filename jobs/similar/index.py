"""What a search for similar songs needs beside the vectors: their mean and, for many songs, an index, kept by digest.

similar/<model>/<kind>/   index-<key>.faiss, ids-<key>.parquet (the track of each number) and, written last, about.json

The key says of which vectors they are, and who reads them reads those of its own: whoever writes about.json late, of
other vectors, has others make it again and changes nothing that they find.
"""

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evaluation.neighbours.exact import Block, Neighbour, directions, mean_vector, nearest
from infra.code import digest_of_code
from infra.config import SimilarConfig
from infra.root import layout
from infra.root.schemas import INDEXED, PATH, ROW, ROW_GROUP, TRACK_ID
from infra.root.songs import read_columns
from infra.storage.parquet import decode, encode
from infra.storage.store import Store
from jobs.evaluate.inputs import Inputs
from jobs.evaluate.vectors import as_matrix, vector_tables
from jobs.represent.kinds import STORED, components_of

KEY_DIGITS = 16
TERMS = 3  # of a cosine that are told of a neighbour
CODE = ("evaluation.neighbours", "jobs.similar.index")


@dataclass(frozen=True)
class Prepared:
    """The mean of all vectors, float64 (dim,), and whether there is an index, at `index` and `ids`."""

    prefix: str
    key: str
    mean: np.ndarray
    indexed: bool

    @property
    def index(self) -> str:
        return layout.similar_index(self.prefix, self.key[:KEY_DIGITS])

    @property
    def ids(self) -> str:
        return layout.similar_ids(self.prefix, self.key[:KEY_DIGITS])


def blocks(inputs: Inputs, kind: str) -> Iterator[Block]:
    """All living songs, a shard of vectors at a time."""
    for table in vector_tables(inputs.store, inputs.vectors, [kind]):
        if table.num_rows:
            yield table[TRACK_ID].to_pylist(), as_matrix(table[kind])


def some_vectors(inputs: Inputs, tracks: pa.Table, kind: str) -> Block:
    """Of some living songs, rows of `read_places`, whose row groups are read."""
    ids: list[str] = []
    found: list[np.ndarray] = []
    places = sorted(tracks.to_pylist(), key=lambda place: (place[PATH], place[ROW_GROUP], place[ROW]))
    for path, members in groupby(places, key=lambda place: place[PATH]):
        with inputs.store.open(path) as source, pq.ParquetFile(source) as file:
            for row_group, rows in groupby(members, key=lambda place: place[ROW_GROUP]):
                column, chosen = file.read_row_group(row_group, columns=[kind])[kind], list(rows)
                ids += [place[TRACK_ID] for place in chosen]
                found.append(as_matrix(column)[[place[ROW] for place in chosen]])
    return ids, np.concatenate(found)


def read_places(inputs: Inputs) -> pa.Table:
    """track_id, path, row_group and row of every living song's vectors."""
    return read_columns(inputs.store, inputs.vectors.songs, [TRACK_ID, PATH, ROW_GROUP, ROW])


def wants_index(inputs: Inputs, config: SimilarConfig) -> bool:
    """Whether the configuration asks for an index of these songs."""
    if config.index == "auto":
        return inputs.vectors.n_songs >= config.index_from
    return config.index == "approximate"


def known(inputs: Inputs, config: SimilarConfig) -> Prepared | None:
    """What is there already for these vectors and settings."""
    prefix = layout.similar(inputs.model, config.kind)
    try:
        about: dict[str, Any] = json.loads(inputs.store.read(layout.similar_about(prefix)))
    except FileNotFoundError:
        return None
    if about["key"] != _key(inputs, config):
        return None
    found = Prepared(prefix, about["key"], np.array(about["mean"]), about["indexed"])
    whole = not found.indexed or all(inputs.store.exists(path) for path in (found.index, found.ids))
    return found if whole else None


def prepare(inputs: Inputs, config: SimilarConfig) -> Prepared:
    """The same, made where it is missing: one pass over the vectors for the mean, another for the index."""
    found = known(inputs, config)
    if found is not None:
        return found
    prefix, indexed = layout.similar(inputs.model, config.kind), wants_index(inputs, config)
    made = Prepared(prefix, _key(inputs, config), np.zeros(0), indexed)
    mean = _write_index(inputs, config, made) if indexed else mean_vector(blocks(inputs, config.kind))
    about = {"key": made.key, "indexed": indexed, "mean": mean.tolist()}
    inputs.store.write(layout.similar_about(prefix), json.dumps(about).encode())
    mine = {layout.name_of(path) for path in (made.index, made.ids)} if indexed else set[str]()
    others = {name for name in inputs.store.names(prefix) if layout.is_of_index(name)} - mine
    inputs.store.delete_many(layout.listed(prefix, name) for name in sorted(others))
    return replace(made, mean=mean)


def find(
    inputs: Inputs,
    config: SimilarConfig,
    prepared: Prepared,
    query: np.ndarray,
    k: int,
    without: Collection[str] = (),
) -> list[Neighbour]:
    """The k songs most similar to a vector (dim,), by the index where there is one; each with its TERMS largest terms.

    The index says which songs may be among them; their cosines are then computed from their own vectors, by the
    function that compares all songs, so that both ways say the same of a song. It costs the row groups of those songs.
    """
    components = components_of(STORED[config.kind], inputs.n_components, len(query))
    if not prepared.indexed:
        songs = blocks(inputs, config.kind)
        return nearest(query[None], songs, prepared.mean, k, [without], components, TERMS)[0]
    from evaluation.neighbours import approximate

    store, path = inputs.store, prepared.index
    index = (
        approximate.from_bytes(store.read(path)) if _remote(store) else approximate.mapped(store.uri(path))
    )
    (direction,) = directions(query[None], prepared.mean)
    if not direction.any() or not index.ntotal:
        return []
    ids = decode(store.read(prepared.ids))[TRACK_ID]
    near = ids.take(pa.array(approximate.candidates(index, direction, k + len(without), config.probes)))
    places = read_places(inputs)
    block = some_vectors(inputs, places.filter(pc.is_in(places[TRACK_ID], near)), config.kind)  # pyright: ignore
    return nearest(query[None], [block], prepared.mean, k, [without], components, TERMS)[0]


def _write_index(inputs: Inputs, config: SimilarConfig, made: Prepared) -> np.ndarray:
    """Write index and ids, of the songs that have a direction; the mean."""
    from evaluation.neighbours import approximate

    cells = approximate.cells_for(inputs.vectors.n_songs)
    mean, sample = _mean_and_sample(inputs, config, approximate.SAMPLE_PER_CELL * cells)
    ids: list[str] = []

    def all_directions() -> Iterator[np.ndarray]:
        for names, vectors in blocks(inputs, config.kind):
            rows = directions(vectors, mean)
            kept = np.flatnonzero(rows.any(axis=1))
            ids.extend(names[i] for i in kept.tolist())
            yield rows[kept]

    rows = directions(sample, mean)
    rows = rows[rows.any(axis=1)] if rows.any() else rows[:1]
    cells = cells if len(rows) >= cells else approximate.cells_for(len(rows))
    index = approximate.build(rows, all_directions(), cells, config.seed)
    inputs.store.write(made.index, approximate.to_bytes(index))
    table = pa.table({TRACK_ID: ids}, schema=INDEXED)
    inputs.store.write(made.ids, encode(table, [len(ids)]))
    return mean


def _mean_and_sample(inputs: Inputs, config: SimilarConfig, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of all vectors and at most `most` of them, at random places, in their order."""
    songs = inputs.vectors.n_songs
    chosen = np.random.default_rng(config.seed).permutation(songs)[:most]
    wanted, first, sample = np.zeros(songs, dtype=bool), 0, []
    wanted[chosen] = True

    def seen() -> Iterator[Block]:
        nonlocal first
        for names, vectors in blocks(inputs, config.kind):
            sample.append(vectors[wanted[first : first + len(names)]])
            first += len(names)
            yield names, vectors

    mean = mean_vector(seen())
    return mean, np.concatenate(sample)


def _remote(store: Store) -> bool:
    return store.root.startswith("s3://")


def _key(inputs: Inputs, config: SimilarConfig) -> str:
    parts: list[Any] = [inputs.vectors.digest, config.kind, digest_of_code(*CODE)]
    if wants_index(inputs, config):
        parts += [config.seed, version("faiss-cpu")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
