"""Committed feature trees of made-up frames, and models, for jobs that start from them."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from features.spec import DEFAULT_PRESET, PRESETS, FeatureSpec, fingerprint
from hdpgmm.data.whitening import moments, whitening
from hdpgmm.ragged import Ragged, offsets_of, ragged
from hdpgmm.serialization import to_arrays
from hdpgmm.training_step import Settings, learn, start
from infra.root import layout, models
from infra.root.checkpoints import Checkpoints
from infra.root.ledger import Tree
from infra.root.records import Commit, Snapshot, quarantine_table, songs_table
from infra.storage.store import Store

FINGERPRINT = fingerprint(PRESETS[DEFAULT_PRESET])


def clustered_songs(seed: int, n_songs: int, n_clusters: int, dim: int, n_frames: int) -> list[np.ndarray]:
    """Songs of well-separated clusters, three of them in each song; (frame, dim) float32."""
    rng = np.random.default_rng(seed)
    centres = 6.0 * rng.normal(size=(n_clusters, dim))
    songs = []
    for _ in range(n_songs):
        length = n_frames + int(rng.integers(0, n_frames))
        used = rng.choice(rng.choice(n_clusters, 3, replace=False), size=length)
        songs.append((centres[used] + rng.normal(size=(length, dim))).astype(np.float32))
    return songs


def commit_songs(
    root: Path | str, songs: list[np.ndarray], shards: int = 3, group: int = 5, names: str = "abcdefgh"
) -> Snapshot:
    """A snapshot of corpus `default` under the fingerprint of the default preset; ids are s0000, s0001, ...

    `names` are the shards' names, a letter each.
    """
    tree = feature_tree(root)
    ids = [f"s{number:04d}" for number in range(len(songs))]
    commits = []
    for shard, members in enumerate(np.array_split(np.arange(len(songs)), shards)):
        named = {ids[i]: songs[i] for i in members}
        commits.append(commit_shard(tree, f"shard-{names[shard]}", named, group=group))
    return publish(tree, commits)


def feature_tree(root: Path | str) -> Tree:
    """Where `commit_songs` puts its shards."""
    return Tree(Store(str(root)), f"features/{FINGERPRINT}")


def commit_shard(
    tree: Tree,
    name: str,
    songs: dict[str, np.ndarray],
    version: str = "1",
    group: int = 5,
    sizes: list[int] | None = None,
) -> Commit:
    """A shard of these songs by id, `group` songs in a row group, or as many as `sizes` says of each."""
    if sizes is None:
        full, rest = divmod(len(songs), group)
        sizes = [group] * full + ([rest] if rest else [])
    return tree.commit(name, _table(list(songs), list(songs.values()), version), [], len(songs), sizes)


def publish(tree: Tree, commits: list[Commit], without: Collection[tuple[str, str]] = ()) -> Snapshot:
    """A snapshot of corpus `default`: all songs of the shards but those, given as (track, version)."""
    tree.write_spec(PRESETS[DEFAULT_PRESET].to_json())
    songs = songs_table(commits).sort_by("track_id")
    keys = zip(songs["track_id"].to_pylist(), songs["version"].to_pylist(), strict=True)
    living = songs.filter(pa.array([key not in without for key in keys]))
    return tree.publish("default", [commit.reference() for commit in commits], living, quarantine_table([]))


def write_model(
    store: Store,
    run: str,
    songs: Ragged[np.ndarray],
    n_components: int,
    steps: int = 3,
    features: Mapping[str, Any] | None = None,
) -> None:
    """A finished model that a few steps on these songs (frame, dim) float32 have learnt, as `jobs.train` leaves one.

    features: the specification that they are said to be of, if not the default preset's.
    """
    whiten, settings = whitening(moments(songs.values)), Settings(n_components=n_components)
    whitened = ragged(songs.lengths, torch.from_numpy(whiten(songs.values)))
    sample, n_frames = whitened.values[:20_000], len(whitened.values)
    state = start(settings, sample, n_frames, len(songs), torch.Generator().manual_seed(0))
    for _ in range(steps):
        state, _ = learn(state, whitened, len(songs), settings)
    Checkpoints(store, layout.model(run)).save(state.step, to_arrays(state, whiten), {}, 1)
    made_of = FeatureSpec.from_json(features) if features else PRESETS[DEFAULT_PRESET]
    provenance = {"fingerprint": fingerprint(made_of), "n_atoms": settings.n_atoms}
    store.delete(layout.final(run))  # one is finished once
    models.finish(store, run, provenance, [], {}, state.step, features=made_of.to_json())


def _table(names: list[str], songs: list[np.ndarray], version: str) -> pa.Table:
    lengths = [len(song) for song in songs]
    frames = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(songs).ravel()), songs[0].shape[1])
    offsets = pa.array(offsets_of(lengths), pa.int32())
    return pa.table(
        {
            "track_id": names,
            "version": [version] * len(songs),
            "n_frames": pa.array(lengths, pa.int32()),
            "frames": pa.ListArray.from_arrays(offsets, frames),
        }
    )
