"""`tests.bench.quality.similar`: how fast are neighbours found, and how many does the index miss? As JSON.

A root with `--songs` made-up vectors of 256 components (square roots of shares, each song between two of 400 kinds) in
shards of 512, and a model. `exact_matrix_ms` is one query against all directions held in memory, `exact_seconds` the
same from the shards, as `jobs.similar` does without an index. `build_seconds`, `build_rss_mb` and `index_mb` are the
index's; `query_ms` and `recall_at_10` by the number of cells searched, over 200 songs that it does not hold, the recall
against the exact ten; `indexed_seconds` is a whole `jobs.similar.run --track` with the index there. `audio_seconds` is
`jobs.similar.run --audio` on 30 s of composed music: `first` in a fresh process with what only it pays for (reading
the model, compiled code), `next` after it. Times are wall times, `_cpu` processor times, which a busy machine lengthens
less.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from evaluation.compose.files import encode as encode_audio
from evaluation.compose.plan import plan
from evaluation.compose.sound.mix import render
from evaluation.neighbours import approximate
from evaluation.neighbours.exact import directions
from features.spec import DEFAULT_PRESET, PRESETS, fingerprint
from hdpgmm.ragged import ragged
from infra.config import Config, load
from infra.root.ledger import Tree
from infra.root.records import quarantine_table, songs_table
from infra.storage.parquet import encode
from infra.storage.store import Store
from jobs.evaluate.inputs import find_inputs
from jobs.similar import job as similar
from jobs.similar.index import blocks, find, prepare
from tests.jobs.trees import write_model

SPEC = PRESETS[DEFAULT_PRESET]
RUN, COMPONENTS, KINDS = "bench", 256, 400
SHARD_SONGS = 512
QUERIES, PROBES = 200, (8, 32, 128)
KIND = "posterior_sqrt"


def made_up(songs: int, seed: int) -> np.ndarray:
    """Vectors (song, component) float32 of unit length: roots of shares scattered between two kinds of music."""
    base = np.random.default_rng(0).gamma(0.05, size=(KINDS, COMPONENTS)) + 1e-4
    base /= base.sum(axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, KINDS, (2, songs))
    part = rng.beta(2, 1, songs)[:, None]
    shares = rng.standard_gamma(60 * (part * base[one] + (1 - part) * base[other]) + 0.002)
    return np.sqrt(shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def write_root(folder: Path, songs: int) -> Config:
    """A root in which jobs.similar finds vectors, a model and a track list."""
    store = Store(str(folder))
    name = fingerprint(SPEC)
    names = [f"album{i // 10:06d}/{i:07d}.mp3" for i in range(songs)]
    tracks = pa.table(
        {"track_id": names, "uri": names, "label_kind": [f"kind {i % 7}" for i in range(songs)]}
    )
    store.write("corpus/default/tracks.parquet", encode(tracks, [songs]))
    features, tree = Tree(store, f"features/{name}"), Tree(store, f"vectors/{RUN}")
    features.write_spec(SPEC.to_json())
    features.publish("default", [], songs_table([]), quarantine_table([]))
    tree.write_spec({"model": RUN, "fingerprint": name})
    commits = []
    for first in range(0, songs, SHARD_SONGS):
        part = names[first : first + SHARD_SONGS]
        commits.append(tree.commit(f"s{first:08d}", _vectors(part, first), [], len(part), [len(part)]))
    living = songs_table(commits).sort_by("track_id")
    tree.publish("default", [commit.reference() for commit in commits], living, quarantine_table([]))
    rng = np.random.default_rng(1)
    frames = rng.normal(size=(20_000, SPEC.n_features)) + 3 * rng.integers(0, 2, (20_000, SPEC.n_features))
    write_model(store, RUN, ragged([500] * 40, frames.astype(np.float32)), COMPONENTS, steps=1)
    return load(None, (f"similar.kind={KIND}",), root=str(folder))


def _vectors(names: list[str], seed: int) -> pa.Table:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(made_up(len(names), seed + 1).ravel()), COMPONENTS)
    n_frames = pa.array([1000] * len(names), pa.int32())
    return pa.table({"track_id": names, "version": ["1"] * len(names), "n_frames": n_frames, KIND: vectors})


def timed(task: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall seconds, processor seconds, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = task()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def searches(config: Config) -> Iterator[tuple[str, Any]]:
    """Figures of the exact search and of the index."""
    inputs = find_inputs(Store(config.root), "default", None)
    exact, by_index = (
        config.similar.model_copy(update={"index": index}) for index in ("exact", "approximate")
    )
    queries = made_up(QUERIES, 10**9)
    plain = prepare(inputs, exact)
    wall, cpu, _ = timed(lambda: find(inputs, exact, plain, queries[0], 10))
    yield "exact_seconds", round(wall, 2)
    yield "exact_seconds_cpu", round(cpu, 2)
    wall, cpu, prepared = timed(lambda: prepare(inputs, by_index))
    yield "build_seconds", round(wall, 1)
    yield "build_seconds_cpu", round(cpu, 1)
    yield "build_rss_mb", round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    path = prepared.index
    yield "index_mb", round(inputs.store.size(path) / 1e6, 1)
    wanted = directions(queries, prepared.mean)
    rows = np.concatenate([directions(vectors, prepared.mean) for _, vectors in blocks(inputs, KIND)])
    wall, cpu, truth = timed(
        lambda: [set(np.argpartition(-(rows @ query), 9)[:10].tolist()) for query in wanted]
    )
    yield "exact_matrix_ms", round(1000 * wall / QUERIES, 2)
    yield "exact_matrix_ms_cpu", round(1000 * cpu / QUERIES, 2)
    index = approximate.mapped(inputs.store.uri(path))
    for probes in PROBES:
        wall, cpu, found = timed(lambda: [approximate.search(index, query, 10, probes) for query in wanted])  # noqa: B023
        hits = [len(best & {i for i, _ in near}) / 10 for best, near in zip(truth, found, strict=True)]
        yield f"recall_at_10_{probes}", round(float(np.mean(hits)), 4)
        yield f"query_ms_{probes}", round(1000 * wall / QUERIES, 3)
        yield f"query_ms_{probes}_cpu", round(1000 * cpu / QUERIES, 3)


def audio(config: Config, folder: Path) -> Iterator[tuple[str, Any]]:
    """Figures of the way from a file to its neighbours, by the index."""
    track = plan(4, 0)[3]
    sound = render(track.song(), 22050, 1, np.random.default_rng(0))
    sound = np.tile(sound, 3)[:, : 30 * 22050]
    (folder / "song.wav").write_bytes(encode_audio(sound, 22050, "wav"))
    for name in ("first", "next"):
        wall, cpu, _ = timed(lambda: similar.run(config, audio=str(folder / "song.wav")))
        yield f"audio_seconds_{name}", round(wall, 2)
        yield f"audio_seconds_{name}_cpu", round(cpu, 2)
    wall, cpu, _ = timed(lambda: similar.run(config, "album000003/0000031.mp3"))
    yield "indexed_seconds", round(wall, 2)
    yield "indexed_seconds_cpu", round(cpu, 2)


def main() -> None:
    """Make the root, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality.similar", description=__doc__)
    parser.add_argument("--songs", type=int, default=100_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="similar-") as name:
        config = write_root(Path(name) / "root", options.songs)
        by_index = config.model_copy(
            update={"similar": config.similar.model_copy(update={"index": "approximate"})}
        )
        result = {"bench": "similar", "songs": options.songs, **dict(searches(config))}
        result |= dict(audio(by_index, Path(name)))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
