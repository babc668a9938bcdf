"""`python -m jobs.represent`: a vector for every song of the newest snapshot, with a trained model."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch

from hdpgmm.represent import Vectors, floored_log
from infra import cli
from infra.cluster import connect, n_cpus
from infra.config import Config, load
from infra.ledger import Commit, Snapshot, Tree, quarantine_table, songs_table
from infra.pool import Pool
from infra.progress import Progress
from infra.runs import RunFolder
from infra.songs import read_block, read_songs
from infra.storage import Store
from jobs.model import LoadedModel, load_model, require_features, song_vectors
from jobs.train import training_snapshot

log = logging.getLogger(__name__)

ROW_GROUP_ROWS = 1024
Row = dict[str, object]


@dataclass(frozen=True)
class Unit:
    """The living songs of one feature shard, and the name their vectors' shard has."""

    shard: str
    path: str
    songs: tuple[tuple[str, str, int, int], ...]  # track_id, version, row group, row; sorted by place


@dataclass(frozen=True)
class Represented:
    """The model, its songs, and how many shards this call had to compute."""

    model: str
    songs: int
    computed: int


class Representer:
    """Computes the vectors of one unit at a time and commits them. One thread, model loaded once."""

    def __init__(self, root: str, run: str, top: int) -> None:
        torch.set_num_threads(1)
        self.store, self.top = Store(root), top
        self.model = load_model(self.store, run)

    def represent(self, unit: Unit) -> Iterator[int]:
        """Commit the unit's vectors; yields the songs done, row group by row group."""
        rows: list[Row] = []
        for group in self._groups(unit):
            rows += group
            yield len(group)
        table = vector_table(rows, self.model.n_components)
        sizes = [min(ROW_GROUP_ROWS, len(rows) - start) for start in range(0, len(rows), ROW_GROUP_ROWS)]
        Tree(self.store, vectors_prefix(self.model.run)).commit(unit.shard, table, [], len(unit.songs), sizes)

    def _groups(self, unit: Unit) -> Iterator[list[Row]]:
        for group, members in groupby(unit.songs, key=lambda song: song[2]):
            songs = list(members)
            block = read_block(self.store, unit.path, group, [song[3] for song in songs])
            vectors = song_vectors(self.model, block.values, block.offsets)
            lengths = np.diff(block.offsets).tolist()
            described = [(*song[:2], n_frames) for song, n_frames in zip(songs, lengths, strict=True)]
            yield vector_rows(described, vectors, self.top)


def vectors_prefix(run: str) -> str:
    """Where the vectors of a model lie, relative to the root."""
    return f"vectors/{run}"


def vector_rows(songs: Sequence[tuple[str, str, int]], vectors: Vectors, top: int) -> list[Row]:
    """Rows of the vectors table; songs: their (track_id, version, frames)."""
    shares, components = torch.topk(vectors.responsibility, min(top, vectors.responsibility.shape[1]))
    columns = {
        "track_id": [song[0] for song in songs],
        "version": [song[1] for song in songs],
        "n_frames": [song[2] for song in songs],
        "posterior_log": floored_log(vectors.posterior).numpy(),
        "posterior_sqrt": vectors.posterior.sqrt().numpy(),
        "responsibility": vectors.responsibility.numpy(),
        "expected": vectors.expected.numpy(),
        "log_likelihood": vectors.log_likelihood.tolist(),
        "top_components": components.tolist(),
        "top_shares": shares.tolist(),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def vector_table(rows: list[Row], n_components: int) -> pa.Table:
    """The rows as a table; vectors are fixed-size lists of float32."""
    vector = pa.list_(pa.float32(), n_components)
    schema = pa.schema(
        {
            "track_id": pa.string(),
            "version": pa.string(),
            "n_frames": pa.int32(),
            "posterior_log": vector,
            "posterior_sqrt": vector,
            "responsibility": vector,
            "expected": vector,
            "log_likelihood": pa.float64(),
            "top_components": pa.list_(pa.int32()),
            "top_shares": pa.list_(pa.float32()),
        }
    )
    return pa.Table.from_pylist(rows, schema=schema)


def run(config: Config, model: str | None = None) -> Represented:
    """Compute the vectors that are missing and publish a snapshot of all."""
    store = Store(config.root)
    snapshot, mark = training_snapshot(config, store)
    loaded = load_model(store, model)
    require_features(loaded, mark)
    tree = Tree(store, vectors_prefix(loaded.run))
    tree.write_spec(describe(loaded))
    units = plan(snapshot, read_songs(store, snapshot))
    commits = tree.read_commits(unit.shard for unit in units)
    missing = [unit for unit in units if unit.shard not in commits]
    if missing:
        with connect(config.ray), RunFolder(store, f"runs/represent-{loaded.run}") as folder:
            folder.begin(config.model_dump(mode="json"))
            _compute(config, loaded.run, missing)
            folder.summary({"model": loaded.run, "shards": len(missing)})
        commits = tree.read_commits(unit.shard for unit in units)
    return _publish(config, tree, loaded.run, [commits[unit.shard] for unit in units], len(missing))


def describe(model: LoadedModel) -> dict[str, object]:
    """What the columns of the vectors mean: spec.json of the tree."""
    return {
        "model": model.run,
        "fingerprint": model.fingerprint,
        "n_components": model.n_components,
        "posterior_log": "log(max(p, 1e-8)) of the mean over frames of softmax_k E[log p(x|phi_k)]",
        "posterior_sqrt": "square root of the same mean",
        "responsibility": "mean over frames of the HDP responsibilities",
        "expected": "E[weight of each component in the song]",
        "log_likelihood": "nats per frame, posterior predictive, feature units",
    }


def plan(snapshot: Snapshot, songs: pa.Table) -> list[Unit]:
    """One unit for each feature shard that has living songs; a pure function of the snapshot."""
    digests = {shard["shard"]: shard["digest"] for shard in snapshot.shards}
    columns = ("shard", "path", "row_group", "row", "track_id", "version")
    rows = sorted(zip(*(songs[name].to_pylist() for name in columns), strict=True))
    units = []
    for (shard, path), members in groupby(rows, key=lambda row: row[:2]):
        living = tuple((track, version, group, row) for *_, group, row, track, version in members)
        key = json.dumps([digests[shard], living]).encode()
        units.append(Unit(hashlib.sha256(key).hexdigest()[:24], path, living))
    return units


def _publish(config: Config, tree: Tree, run: str, commits: list[Commit], computed: int) -> Represented:
    songs = songs_table(commits).sort_by("track_id")
    tree.publish(config.corpus, [commit.reference() for commit in commits], songs, quarantine_table([]))
    text = "nothing to do" if not computed else f"{computed} shards computed"
    log.info("represent: %d songs have vectors of model %s, %s", songs.num_rows, run, text)
    return Represented(run, songs.num_rows, computed)


def _compute(config: Config, run: str, units: list[Unit]) -> None:
    size = min(config.represent.workers or n_cpus(), len(units))
    actor: Any = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Representer)
    pool: Pool[Unit] = Pool(
        make=lambda _: actor.remote(config.root, run, config.represent.top),
        call=lambda worker, unit: worker.represent.options(num_returns="streaming").remote(unit),
        size=size,
    )
    with Progress(sum(len(unit.songs) for unit in units), "songs", "represent") as progress:
        for _, songs in pool.run(units):
            progress.advance(songs)


def main(
    root: cli.Root = None,
    config: cli.ConfigFile = None,
    set_: cli.Set = None,
    corpus: cli.Corpus = None,
    model: cli.Model = None,
    dry_run: cli.DryRun = False,
) -> None:
    """Compute a vector for every song. Run again, it computes only what is missing."""
    resolved = load(config, tuple(set_ or ()), root=root, corpus=corpus)
    if dry_run:
        store = Store(resolved.root)
        snapshot, _ = training_snapshot(resolved, store)
        name = load_model(store, model).run
        print(f"represent: {snapshot.n_songs} songs in {len(snapshot.shards)} shards with model {name}")
        return
    run(resolved, model)


if __name__ == "__main__":
    cli.run(main, "represent", "ray")
