"""What a search for similar songs needs beside the vectors: their mean and, for many songs, an index, kept by digest.

similar/<model>/<kind>/   index.faiss, ids.parquet (the track of each number) and, written last, about.json
"""

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa

from evaluation.similar import Block, Neighbour, directions, mean_vector, nearest, ranked
from infra.config import SimilarConfig
from infra.shards import decode, encode
from infra.storage import Store
from jobs.evaluate_inputs import Inputs
from jobs.evaluate_vectors import as_matrix, vector_tables


@dataclass(frozen=True)
class Prepared:
    """The mean of all vectors, float64 (dim,), and whether an index lies under `prefix`."""

    prefix: str
    mean: np.ndarray
    indexed: bool


def blocks(inputs: Inputs, kind: str) -> Iterator[Block]:
    """All living songs, a shard of vectors at a time."""
    for table in vector_tables(inputs.store, inputs.vectors, [kind]):
        if table.num_rows:
            yield table["track_id"].to_pylist(), as_matrix(table[kind])


def wants_index(inputs: Inputs, config: SimilarConfig) -> bool:
    """Whether the configuration asks for an index of these songs."""
    if config.index == "auto":
        return inputs.vectors.n_songs >= config.index_from
    return config.index == "approximate"


def known(inputs: Inputs, config: SimilarConfig) -> Prepared | None:
    """What is there already for these vectors and settings."""
    prefix = f"similar/{inputs.model}/{config.kind}"
    try:
        about: dict[str, Any] = json.loads(inputs.store.read(f"{prefix}/about.json"))
    except FileNotFoundError:
        return None
    if about["key"] != _key(inputs, config):
        return None
    return Prepared(prefix, np.array(about["mean"]), about["indexed"])


def prepare(inputs: Inputs, config: SimilarConfig) -> Prepared:
    """The same, made where it is missing: one pass over the vectors for the mean, another for the index."""
    found = known(inputs, config)
    if found is not None:
        return found
    prefix, indexed = f"similar/{inputs.model}/{config.kind}", wants_index(inputs, config)
    mean = _write_index(inputs, config, prefix) if indexed else mean_vector(blocks(inputs, config.kind))
    about = {"key": _key(inputs, config), "indexed": indexed, "mean": mean.tolist()}
    inputs.store.write(f"{prefix}/about.json", json.dumps(about).encode())
    return Prepared(prefix, mean, indexed)


def find(
    inputs: Inputs,
    config: SimilarConfig,
    prepared: Prepared,
    query: np.ndarray,
    k: int,
    without: Collection[str] = (),
) -> list[Neighbour]:
    """The k songs most similar to a vector (dim,), by the index where there is one."""
    if not prepared.indexed:
        return nearest(query[None], blocks(inputs, config.kind), prepared.mean, k, [without])[0]
    from evaluation import approximate

    store, path = inputs.store, f"{prepared.prefix}/index.faiss"
    index = (
        approximate.from_bytes(store.read(path)) if _remote(store) else approximate.mapped(store.uri(path))
    )
    ids = decode(store.read(f"{prepared.prefix}/ids.parquet"))["track_id"]
    (direction,) = directions(query[None], prepared.mean)
    found = approximate.search(index, direction, k + len(without), config.probes)
    return ranked((Neighbour(ids[number].as_py(), cosine) for number, cosine in found), k, without)


def _write_index(inputs: Inputs, config: SimilarConfig, prefix: str) -> np.ndarray:
    """Write index.faiss and ids.parquet; the mean."""
    from evaluation import approximate

    cells = approximate.cells_for(inputs.vectors.n_songs)
    mean, sample = _mean_and_sample(inputs, config, approximate.SAMPLE_PER_CELL * cells)
    ids: list[str] = []

    def all_directions() -> Iterator[np.ndarray]:
        for names, vectors in blocks(inputs, config.kind):
            ids.extend(names)
            yield directions(vectors, mean)

    index = approximate.build(directions(sample, mean), all_directions(), cells, config.seed)
    inputs.store.write(f"{prefix}/index.faiss", approximate.to_bytes(index))
    table = pa.table({"track_id": pa.array(ids, pa.string())})
    inputs.store.write(f"{prefix}/ids.parquet", encode(table, [len(ids)]))
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
    parts: list[Any] = [inputs.vectors.digest, config.kind, version("hdpgmm")]
    if wants_index(inputs, config):
        parts += [config.seed, version("faiss-cpu")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
