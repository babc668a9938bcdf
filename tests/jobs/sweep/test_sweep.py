"""Studies: which models they train, nested parts of the corpus, a table and a figure, continued where they stopped."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from hdpgmm.data.order import subset_mask
from infra.config import load
from infra.errors import ConfigError
from infra.storage.parquet import decode
from infra.storage.store import Store
from jobs.sweep import job as sweep
from jobs.sweep.command import show
from jobs.sweep.plan import corpus_size, over, points_of, with_seed
from jobs.sweep.studies import find_studies, read_study
from jobs.train import job as train
from tests.jobs.scored_roots import make_songs, write_features, write_tracks

SETTINGS = (
    *(
        "train.n_components=8",
        "train.n_atoms=4",
        "train.batch_songs=16",
        "train.moves=false",
        "train.data_workers=1",
    ),
    *(
        "represent.workers=1",
        "evaluate.repeats=1",
        "evaluate.folds=3",
        "evaluate.bootstrap=50",
        "evaluate.codewords=8",
    ),
)


def test_axes_are_multiplied_and_the_first_is_drawn_along():
    points = over(["train.n_components=8, 16", "train.splash=0,0.1"])
    assert [(p.x, p.series) for p in points] == [
        ("8", "train.splash=0"), ("8", "train.splash=0.1"), ("16", "train.splash=0"), ("16", "train.splash=0.1"),
    ]  # fmt: skip
    assert with_seed(points[1], 3) == ("train.n_components=8", "train.splash=0.1", "train.seed=3")


@pytest.mark.parametrize(
    "axis", ["train.n_components", "n_components=3", "train.n_components=", "train.x= , "]
)
def test_axes_that_are_none(axis: str):
    with pytest.raises(ConfigError, match=r"--over .*: expected section\.key=value,value"):
        over([axis])


def test_the_paper_s_studies_by_name():
    name, points = points_of("regularisation", [], 1000, 20)
    assert (name, [point.x for point in points]) == (
        "regularisation",
        ["0", "0.0001", "0.001", "0.01", "0.1"],
    )
    for study, axes in ((None, []), ("regularisation", ["train.seed=1,2"])):
        with pytest.raises(ConfigError, match="give either --study"):
            points_of(study, axes, 10, 1)
    with pytest.raises(ConfigError, match="--study 'size': expected regularisation or corpus-size"):
        points_of("size", [], 10, 1)


def test_a_larger_corpus_with_as_many_epochs_and_with_as_many_updates():
    points = corpus_size(4096, 20)
    sizes = {point.x for point in points}
    assert sizes == {"64", "256", "1024", "4096"}
    for point in points:
        found = dict(setting.split("=") for setting in point.settings)
        batches = int(found["train.subset"]) / int(found["train.batch_songs"])
        assert (found["train.batch_songs"], found["train.early_stopping"]) == ("32", "false")
        updates = 20 * (4096 if point.series == "same updates" else int(point.x)) / 32
        assert batches * int(found["train.epochs"]) == updates


def test_parts_are_nested_and_random():
    ids = [f"a/{i:04}.mp3" for i in range(500)]
    masks = [subset_mask(ids, n) for n in (10, 100, 499, 500, 900)]
    assert [mask.sum() for mask in masks] == [10, 100, 499, 500, 500]
    for small, large in itertools.pairwise(masks):
        assert not (small & ~large).any()
    assert 30 < np.flatnonzero(masks[1]).mean() / 5 < 70
    order = np.random.default_rng(0).permutation(500)
    np.testing.assert_array_equal(subset_mask([ids[i] for i in order], 100), masks[1][order])


@pytest.mark.ray
@pytest.mark.slow
def test_a_study_is_a_table_and_a_figure_and_runs_again_at_once(
    tmp_path: Path, ray_session: None, capsys: pytest.CaptureFixture[str]
):
    songs = make_songs(60)
    store = Store(str(tmp_path))
    write_tracks(store, songs)
    write_features(store, songs)

    def asked(*axes: str) -> list:
        return [
            (point, [load(None, (*SETTINGS, *with_seed(point, seed)), root=str(tmp_path)) for seed in (0, 1)])
            for point in over(axes)
        ]

    points = asked("train.subset=20,60", "train.epochs=1")
    found = sweep.run(points, "subset")
    folder = found.folder
    rows = decode(store.read(f"{folder}/table.parquet")).to_pylist()
    assert store.read(f"{folder}/sweep.png").startswith(b"\x89PNG")
    ours = [
        row
        for row in rows
        if row["representation"] == "HDPGMM sqrt posterior" and row["metric"] == "accuracy"
    ]
    assert [(row["x"], row["series"], row["models"]) for row in ours] == [
        (size, "train.epochs=1", 2) for size in ("20", "60")
    ]
    assert [row["updates"] for row in ours] == [2, 4]
    assert all(row["low"] <= row["mean"] <= row["high"] for row in rows)
    show(found.rows)
    assert "HDPGMM log posterior" in capsys.readouterr().out
    (kept,) = find_studies(store, "default")
    assert find_studies(store, "other") == []
    study = read_study(store, kept)
    assert (study.name, len(study.rows)) == ("subset", len(rows))
    assert study.figure == store.read(f"{folder}/sweep.png")
    models = store.names("models")
    assert len(models) == 4
    finished = [store.read(f"models/{name}/final.json") for name in models]
    assert sweep.run(points, "subset").folder == folder
    assert [store.read(f"models/{name}/final.json") for name in models] == finished
    assert decode(store.read(f"{folder}/table.parquet")).to_pylist() == rows


def test_without_a_part_the_model_keeps_its_name():
    config = load(None, (), root="x")
    part = load(None, ("train.subset=9",), root="x")
    from infra.root.records import Snapshot

    snapshot = Snapshot.__new__(Snapshot)
    object.__setattr__(snapshot, "songs", "a/b.parquet")
    assert "subset" not in train.describe(config.train, snapshot, "f")
    assert train.describe(part.train, snapshot, "f")["subset"] == 9
