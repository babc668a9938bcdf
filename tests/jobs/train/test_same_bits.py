"""`HDPGMM.fit` on songs in memory and `jobs.train` on the same songs: one loop, the same bits."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hdpgmm.estimator import HDPGMM
from hdpgmm.memory import GROUP_FRAMES, group_bounds, name
from hdpgmm.schedule import Epoch
from hdpgmm.serialization import to_arrays
from infra.config import load
from infra.root import models
from infra.storage.store import Store
from jobs.train import job as train
from jobs.train.trainer import settings
from tests.jobs.trees import clustered_songs, commit_shard, feature_tree, publish

pytestmark = pytest.mark.ray

SETTINGS = (
    *("train.n_components=12", "train.n_atoms=4", "train.batch_songs=8", "train.epochs=30"),
    *("train.threads=1", "train.data_workers=2", "train.checkpoint_steps=5", "train.seed=3"),
)


@pytest.mark.parametrize(
    ("n_songs", "more", "owners"),
    [
        (130, (), 0),
        (130, ("train.n_components=24",), 5),
        (130, ("train.covariance=diag", "train.song_level=sticks"), 0),
        (
            130,
            ("train.batch_songs=null", "train.learn_prior=false", "train.moves=false", "train.epochs=3"),
            0,
        ),
        (40, ("train.seed=0",), 0),
    ],
)
def test_in_memory_and_from_a_root(
    n_songs: int, more: tuple[str, ...], owners: int, tmp_path: Path, ray_session: None
):
    """Row groups and names are those that songs in memory are taken to have. K, arrays, scores, the epoch chosen.

    owners: how many own the songs, and are told apart in training; 0 where nobody knows.
    """
    songs = clustered_songs(1, n_songs=n_songs, n_clusters=6, dim=5, n_frames=60)
    config = load(None, (*SETTINGS, *more), root=str(tmp_path))
    commit(tmp_path, songs)
    groups = [f"artist {number % owners}" for number in range(n_songs)] if owners else None
    if groups:
        list_tracks(tmp_path, groups)
    run = train.run(config).run
    final = models.find(Store(str(tmp_path)), run)
    assert final is not None
    found = models.read_arrays(Store(str(tmp_path)), final)

    chosen = config.train
    model = HDPGMM(
        batch_songs=chosen.batch_songs, max_epochs=chosen.epochs, settings=settings(chosen), seed=chosen.seed
    ).fit(songs, groups=groups)
    arrays = to_arrays(model._state, model._whitening)
    assert model.n_components_ == len(found["count"])
    assert arrays.keys() == found.keys()
    for key, array in arrays.items():
        assert np.array_equal(array, found[key]), key
    rows = json.loads((tmp_path / f"models/{run}/history.json").read_text())
    names = Epoch.__dataclass_fields__.keys()
    assert [{key: row[key] for key in names} for row in rows] == model.history_
    assert all(row["heldout"] is not None for row in rows)


def test_whose_songs_are_whose_makes_another_model(tmp_path: Path, ray_session: None):
    """And a training that others' groups would continue ends; songs that nobody owns are told apart by themselves."""
    songs = clustered_songs(1, n_songs=40, n_clusters=6, dim=5, n_frames=60)
    config = load(None, (*SETTINGS, "train.epochs=1"), root=str(tmp_path))
    commit(tmp_path, songs)
    runs = [train.run(config).run]
    for owners in (3, 4):
        list_tracks(tmp_path, [f"artist {number % owners}" for number in range(40)])
        runs.append(train.run(config).run)
    assert len(set(runs)) == 3
    list_tracks(tmp_path, [*(f"artist {number % 4}" for number in range(40)), "of a new song"])
    again = train.run(config)
    assert (again.run, again.trained) == (runs[2], False)
    list_tracks(tmp_path, [None] * 40)
    again = train.run(config)
    assert (again.run, again.trained) == (runs[0], False)


def list_tracks(root: Path, groups: Sequence[str | None]) -> None:
    """A track list that says whose the songs of `commit` are."""
    (root / "corpus/default").mkdir(parents=True, exist_ok=True)
    names = [name(number) for number in range(len(groups))]
    table = pa.table({"track_id": names, "group": pa.array(groups, pa.string())})
    pq.write_table(table, root / "corpus/default/tracks.parquet")


def commit(root: Path, songs: list[np.ndarray]) -> None:
    """One shard whose row groups are the groups of songs in memory; more than one, and the last one is short."""
    tree = feature_tree(root)
    bounds = group_bounds(np.array([len(song) for song in songs]))
    assert all(sum(map(len, songs[a:b])) <= GROUP_FRAMES for a, b in pairwise(bounds))
    assert len(bounds) > 2 or len(songs) == 40
    named = {name(number): song for number, song in enumerate(songs)}
    publish(tree, [commit_shard(tree, "shard-a", named, sizes=np.diff(bounds).tolist())])
