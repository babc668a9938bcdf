"""A model of one root applied to the songs of another: the same vectors as where it was trained, and nothing else."""

import re
from pathlib import Path

import numpy as np
import pytest

from features.spec import DEFAULT_PRESET, PRESETS, fingerprint
from hdpgmm.ragged import packed
from infra.config import load
from infra.errors import ConfigError
from infra.root import layout, models
from infra.root.ledger import Tree
from infra.storage.parquet import decode
from infra.storage.store import Store
from jobs.evaluate.inputs import find_inputs
from jobs.represent import job as represent
from tests.jobs.scored_roots import make_songs, write_features, write_tracks
from tests.jobs.trees import write_model

SONGS = make_songs(24)
FEW = SONGS[:7]
KINDS = ("posterior_log", "posterior_sqrt", "soft_sqrt", "responsibility", "expected")


@pytest.fixture
def there(any_root: str) -> str:
    """A root with 24 songs and a model of them."""
    store = Store(any_root)
    write_tracks(store, SONGS)
    write_features(store, SONGS)
    write_model(
        store, "m", packed([song.frames for song in SONGS]), 5, features=PRESETS[DEFAULT_PRESET].to_json()
    )
    return any_root


@pytest.fixture
def here(tmp_path: Path) -> Store:
    """Another root, with 7 of the songs and no model."""
    store = Store(str(tmp_path / "here"))
    write_tracks(store, FEW)
    write_features(store, FEW)
    return store


def vectors(store: Store, run: str) -> dict[str, dict[str, np.ndarray]]:
    snapshot = Tree(store, layout.vectors(run)).latest("default")
    assert snapshot is not None
    rows = [row for shard in snapshot.shards for row in decode(store.read(shard.path)).to_pylist()]
    return {row["track_id"]: {kind: np.array(row[kind]) for kind in KINDS} for row in rows}


@pytest.mark.s3
@pytest.mark.usefixtures("without_ray")
def test_songs_get_the_vectors_that_they_have_where_it_was_trained(there: str, here: Store) -> None:
    config = load(root=here.root)
    text = represent.plan_text(config, there)
    assert text == "represent: 7 of 7 songs are to be computed with model m"
    assert here.names(layout.MODELS) == []  # a plan copies nothing
    with pytest.raises(ConfigError, match=r"model m of .* is not in .*: run python -m jobs.represent --root"):
        find_inputs(here, "default", there)
    assert represent.run(config, there) == represent.Represented("m", 7, 7)
    assert represent.run(config, f"{there}/models/m") == represent.Represented("m", 7, 0)
    assert represent.run(load(root=there)).songs == 24
    trained, applied = vectors(Store(there), "m"), vectors(here, "m")
    assert applied.keys() == {song.track_id for song in FEW}
    for track, kinds in applied.items():
        for kind, vector in kinds.items():
            np.testing.assert_allclose(vector, trained[track][kind], atol=1e-5)
    assert models.choose(here, None).origin["root"] == there
    for name in (there, f"{there}/models/m", "m", None):
        assert find_inputs(here, "default", name).model == "m"


@pytest.mark.usefixtures("without_ray")
def test_it_works_on_when_the_other_root_is_gone(tmp_path: Path, here: Store) -> None:
    there = tmp_path / "there"
    write_model(Store(str(there)), "m", packed([song.frames for song in SONGS]), 5)
    represent.run(load(root=here.root), str(there))
    there.rename(tmp_path / "away")
    assert represent.run(load(root=here.root), "m") == represent.Represented("m", 7, 0)
    assert represent.run(load(root=here.root)).model == "m"
    with pytest.raises(ConfigError, match="no models there"):
        represent.run(load(root=here.root), str(there))


@pytest.mark.usefixtures("without_ray")
def test_a_model_of_other_features_is_refused_before_anything_is_copied(tmp_path: Path, here: Store) -> None:
    there, spec = Store(str(tmp_path / "there")), PRESETS["log-mel-128"]
    write_model(there, "m", packed([song.frames for song in SONGS]), 5, features=spec.to_json())
    mine, features = fingerprint(PRESETS[DEFAULT_PRESET]), ", ".join(PRESETS[DEFAULT_PRESET].features)
    words = (
        f"model m was trained on features {fingerprint(spec)}, of which corpus 'default' has none: "
        f"it has {mine}, which differ in features nothing and [{features}], "
        "kind log-mel and nothing (the model's first); run"
    )
    with pytest.raises(ConfigError, match=re.escape(words)):
        represent.run(load(root=here.root), there.root)
    assert here.names(layout.MODELS) == here.names(layout.VECTORS) == []


def test_the_pipeline_refuses_it_before_it_extracts(tmp_path: Path) -> None:
    from jobs.pipeline import job as pipeline

    there = Store(str(tmp_path / "there"))
    write_model(
        there, "m", packed([song.frames for song in SONGS]), 5, features=PRESETS[DEFAULT_PRESET].to_json()
    )
    config = load(None, ("extract.preset=log-mel-128",), root=str(tmp_path / "here"), music=str(tmp_path))
    with pytest.raises(ConfigError, match=re.escape("the settings of extract make") + ".*set extract"):
        pipeline.run(config, model=there.root)
    for other in ({"incremental": True}, {"retrain": True}):
        with pytest.raises(ConfigError, match="--model: nothing is trained with a model given"):
            pipeline.run(config, model=there.root, **other)
    assert not (tmp_path / "here/features").exists()
