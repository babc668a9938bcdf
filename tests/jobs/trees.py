"""Committed feature trees of made-up frames, for jobs that start from features."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from features.spec import PRESETS, fingerprint
from infra.ledger import Snapshot, Tree, quarantine_table, songs_table
from infra.storage import Store


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
    """A snapshot of corpus `default` under the fingerprint of the paper-52 preset; ids are s0000, s0001, ...

    `names` are the shards' names, a letter each.
    """
    tree = Tree(Store(str(root)), f"features/{fingerprint(PRESETS['paper-52'])}")
    ids = [f"s{number:04d}" for number in range(len(songs))]
    commits = []
    for shard, members in enumerate(np.array_split(np.arange(len(songs)), shards)):
        parts = [songs[i] for i in members]
        table = _table([ids[i] for i in members], parts)
        full, rest = divmod(len(parts), group)
        sizes = [group] * full + ([rest] if rest else [])
        commits.append(tree.commit(f"shard-{names[shard]}", table, [], len(parts), sizes))
    references = [commit.reference() for commit in commits]
    songs_by_id = songs_table(commits).sort_by("track_id")
    return tree.publish("default", references, songs_by_id, quarantine_table(commits))


def _table(names: list[str], songs: list[np.ndarray]) -> pa.Table:
    lengths = [len(song) for song in songs]
    frames = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(songs).ravel()), songs[0].shape[1])
    offsets = pa.array(np.cumsum([0, *lengths]), pa.int32())
    return pa.table(
        {
            "track_id": names,
            "version": ["1"] * len(songs),
            "n_frames": pa.array(lengths, pa.int32()),
            "frames": pa.ListArray.from_arrays(offsets, frames),
        }
    )
