"""Training through Ray: the same bits however it is run, killed or continued."""

import json
import math
import re
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch

from hdpgmm import schedule, training_step
from hdpgmm.data.order import heldout_mask
from hdpgmm.fit import Progress
from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model import BatchInfo, State, batch_statistics, corpus_bound, prepare
from hdpgmm.ragged import ragged
from hdpgmm.schedule import plateau
from hdpgmm.score import completion
from hdpgmm.serialization import from_arrays
from hdpgmm.training_step import PAPER
from infra.config import Config, load
from infra.errors import ConfigError, Incomplete, JobError
from infra.root import layout, lease, models
from infra.root.checkpoints import Checkpoints
from infra.root.journal import Journal
from infra.root.lease import Lease
from infra.storage.store import Store
from jobs.train import job as train
from jobs.train.checkpointing import Keeper
from jobs.train.events import RolledBack
from jobs.train.feed.worker import DataWorker
from jobs.train.provenance import Assignment
from jobs.train.trainer import Trainer, settings
from tests.jobs.trees import clustered_songs, commit_songs

pytestmark = pytest.mark.ray

SETTINGS = (
    *("train.n_components=12", "train.n_atoms=4", "train.batch_songs=8", "train.checkpoint_steps=3"),
    *("train.epochs=4", "train.threads=1", "train.heldout_fraction=0.2", "train.early_stopping=false"),
    "train.data_workers=1",
)


def config_of(root: Path, *more: str) -> Config:
    return load(None, (*SETTINGS, *more), root=str(root))


def tree(root: Path) -> Path:
    commit_songs(root, clustered_songs(0, n_songs=60, n_clusters=6, dim=5, n_frames=60))
    return root


def arrays(root: Path, run: str) -> dict[str, bytes]:
    store = Store(str(root))
    final = models.find(store, run)
    assert final is not None
    return {name: part.tobytes() for name, part in models.read_arrays(store, final).items()}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> tuple[Path, str]:
    """A finished run that nothing disturbed."""
    root = tree(tmp_path_factory.mktemp("reference"))
    return root, train.run(config_of(root)).run


def test_history_and_summary_describe_the_run(reference: tuple[Path, str]) -> None:
    root, run = reference
    history = json.loads((root / f"models/{run}/history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert history[-1]["heldout"] > history[0]["heldout"] - 0.05
    assert history[-1]["bound"] > history[0]["bound"]
    assert history[-1]["components"] == 6
    weights = json.loads((root / f"models/{run}/summary.json").read_text())["weights"]
    assert len(weights) == history[-1]["n_components"]
    assert sum(weights) == pytest.approx(1.0)


def test_the_last_bound_is_that_of_the_final_model(reference: tuple[Path, str]) -> None:
    """The epoch's figure mixes the states of its steps, which by then hardly move; KL is 0.09 nats a frame here."""
    root, run = reference
    store = Store(str(root))
    final = models.find(store, run)
    assert final is not None
    state, whitening = from_arrays(models.read_arrays(store, final))
    songs = clustered_songs(0, n_songs=60, n_clusters=6, dim=5, n_frames=60)
    heldout = heldout_mask([f"s{i:04d}" for i in range(60)], 0.2, 256, 0)
    training = [song for song, out in zip(songs, heldout, strict=True) if not out]
    whitened = ragged([len(song) for song in training], torch.from_numpy(whitening(np.concatenate(training))))
    _, info = batch_statistics(prepare(state), whitened, LocalOptions(n_atoms=4))
    bound = (info.bound + corpus_bound(state)) / len(whitened.values) + whitening.log_det
    history = json.loads((root / f"models/{run}/history.json").read_text())
    assert history[-1]["bound"] == pytest.approx(bound, abs=0.02)


def test_checkpoints_are_indexed_and_old_ones_forgotten(reference: tuple[Path, str]) -> None:
    root, run = reference
    folder = root / f"models/{run}"
    kept = sorted(path.stem for path in folder.glob("step-*.safetensors"))
    assert kept == sorted(path.stem for path in (folder / "index").iterdir())
    assert len(kept) == 3


def test_run_again_finds_it_complete(reference: tuple[Path, str]) -> None:
    root, run = reference
    assert train.run(config_of(root)) == train.Trained(run, False)


@pytest.mark.parametrize(
    "more",
    [("train.data_workers=2",), ("train.data_workers=3", "train.ahead_bytes=20000"), ("train.threads=2",)],
)
def test_workers_budget_and_threads_do_not_change_a_bit(
    reference: tuple[Path, str], tmp_path: Path, more: tuple
) -> None:
    root, run = reference
    assert train.run(config_of(tree(tmp_path), *more)).run == run
    assert arrays(tmp_path, run) == arrays(root, run)


def test_another_seed_is_another_model(reference: tuple[Path, str], tmp_path: Path) -> None:
    root, run = reference
    other = train.run(config_of(tree(tmp_path), "train.seed=1")).run
    assert other != run
    assert arrays(tmp_path, other) != arrays(root, run)


def test_frames_that_repeat_each_other_count_for_less(tmp_path: Path, ray_session: None) -> None:
    """Every frame three times: r_1 = 2/3, r_2 = 1/3, so that 1 + 2 (4/9 + 1/9) of them count for one."""
    rng = np.random.default_rng(0)
    songs = [np.repeat(rng.normal(size=(40, 5)), 3, axis=0).astype(np.float32) for _ in range(60)]
    commit_songs(tmp_path, songs)
    run = train.run(config_of(tmp_path, "train.epochs=1")).run
    history = json.loads((tmp_path / f"models/{run}/history.json").read_text())
    assert history[-1]["dependence"] == pytest.approx(1.0 + 2.0 * (4 / 9 + 1 / 9), rel=0.05)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    reference: tuple[Path, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, run = reference
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / f"models/{run}"
    (folder / "final.json").unlink()
    *_, previous, newest = sorted(folder.glob("step-*.safetensors"))
    before = int(previous.stem.split("-")[1])
    newest.write_bytes(newest.read_bytes()[:-1])
    assert train.run(config_of(tmp_path)) == train.Trained(run, True)
    assert arrays(tmp_path, run) == arrays(root, run)
    assert [event["checkpoint"] for event in events(tmp_path, run, "damaged")] == [newest.stem]
    assert f"{newest.stem}: the checkpoint is damaged, the one before it is taken" in caplog.messages
    assert events(tmp_path, run, "start")[-1]["step"] == before


def test_a_checkpoint_holds_what_the_run_depends_on(reference: tuple[Path, str]) -> None:
    root, run = reference
    kept = meta(root, run)
    assert [row["epoch"] for row in kept["history"]] == [1, 2, 3, 4]
    assert kept["partial"]["songs"] == 0
    provenance = kept["provenance"]
    snapshot, fingerprint = train.training_snapshot(config_of(root), Store(str(root)))
    assert provenance["songs"] == Path(snapshot.songs).name
    assert provenance["fingerprint"] == fingerprint
    assert {name: provenance[name] for name in ("seed", "epochs", "kappa", "tau0", "batch_songs")} == {
        "seed": 0,
        "epochs": 4,
        "kappa": 0.6,
        "tau0": 1.0,
        "batch_songs": 8,
    }
    assert provenance["versions"] == {name: version(name) for name in ("hdpgmm", "torch", "numpy")}
    final = models.find(Store(str(root)), run)
    assert final is not None
    assert final.provenance == provenance


def test_moves_that_rest_still_rest_after_an_interruption(
    reference: tuple[Path, str], tmp_path: Path
) -> None:
    root, run = reference
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    progress, keeper = keeper_of(tmp_path, run)
    later = replace(progress.state, step=progress.step + 1)
    list(keeper.save(replace(progress, state=later, resting=frozenset({"births"})), best=False, last=True))
    found, _ = keeper_of(tmp_path, run)
    assert (found.step, found.resting) == (progress.step + 1, {"births"})


def keeper_of(root: Path, run: str) -> tuple[Progress, Keeper]:
    """What a trainer would continue from, and who found it."""
    keeper = trainer_of(root, run).keeper
    restoring = keeper.restore()
    while True:
        try:
            next(restoring)
        except StopIteration as ended:
            return ended.value, keeper


def test_other_versions_of_libraries_are_told_and_of_ours_refused(
    reference: tuple[Path, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, run = reference
    left_by(root, tmp_path, run, torch="1.0", numpy=version("numpy"))
    train.run(config_of(tmp_path))
    assert arrays(tmp_path, run) == arrays(root, run)
    changed = f"torch was '1.0', is '{version('torch')}'"
    assert [event["changed"] for event in events(tmp_path, run, "versions")] == [changed]
    assert any(text.endswith(f"the model's last bits may differ: {changed}") for text in caplog.messages)
    left_by(root, tmp_path, run, hdpgmm="0.0.1")
    with pytest.raises(ConfigError, match=re.escape("of another version: hdpgmm was '0.0.1', is '0.1.0'")):
        train.run(config_of(tmp_path))


def left_by(root: Path, copy: Path, run: str, **versions: str) -> None:
    """A copy of the finished run's root in which it has not finished and its checkpoints are of other versions."""
    shutil.copytree(root, copy, dirs_exist_ok=True)
    (copy / f"models/{run}/final.json").unlink()
    for entry in (copy / f"models/{run}/index").iterdir():
        fields = json.loads(entry.read_text())
        fields["meta"]["provenance"]["versions"] |= versions
        entry.write_text(json.dumps(fields))


def events(root: Path, run: str, kind: str) -> list[dict[str, Any]]:
    newest = max(root.glob(f"runs/train-{run}/*-events.jsonl"))
    lines = newest.read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def test_a_run_leaves_samples_of_its_steps_and_a_figure(reference: tuple[Path, str]) -> None:
    root, run = reference
    sample = events(root, run, "step")[0]
    names = {"songs_per_second", "frames_per_second", "wait_share", "batch_bound", "components", "checkpoint"}
    assert names <= sample.keys()
    (figure,) = root.glob(f"runs/train-{run}/*-training.png")
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_checkpoint_of_other_features_is_refused(reference: tuple[Path, str], tmp_path: Path) -> None:
    root, run = reference
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    (tmp_path / f"models/{run}/final.json").unlink()
    for entry in (tmp_path / f"models/{run}/index").iterdir():
        fields = json.loads(entry.read_text())
        fields["meta"]["provenance"]["fingerprint"] = "0123456789abcdef"
        entry.write_text(json.dumps(fields))
    with pytest.raises(ConfigError, match=re.escape("another run: fingerprint was '0123456789abcdef'")):
        train.run(config_of(tmp_path))


def test_nothing_to_train_on_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape("run python -m jobs.extract first")):
        train.run(config_of(tmp_path))
    commit_songs(tmp_path, [np.zeros((20, 5), np.float32)], shards=1)
    with pytest.raises(ConfigError, match="has 1 usable songs, training needs 2"):
        train.run(config_of(tmp_path))


def test_it_ends_where_the_held_out_score_has_converged(tmp_path: Path, ray_session: None) -> None:
    """Of at most 40 epochs few are needed; run again, even without final.json, no step is added."""
    config = config_of(tree(tmp_path), "train.early_stopping=true", "train.epochs=40")
    run = train.run(config).run
    history = json.loads((tmp_path / f"models/{run}/history.json").read_text())
    assert 3 <= len(history) < 40
    assert plateau([row["heldout"] for row in history])
    assert not plateau([row["heldout"] for row in history[:-1]])
    final = models.find(Store(str(tmp_path)), run)
    assert final is not None
    row = history[schedule.best([row["heldout"] for row in history])]
    assert final.step == row["step"]
    assert heldout_score(tmp_path, run) == pytest.approx(row["heldout"], abs=1e-6)
    found = arrays(tmp_path, run)
    (tmp_path / f"models/{run}/final.json").unlink()
    train.run(config)
    assert arrays(tmp_path, run) == found


def heldout_score(root: Path, run: str) -> float:
    """Document completion of the held-out songs of `tree` under the model that is in use, nats a frame."""
    store = Store(str(root))
    state, whitening = from_arrays(models.read_arrays(store, models.choose(store, run)))
    songs = clustered_songs(0, n_songs=60, n_clusters=6, dim=5, n_frames=60)
    kept = heldout_mask([f"s{i:04d}" for i in range(60)], 0.2, 256, 0)
    heldout = [song for song, out in zip(songs, kept, strict=True) if out]
    whitened = ragged([len(song) for song in heldout], torch.from_numpy(whitening(np.concatenate(heldout))))
    total, scored = completion(prepare(state), whitened, LocalOptions(n_atoms=4))
    return total / scored + whitening.log_det


def test_the_model_is_the_checkpoint_of_the_epoch_with_the_best_score(
    tmp_path: Path, ray_session: None
) -> None:
    """Scores are written into the last checkpoint's history. Without the best one's checkpoint the last counts."""
    more = ("train.early_stopping=true", "train.keep_checkpoints=30")
    config = config_of(tree(tmp_path), *more)
    run = train.run(config).run
    folder = tmp_path / f"models/{run}"
    entry = max((folder / "index").iterdir())
    fields = json.loads(entry.read_text())
    *_, before, last = (row["step"] for row in fields["meta"]["history"])
    fields["meta"]["history"][-2]["heldout"] = 0.0
    entry.write_text(json.dumps(fields))
    for expected in (before, last):
        (folder / "final.json").unlink()
        train.run(config)
        assert models.choose(Store(str(tmp_path)), run).step == expected
        for marker in folder.glob(f"index/step-{before:08d}-*.json"):
            marker.unlink()


def test_a_state_that_is_not_finite_is_rolled_back_to_the_last_checkpoint(
    reference: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once: the model is that of an undisturbed run. At the same step again: an error that says where."""
    root, run = reference
    learn, broken = training_step.learn, [7]

    def breaking(state: State, *rest: Any) -> tuple[State, BatchInfo]:
        new, info = learn(state, *rest)
        if new.step in broken:
            broken.remove(new.step)
            return replace(new, stats=new.stats.scaled(math.nan)), info
        return new, info

    monkeypatch.setattr(training_step, "learn", breaking)
    events = list(trainer_of(tree(tmp_path), run).train())
    assert [event for event in events if isinstance(event, RolledBack)] == [RolledBack(7, 6)]
    found = Checkpoints(Store(str(tmp_path)), layout.model(run)).load()
    assert found is not None
    assert {name: part.tobytes() for name, part in found[1].items()} == arrays(root, run)
    shutil.rmtree(tmp_path / "models")
    broken += [7, 7]
    with pytest.raises(JobError, match="step 7: the state is not finite, again"):
        list(trainer_of(tmp_path, run).train())


def test_groups_that_changed_while_a_model_was_trained_are_told(reference: tuple[Path, str]) -> None:
    trainer = trainer_of(*reference)
    assert trainer._probe_songs()[1] is None
    known = {**trainer.assignment.provenance, "groups": "of another day"}
    trainer.assignment = replace(trainer.assignment, provenance=known, tracks="corpus/default/tracks.parquet")
    with pytest.raises(ConfigError, match=r"tracks\.parquet: the groups of its songs have changed since"):
        trainer._probe_songs()


def trainer_of(root: Path, run: str) -> Trainer:
    """A trainer in this process, with a data worker of its own."""
    config = config_of(root)
    snapshot, fingerprint = train.training_snapshot(config, Store(str(root)))
    provenance = train.describe(config.train, snapshot, fingerprint)
    worker: Any = ray.remote(num_cpus=0)(DataWorker)
    assignment = Assignment(str(root), layout.model(run), snapshot.songs, "", provenance, config.train)
    return Trainer(assignment, [worker.remote(str(root))], "cpu")


def test_a_second_run_of_the_same_model_is_refused(
    reference: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, run = reference
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    with Lease(Store(str(tree(tmp_path))), f"runs/train-{run}/lease", f"training of model {run}"):
        with pytest.raises(Incomplete, match=f"training of model {run} is under way"):
            train.run(config_of(tmp_path))
        assert not (tmp_path / f"models/{run}/index").exists()
    assert Journal(Store(str(root)), f"runs/train-{run}/lease").head().is_free


def test_the_best_checkpoint_outlives_newer_ones(tmp_path: Path, ray_session: None) -> None:
    config = config_of(tree(tmp_path), "train.keep_checkpoints=1", "train.epochs=8")
    run = train.run(config).run
    history = json.loads((tmp_path / f"models/{run}/history.json").read_text())
    best = history[schedule.best([row["heldout"] for row in history])]["step"]
    kept = {int(entry.stem.split("-")[1]) for entry in (tmp_path / f"models/{run}/index").iterdir()}
    assert kept == {best, history[-1]["step"]}


def test_moves_are_logged(reference: tuple[Path, str]) -> None:
    root, run = reference
    moves = events(root, run, "move")
    assert {"merge", "delete"} & {event["move"] for event in moves}
    assert all(event["gain"] > 0 for event in moves)


def test_the_papers_settings_are_those_of_the_engine() -> None:
    paper = load("jobs/configs/paper.yaml", (), root="/nowhere").train
    assert settings(paper) == PAPER
    assert (paper.batch_songs, paper.epochs, paper.early_stopping) == (1024, 100, False)


def meta(root: Path, run: str) -> dict:
    found = Checkpoints(Store(str(root)), layout.model(run)).load()
    assert found is not None
    return found[2]
