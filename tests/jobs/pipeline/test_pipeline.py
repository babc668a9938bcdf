"""The whole thread on composed music: one command, and the same on S3. Each job is killed in tests of its own."""

import csv
from pathlib import Path

import pytest
import ray

from evaluation.compose.corpus import write_corpus
from features.spec import DEFAULT_PRESET, PRESETS, fingerprint
from infra import cli
from infra.config import Config, changed, load
from infra.root import layout
from infra.root.ledger import Tree
from infra.root.records import Snapshot
from infra.root.songs import read_block, read_quarantine, read_songs
from infra.storage.s3 import connect as connect_s3
from infra.storage.store import Store
from jobs.evaluate.job import read_summary
from jobs.interpret import job as interpret
from jobs.pipeline import job as pipeline
from jobs.similar import job as similar
from jobs.upkeep import audit, garbage, gc, status

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TRACKS = 20
SHARDS = 3
SETTINGS = (
    *("train.n_components=16", "train.epochs=3", "train.threads=1", "train.checkpoint_steps=1"),
    *("represent.workers=1", "evaluate.repeats=1", "evaluate.codewords=16", "evaluate.bootstrap=100"),
    *("labels.single=[style]", "labels.multi=[]", "ray.num_cpus=2", "ray.object_store_bytes=268435456"),
)
FEATURES = f"features/{fingerprint(PRESETS[DEFAULT_PRESET])}"


def config_of(root: str, music: str) -> Config:
    return load(None, SETTINGS, root=root, music=music, labels_file=f"{music}/labels.csv")


@pytest.fixture(scope="session")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's corpus, small: 20 tracks and the four broken on purpose."""
    folder = tmp_path_factory.mktemp("composed")
    write_corpus(folder, TRACKS, seed=0, processes=2)
    return folder


@pytest.fixture(scope="session")
def finished(composed: Path, tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Path:
    """The root of a run that nothing disturbed."""
    root = tmp_path_factory.mktemp("finished")
    assert pipeline.run(config_of(str(root), str(composed))).report == str(root / "report/index.html")
    return root


def snapshot_of(root: str, prefix: str) -> Snapshot:
    found = Tree(Store(root), prefix).latest("default")
    assert found is not None
    return found


def only_model(root: str) -> str:
    (run,) = Store(root).names("models")
    return run


def audited(root: str) -> int:
    """The exit code of `python -m jobs.audit`."""
    with pytest.raises(SystemExit) as ended:
        cli.run(audit.main, arguments=["--root", root])
    return ended.value.code or 0  # pyright: ignore[reportReturnType]


def songs_of(root: str) -> dict[str, bytes]:
    """The feature values of every song, as bytes."""
    store, found = Store(root), {}
    for row in read_songs(store, snapshot_of(root, FEATURES)).to_pylist():
        block = read_block(store, row["path"], row["row_group"], [row["row"]])
        assert block.track_ids == [row["track_id"]]
        found[row["track_id"]] = block.values.tobytes()
    return found


def test_one_command_leaves_everything(finished: Path, composed: Path) -> None:
    root, store, run = str(finished), Store(str(finished)), only_model(str(finished))
    features, vectors = snapshot_of(root, FEATURES), snapshot_of(root, f"vectors/{run}")
    assert (features.n_songs, len(features.shards), vectors.n_songs) == (TRACKS, SHARDS, TRACKS)
    quarantine = read_quarantine(store, features).to_pylist()
    with (composed / "planted.csv").open(newline="") as planted:
        expected = {row["file"]: row["reason"] for row in csv.DictReader(planted)}
    assert {row["track_id"]: row["reason"] for row in quarantine} == expected
    assert len(expected) == 4
    scored = read_summary(store, layout.scores(run, layout.SUMMARY))
    assert scored is not None
    assert {"chance", "majority", "G1"} < {row.representation for row in scored[0]}
    assert {row.task for row in scored[0]} == {"style"}
    assert run in (finished / "report/index.html").read_text()


def test_its_audit_passes(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited(str(finished)) == 0
    assert "corpus default: 24 tracks = 20 songs + 4 quarantined" in capsys.readouterr().out


def test_again_at_once_recomputes_nothing(
    finished: Path, composed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file outside runs/ is touched, and Ray is not asked for anything."""
    before = files_of(finished)
    monkeypatch.setattr(ray, "remote", None)
    pipeline.run(config_of(str(finished), str(composed)))
    assert files_of(finished) == before


def files_of(root: Path) -> dict[str, tuple[int, int]]:
    """Every file but the records of runs -> inode and time of change."""
    paths = [path for path in root.rglob("*") if path.is_file() and path.relative_to(root).parts[0] != "runs"]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def test_a_model_of_another_root_is_applied_and_none_is_trained(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few songs, by other composers, in a root of their own; every command goes on from there by address or name."""
    run, before = only_model(str(finished)), files_of(finished)
    write_corpus(tmp_path / "music", 10, seed=1, processes=2)
    config = config_of(str(tmp_path / "root"), str(tmp_path / "music"))
    monkeypatch.setattr(pipeline.train, "run", None)
    ran = pipeline.run(config, model=str(finished))
    assert ran.model == only_model(config.root) == run
    assert files_of(finished) == before
    assert {name.partition("-")[0] for name in Store(config.root).names("runs")}.isdisjoint({"train"})
    assert snapshot_of(config.root, f"vectors/{run}").n_songs == 10
    assert ran.evaluated.model == run
    page = (tmp_path / "root/report/index.html").read_text()
    assert f"It was trained in {finished}." in page
    assert "that had listened to other music" in page
    for model in (str(finished), f"{finished}/models/{run}", run, None):
        assert similar.run(config, first_song(config.root), model=model).model == run
        assert pipeline.evaluate.run(config, model).computed == 0
        assert not pipeline.report.run(config, model).made
    assert (
        interpret.run(
            changed(config, "interpret.min_songs=1", "interpret.permutations=9"), str(finished)
        ).model
        == run
    )
    assert audited(config.root) == 0
    assert not [item for item in gc.run(config.root, -60.0) if item.reason in (garbage.MODEL, garbage.MADE)]
    assert status.run(config)["models"] == [
        (run, "1", *status.run(config)["models"][0][2:3], "yes", str(finished))
    ]
    files = files_of(tmp_path / "root")
    monkeypatch.setattr(ray, "remote", None)
    pipeline.run(config, model=str(finished))
    assert files_of(tmp_path / "root").items() - files.items() == set()


def first_song(root: str) -> str:
    return read_songs(Store(root), snapshot_of(root, FEATURES))["track_id"][0].as_py()


@pytest.mark.s3
def test_on_s3_the_feature_values_are_the_same_bits(finished: Path, composed: Path, s3_root: str) -> None:
    """Music, labels and root are all on S3."""
    music = s3_root.removesuffix("root") + "music"
    for path in composed.rglob("*.*"):
        connect_s3().pipe_file(f"{music}/{path.relative_to(composed).as_posix()}", path.read_bytes())
    assert pipeline.run(config_of(s3_root, music)).report == f"{s3_root}/report/index.html"
    assert songs_of(s3_root) == songs_of(str(finished))
    assert snapshot_of(s3_root, f"vectors/{only_model(s3_root)}").n_songs == TRACKS
    assert audited(s3_root) == 0
