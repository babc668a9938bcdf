"""Vectors: one row per living song, aligned, incremental, refused for other features."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.spec import DEFAULT_PRESET, PRESETS
from hdpgmm.kinds import KINDS
from hdpgmm.ragged import packed
from infra.config import Config, changed, load
from infra.errors import ConfigError
from infra.root import models
from infra.root.ledger import Tree
from infra.root.records import Snapshot
from infra.root.songs import read_songs
from infra.storage.parquet import decode, encode
from infra.storage.store import Store
from jobs.represent import job as represent
from jobs.represent.model import LoadedModel, features_of, frame_responsibilities, load_model
from jobs.represent.plan import Unit
from jobs.represent.worker import Representer
from jobs.upkeep import audit
from tests.faults.processes import actors
from tests.jobs.trees import (
    FINGERPRINT,
    clustered_songs,
    commit_shard,
    commit_songs,
    feature_tree,
    publish,
    write_model,
)

pytestmark = pytest.mark.ray

RUN = "m"
SONGS = clustered_songs(1, n_songs=40, n_clusters=5, dim=4, n_frames=50)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> tuple[Config, str]:
    root = tmp_path_factory.mktemp("root")
    commit_songs(root, SONGS)
    modelled(root)
    config = load(root=str(root))
    assert represent.run(config) == represent.Represented(RUN, 40, 40)
    return config, RUN


def modelled(root: Path) -> None:
    """A model of SONGS."""
    write_model(Store(str(root)), RUN, packed(SONGS), 8)


def vectors(config: Config, run: str) -> pa.Table:
    store = Store(config.root)
    tree = Tree(store, f"vectors/{run}")
    snapshot = tree.latest("default")
    assert isinstance(snapshot, Snapshot)

    tables = [decode(store.read(shard.path)) for shard in snapshot.shards]
    return pa.concat_tables(tables).sort_by("track_id")


def test_one_row_per_song(trained: tuple[Config, str]) -> None:
    table = vectors(*trained)
    assert table["track_id"].to_pylist() == [f"s{i:04d}" for i in range(40)]
    n_components = load_model(Store(trained[0].root), trained[1]).n_components
    stored = [name for name, kind in KINDS.items() if kind.stored]
    assert {"posterior_log", "posterior_sqrt", "soft_sqrt", "responsibility", "expected"} <= {*stored}
    for name in stored:
        kept, width = table.schema.field(name).type, n_components * (2 * 4 if name == "fisher" else 1)
        assert (kept.list_size, str(kept.value_type)) == (width, "halffloat" if name == "fisher" else "float")
    for name in ("responsibility", "expected"):
        np.testing.assert_allclose(np.stack(table[name].to_numpy()).sum(1), 1.0, atol=1e-5)
    for name in ("posterior_sqrt", "soft_sqrt"):
        np.testing.assert_allclose((np.stack(table[name].to_numpy()) ** 2).sum(1), 1.0, atol=1e-5)
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
    songs, table = SONGS, vectors(config, run)
    chosen = [7, 30, 2]
    shares = frame_responsibilities(model, packed([songs[i] for i in chosen]))
    assert shares.values.shape == (sum(len(songs[i]) for i in chosen), model.n_components)
    for i, part in zip(chosen, shares, strict=True):
        np.testing.assert_allclose(part.mean(0), table["responsibility"][i].as_py(), atol=1e-5)


def test_run_again_computes_nothing(trained: tuple[Config, str]) -> None:
    config, run = trained
    assert represent.run(config) == represent.Represented(run, 40, 0)


def test_a_lost_commit_alone_is_computed_again(trained: tuple[Config, str]) -> None:
    config, run = trained
    before = vectors(config, run)
    victim = min((Path(config.root) / f"vectors/{run}/commits").iterdir())
    songs = json.loads(victim.read_text())["rows"]
    victim.unlink()
    assert represent.run(config).computed == songs
    assert vectors(config, run).equals(before)


def test_kinds_that_are_left_out_are_in_no_column_and_in_no_specification(
    tmp_path: Path, without_ray: None
) -> None:
    config = load(root=str(tmp_path))
    commit_songs(tmp_path, SONGS)
    modelled(tmp_path)
    small = changed(config, "represent.without=[fisher, expected]")
    assert represent.run(small).songs == 40
    stored = {name for name, kind in KINDS.items() if kind.stored}
    for names in (vectors(small, RUN).column_names, Tree(Store(config.root), f"vectors/{RUN}").read_spec()):
        assert stored & {*names} == stored - {"fisher", "expected"}
    with pytest.raises(ConfigError, match="has another specification"):
        represent.run(config)
    for name, words in (("soft_sqrt", "cannot be left out"), ("fissher", "no kind of vector is called")):
        with pytest.raises(ConfigError, match=f"represent.without: .*{words}"):
            represent.run(changed(config, f"represent.without=[{name}]"))


def test_only_new_feature_shards_are_computed(tmp_path: Path, without_ray: None) -> None:
    """Songs that leave, come, change and come back."""
    config, tree = load(root=str(tmp_path)), feature_tree(tmp_path)
    modelled(tmp_path)
    named = {f"{i:02}": song for i, song in enumerate(SONGS)}
    old = [commit_shard(tree, name, dict(part)) for name, part in zip("ab", halves(named), strict=True)]
    publish(tree, old)
    assert represent.run(config) == represent.Represented(RUN, 40, 40)

    publish(tree, old, without=[("03", "1"), ("21", "1")])
    assert represent.run(config) == represent.Represented(RUN, 38, 0)
    assert listed(config) == [(name, "1") for name in named if name not in ("03", "21")]

    added = commit_shard(tree, "c", {"97": SONGS[0], "98": SONGS[1], "99": SONGS[2]})
    changed = commit_shard(tree, "d", {"05": SONGS[7]}, version="2")
    publish(tree, [*old, added, changed], without=[("05", "1"), ("21", "1")])
    assert represent.run(config) == represent.Represented(RUN, 42, 4)
    versions = dict(listed(config))
    assert (versions["05"], versions["03"], "21" in versions) == ("2", "1", False)
    rows = {(row["track_id"], row["version"]): row for row in vectors(config, RUN).to_pylist()}
    assert rows["05", "2"]["n_frames"] == len(SONGS[7])
    np.testing.assert_allclose(
        rows["97", "1"]["responsibility"], rows["00", "1"]["responsibility"], atol=1e-5
    )


def halves(songs: dict[str, np.ndarray]) -> list[list[tuple[str, np.ndarray]]]:
    items = list(songs.items())
    return [items[:20], items[20:]]


def listed(config: Config) -> list[tuple[str, str]]:
    """Track and version of the songs of the newest vectors."""
    store = Store(config.root)
    snapshot = Tree(store, f"vectors/{RUN}").latest("default")
    assert snapshot is not None
    songs = read_songs(store, snapshot)
    return list(zip(songs["track_id"].to_pylist(), songs["version"].to_pylist(), strict=True))


class Dying(Representer):
    """Is killed, once, after the first shard that it commits."""

    def represent(self, unit: Unit) -> Iterator[int]:
        yield from super().represent(unit)
        died = Path(self.tree.store.root) / "died"
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_costs_nothing(
    tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_songs(tmp_path, SONGS, shards=8)
    modelled(tmp_path)
    monkeypatch.setattr(represent, "Representer", Dying)
    assert represent.run(load(root=str(tmp_path))).songs == 40
    assert (tmp_path / "died").exists()
    once(tmp_path)


def test_a_killed_driver_and_the_same_command_again(tmp_path: Path, ray_session: None) -> None:
    """SIGKILL after the first commits: another run does the rest, and the bits are those of an undisturbed one."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for root in (killed, whole):
        commit_songs(root, SONGS, shards=20, names="abcdefghijklmnopqrst")
        modelled(root)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, "-m", "jobs.represent", "--root", str(killed), "--set", "represent.workers=1"]
    driver = subprocess.Popen(command, env=environment)
    below: list[int] = []
    commits = killed / f"vectors/{RUN}/commits"
    deadline = time.monotonic() + 240
    while len(list(commits.glob("*.json"))) < 2 and driver.poll() is None:
        assert time.monotonic() < deadline
        below = actors(driver.pid, "Representer") or below
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in below):  # one may be at its last commit
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kept = len(list(commits.glob("*.json")))
    assert 2 <= kept < 20
    assert represent.run(load(root=str(killed))).computed == 2 * (20 - kept)
    once(killed)
    represent.run(load(root=str(whole)))
    assert vectors(load(root=str(killed)), RUN).equals(vectors(load(root=str(whole)), RUN))


def once(root: Path) -> None:
    """Every song has one row, and the audit passes."""
    config = load(root=str(root))
    assert vectors(config, RUN)["track_id"].to_pylist() == [f"s{i:04d}" for i in range(40)]
    assert [track for track, _ in listed(config)] == [f"s{i:04d}" for i in range(40)]
    ids = pa.array([f"s{i:04d}" for i in range(40)])
    sizes = pa.array([1] * 40, pa.int64())
    tracks = pa.table({"track_id": ids, "uri": ids, "bytes": sizes, "version": pa.array(["1"] * 40)})
    Store(str(root)).write("corpus/default/tracks.parquet", encode(tracks, [40]))
    assert audit.run(config).problems == ()


def test_a_model_of_other_features_is_refused(trained: tuple[Config, str]) -> None:
    config, run = trained
    model = load_model(Store(config.root), run)
    assert isinstance(model, LoadedModel)
    other = replace(
        model, fingerprint="0123", features={**PRESETS[DEFAULT_PRESET].to_json(), "hop_length": 256}
    )
    words = (
        f"{run} was trained on features 0123, of which corpus 'default' has none: it has {FINGERPRINT}, which differ "
        "in hop_length 256 and 512 (the model's first); run"
    )
    with pytest.raises(ConfigError, match=re.escape(words)):
        features_of(Store(config.root), "default", other)
    with pytest.raises(ConfigError, match=r"corpus 'nosuch' has none: run python -m jobs\.extract"):
        features_of(Store(config.root), "nosuch", other)


def test_unknown_and_missing_models_are_one_line(trained: tuple[Config, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--model nosuch: no finished model"):
        represent.run(trained[0], "nosuch")
    with pytest.raises(ConfigError, match=re.escape("run python -m jobs.train first")):
        models.choose(Store(str(tmp_path)), None)
