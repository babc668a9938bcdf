"""Vectors: one row per living song, aligned, incremental, refused for other features."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from infra import models
from infra.config import Config, load
from infra.errors import ConfigError
from infra.ledger import Snapshot, Tree
from infra.shards import decode
from infra.songs import read_songs
from infra.storage import Store
from jobs import represent, train
from jobs.model import LoadedModel, frame_responsibilities, load_model, require_features
from tests.jobs.trees import clustered_songs, commit_songs

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> tuple[Config, str]:
    root = tmp_path_factory.mktemp("root")
    songs = clustered_songs(1, n_songs=40, n_clusters=5, dim=4, n_frames=50)
    commit_songs(root, songs)
    settings = ("train.n_components=8", "train.n_atoms=4", "train.epochs=3", "train.threads=1")
    config = load(None, settings, root=str(root))
    run = train.run(config).run
    assert represent.run(config) == represent.Represented(run, 40, 40)
    return config, run


def vectors(config: Config, run: str) -> pa.Table:
    store = Store(config.root)
    tree = Tree(store, f"vectors/{run}")
    snapshot = tree.latest("default")
    assert isinstance(snapshot, Snapshot)

    tables = [decode(store.read(shard["path"])) for shard in snapshot.shards]
    return pa.concat_tables(tables).sort_by("track_id")


def test_one_row_per_song(trained: tuple[Config, str]) -> None:
    table = vectors(*trained)
    assert table["track_id"].to_pylist() == [f"s{i:04d}" for i in range(40)]
    n_components = load_model(Store(trained[0].root), trained[1]).n_components
    for name in ("posterior_log", "posterior_sqrt", "responsibility", "expected"):
        assert table.schema.field(name).type.list_size == n_components
    for name in ("responsibility", "expected"):
        np.testing.assert_allclose(np.stack(table[name].to_numpy()).sum(1), 1.0, atol=1e-5)
    np.testing.assert_allclose((np.stack(table["posterior_sqrt"].to_numpy()) ** 2).sum(1), 1.0, atol=1e-5)
    root, log = (np.stack(table[name].to_numpy()) for name in ("posterior_sqrt", "posterior_log"))
    np.testing.assert_allclose(log, np.log(np.maximum(root.astype(np.float64) ** 2, 1e-8)), atol=1e-4)


def test_the_largest_components_are_those_of_the_responsibility(trained: tuple[Config, str]) -> None:
    for row in vectors(*trained).to_pylist():
        share = np.array(row["responsibility"])
        assert len(row["top_components"]) == min(5, len(share))
        np.testing.assert_allclose(share[row["top_components"]], row["top_shares"])
        np.testing.assert_allclose(sorted(share)[::-1][:5], row["top_shares"])


def test_log_likelihood_is_near_the_entropy_of_the_source(trained: tuple[Config, str]) -> None:
    """Frames are unit Gaussians around one of three centres: about -(4/2)(1 + log 2 pi) - log 3 nats, in-sample."""
    expected = -2.0 * (1.0 + np.log(2.0 * np.pi)) - np.log(3.0)
    mean = np.mean(vectors(*trained)["log_likelihood"].to_numpy())
    assert mean == pytest.approx(expected, abs=0.3)


def test_frames_of_a_song_agree_with_its_vector(trained: tuple[Config, str]) -> None:
    config, run = trained
    model = load_model(Store(config.root), run)
    songs, table = clustered_songs(1, 40, 5, 4, 50), vectors(config, run)
    chosen = [7, 30, 2]
    offsets = np.cumsum([0, *(len(songs[i]) for i in chosen)])
    shares = frame_responsibilities(model, np.concatenate([songs[i] for i in chosen]), offsets)
    assert shares.shape == (offsets[-1], model.n_components)
    for i, part in zip(chosen, np.split(shares, offsets[1:-1]), strict=True):
        np.testing.assert_allclose(part.mean(0), table["responsibility"][i].as_py(), atol=1e-5)


def test_run_again_computes_nothing(trained: tuple[Config, str]) -> None:
    config, run = trained
    assert represent.run(config) == represent.Represented(run, 40, 0)


def test_a_lost_commit_alone_is_computed_again(trained: tuple[Config, str]) -> None:
    config, run = trained
    before = vectors(config, run)
    victim = min((Path(config.root) / f"vectors/{run}/commits").iterdir())
    victim.unlink()
    assert represent.run(config).computed == 1
    assert vectors(config, run).equals(before)


def test_a_removed_song_has_no_vector_in_the_next_snapshot(trained: tuple[Config, str]) -> None:
    config, _ = trained
    store = Store(config.root)
    snapshot, _ = train.training_snapshot(config, store)
    songs = read_songs(store, snapshot)
    units = represent.plan(snapshot, songs.slice(1))
    assert sum(len(unit.songs) for unit in units) == 39
    kept = {unit.shard for unit in represent.plan(snapshot, songs)} & {unit.shard for unit in units}
    assert len(kept) == 2


def test_a_model_of_other_features_is_refused(trained: tuple[Config, str]) -> None:
    config, run = trained
    model = load_model(Store(config.root), run)
    assert isinstance(model, LoadedModel)
    with pytest.raises(ConfigError, match=rf"{run} was trained on features .*, these are 0123"):
        require_features(model, "0123456789abcdef")


def test_unknown_and_missing_models_are_one_line(trained: tuple[Config, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--model nosuch: no finished model"):
        represent.run(trained[0], "nosuch")
    with pytest.raises(ConfigError, match=re.escape("run python -m jobs.train first")):
        models.choose(Store(str(tmp_path)), None)
