"""The job around the probes: aligned by name, honest about what is missing, done once."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.comparison.cells import Summary
from infra.config import Config, load
from infra.errors import ConfigError
from infra.root import models
from infra.storage.parquet import decode, encode
from infra.storage.store import Store
from jobs.evaluate import job as evaluate
from jobs.evaluate.inputs import align, find_inputs
from jobs.evaluate.table import show
from tests.jobs.scored_roots import FINGERPRINT, make_songs, write_root, write_tracks, write_vectors

pytestmark = pytest.mark.ray

OURS = ["HDPGMM log posterior", "HDPGMM sqrt posterior", "HDPGMM soft posterior", "HDPGMM responsibility"]
SETTINGS = ("evaluate.repeats=2", "evaluate.folds=3", "evaluate.bootstrap=50", "evaluate.codewords=8")


def config_of(root: Path) -> Config:
    return load(None, SETTINGS, root=str(root))


def mean_of(rows: list[Summary], representation: str, task: str, metric: str) -> float:
    (mean,) = [r.mean for r in rows if (r.representation, r.task, r.metric) == (representation, task, metric)]
    return mean


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> tuple[Path, list[Summary], str]:
    """36 songs, one without a vector, one without labels, two files quarantined."""
    root = tmp_path_factory.mktemp("root")
    songs = make_songs(36)
    songs[5] = replace(songs[5], style=None, tags=None)
    store = write_root(root, songs, without_vector=[songs[9].track_id], bad=["x/silent.wav", "x/other.wav"])
    result = evaluate.run(config_of(root))
    assert (result.model, result.tasks, result.computed) == ("m1", 2, 2 * 9)
    found = evaluate.read_summary(store, result.summary)
    assert found is not None
    return root, found[0], " | ".join(note for _, note in found[1])


def test_every_table_has_chance_majority_and_the_simple_models(scored: tuple[Path, list[Summary], str]):
    _, rows, _ = scored
    names = [row.representation for row in rows if (row.task, row.metric) == ("style", "macro_f1")]
    assert names[:3] == ["chance", "majority", "G1"]
    assert names[3:5] == ["VQCodebook 8 log", "VQCodebook 8 sqrt"]
    assert names[5:] == OURS
    for task, metric in (("style", "accuracy"), ("mood", "macro_auroc"), ("mood", "macro_ap")):
        assert [row.representation for row in rows if (row.task, row.metric) == (task, metric)] == names


def test_rows_meet_their_labels(scored: tuple[Path, list[Summary], str]):
    """Track list, features and vectors lie in three different orders, and vectors tell the label exactly."""
    _, rows, _ = scored
    for model in ("G1", "VQCodebook 8 sqrt", "HDPGMM log posterior", "HDPGMM responsibility"):
        assert mean_of(rows, model, "style", "accuracy") > 0.9
    assert mean_of(rows, "HDPGMM sqrt posterior", "mood", "macro_auroc") > 0.95
    assert mean_of(rows, "chance", "style", "accuracy") == pytest.approx(1 / 3, abs=0.1)


def test_repeats_that_coincide_are_told_beneath_the_table(
    scored: tuple[Path, list[Summary], str], capsys: pytest.CaptureFixture[str]
):
    """Here they do not, which is kept with the scores."""
    _, rows, _ = scored
    assert all(abs(row.alike) < 0.9 for row in rows)
    show([replace(row, alike=1.0) if row.task == "mood" else row for row in rows])
    told = [line for line in capsys.readouterr().out.splitlines() if "one and the same split" in line]
    assert [line.partition(":")[0] for line in told] == ["mood"]


def test_what_is_missing_is_counted_and_nobody_moves_up(scored: tuple[Path, list[Summary], str]):
    _, rows, notes = scored
    assert {row.n_songs for row in rows if row.task == "style"} == {34}
    assert "2 tracks have no features" in notes
    assert "1 tracks have no vector" in notes
    assert "1 songs without a label" in notes


def test_all_models_share_the_splits_of_a_task(scored: tuple[Path, list[Summary], str]):
    _, rows, _ = scored
    assert len({row.splits for row in rows if row.task == "style"}) == 1
    assert len({row.splits for row in rows}) == 2


def test_scores_of_every_repeat_are_kept(scored: tuple[Path, list[Summary], str]):
    root, rows, _ = scored
    scores = decode(Store(str(root)).read("scores/m1/grid.parquet")).to_pylist()
    mine = [s["value"] for s in scores if (s["representation"], s["metric"]) == ("G1", "macro_auroc")]
    assert len(mine) == 2
    assert sum(mine) / 2 == pytest.approx(mean_of(rows, "G1", "mood", "macro_auroc"))


def test_the_summary_names_the_cells_it_consists_of(scored: tuple[Path, list[Summary], str]):
    """gc leaves these; here there are no others."""
    root, _, _ = scored
    kept = {f"scores/cells/{path.name}" for path in (root / "scores" / "cells").iterdir()}
    assert evaluate.cells_in_use(Store(str(root))) == kept


def test_run_again_it_does_nothing_until_something_changes(
    scored: tuple[Path, list[Summary], str], capsys: pytest.CaptureFixture[str]
):
    root, _, _ = scored
    config = config_of(root)
    before = Store(str(root)).read("scores/m1/summary.parquet")
    again = evaluate.run(config)
    assert not again.computed
    show(again.summaries, again.differences)
    assert "HDPGMM responsibility" in capsys.readouterr().out
    assert Store(str(root)).read("scores/m1/summary.parquet") == before
    other = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"seed": 1})})
    assert evaluate.run(other).computed
    renamed = [replace(song, style="z" if song.style == "a" else song.style) for song in make_songs(36)]
    write_tracks(Store(str(root)), renamed)
    assert evaluate.run(other).computed


def test_the_recommended_kind_is_printed_against_each_other_model(
    scored: tuple[Path, list[Summary], str], capsys: pytest.CaptureFixture[str]
):
    """Vectors without Fisher have the next kind that is recommended, whichever does best."""
    again = evaluate.run(config_of(scored[0]))
    assert {one.representation for one in again.differences} == {"HDPGMM soft posterior"}
    others = ["majority", "G1", "VQCodebook 8 log", "VQCodebook 8 sqrt"]
    assert [o.other for o in again.differences if (o.task, o.metric) == ("mood", "macro_ap")] == others
    show(again.summaries, again.differences)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("mood, macro ap: ")]
    assert [
        line.split(" - ")[1].split(":")[0].removesuffix(" (the best simple one)") for line in lines
    ] == others
    (named,) = (line for line in lines if "(the best simple one)" in line)
    means = {name: mean_of(list(again.summaries), name, "mood", "macro_ap") for name in others[1:]}
    assert f" - {max(means, key=means.__getitem__)} (the best simple one): " in named


def test_a_published_split_scores_its_test_list_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    songs = [replace(song, group="one") for song in make_songs(40)]
    store = write_root(tmp_path, songs, without_vector=[songs[0].track_id, songs[30].track_id])
    sides = {"train": songs[:18], "valid": songs[18:24], "test": songs[24:36]}
    for part, side in sides.items():
        (tmp_path / f"{part}.txt").write_text("".join(f"{song.track_id}\n" for song in side))
    config = load(None, (*SETTINGS, f"evaluate.split={tmp_path}/{{}}.txt"), root=str(tmp_path))
    assert "17 train, 6 valid, 11 test" in evaluate.plan_text(config)
    result = evaluate.run(config)
    found = evaluate.read_summary(store, result.summary)
    assert found is not None
    rows, notes = found[0], " | ".join(note for _, note in found[1])
    plain = [row for row in rows if (row.representation, row.task) == ("G1", "style")]
    assert {(row.n_songs, math.isnan(row.sd)) for row in plain} == {(11, True)}
    assert mean_of(rows, "HDPGMM log posterior", "style", "accuracy") > 0.9
    assert "2 tracks of the split have no vector" in notes
    assert "11 test songs share a group with the training part" in notes
    assert not evaluate.run(config).computed
    with (tmp_path / "test.txt").open("a") as file:
        file.write(songs[36].track_id + "\n")
    assert evaluate.run(config).computed


def test_models_of_other_seeds_share_the_table_and_what_is_done_is_not_done_again(tmp_path: Path):
    songs = make_songs(36)
    store = write_root(tmp_path, songs, run="one")
    store.delete("models/one/final.json")  # one is finished once
    models.finish(store, "one", {"fingerprint": FINGERPRINT, "seed": 0}, [], {}, 1)
    first = evaluate.run(config_of(tmp_path), "one")
    assert first.computed == 2 * 9
    write_vectors(store, make_songs(36, seed=3), "two")
    models.finish(store, "two", {"fingerprint": FINGERPRINT, "seed": 5}, [], {}, 1)
    write_vectors(store, songs, "other")
    models.finish(store, "other", {"fingerprint": FINGERPRINT, "seed": 6, "kappa": 0.9}, [], {}, 1)
    write_vectors(store, songs[:30], "part")
    models.finish(store, "part", {"fingerprint": FINGERPRINT, "seed": 7}, [], {}, 1)
    second = evaluate.run(config_of(tmp_path), "one")
    assert second.computed == 2 * (4 + 2)  # the second model's four vectors, a second codebook's two
    found = evaluate.read_summary(store, second.summary)
    assert found is not None
    assert {row.representation: row.models for row in found[0]} == {
        **dict.fromkeys(["chance", "majority", "G1"], 1),
        **dict.fromkeys(["VQCodebook 8 log", "VQCodebook 8 sqrt"], 2),
        **dict.fromkeys(OURS, 2),
    }
    assert any("model part, another seed, is left out" in note for _, note in found[1])
    grid = decode(store.read("scores/one/grid.parquet")).to_pylist()
    seeds = {row["seed"] for row in grid if row["representation"] == "HDPGMM log posterior"}
    assert seeds == {0, 5}
    assert evaluate.run(config_of(tmp_path), "two").computed == 0


def test_numbers_plays_and_other_peoples_vectors_stand_in_the_same_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    songs = make_songs(36)
    store = write_root(tmp_path, songs)
    tracks = decode(store.read("corpus/default/tracks.parquet"))
    styles = {song.track_id: float("abc".index(song.style or "a")) for song in songs}
    column = pa.array([styles[track] for track in tracks["track_id"].to_pylist()])
    tracks = tracks.append_column("value_valence", column)
    store.write("corpus/default/tracks.parquet", encode(tracks, [tracks.num_rows]))
    rng = np.random.default_rng(0)
    own = pa.table({"path": [s.track_id for s in songs], "x": [list(rng.normal(size=4)) for _ in songs]})
    pq.write_table(own, tmp_path / "noise.parquet")
    plays = [
        f"u{user}\t{s.track_id}\t1" for user in range(60) for i, s in enumerate(songs) if i % 3 == user % 3
    ]
    (tmp_path / "plays.txt").write_text("\n".join(plays))
    recommendation = (
        f"recommendation.plays={tmp_path}/plays.txt",
        "recommendation.test=20",
        "recommendation.validation=10",
        "recommendation.splits=2",
    )
    more = (
        *recommendation,
        "recommendation.neighbours=[3,9]",
        f"evaluate.vectors=[noise={tmp_path}/noise.parquet]",
    )
    config = load(None, (*SETTINGS, *more), root=str(tmp_path))
    assert "recommendation (36 songs, 60 users)" in evaluate.plan_text(config)
    result = evaluate.run(config)
    assert result.tasks == 4
    rows = evaluate.read_summary(store, result.summary)
    assert rows is not None
    names = [row.representation for row in rows[0] if row.task == "recommendation"]
    assert names[:3] == ["chance", "popularity", "EASE"]
    for row, least in (("HDPGMM sqrt posterior", 0.98), ("EASE", 0.98)):
        assert mean_of(rows[0], row, "recommendation", "ndcg@500") > least
    assert mean_of(rows[0], "noise", "recommendation", "ndcg@500") < 0.8
    assert mean_of(rows[0], "HDPGMM sqrt posterior", "valence", "r2") > 0.9
    assert mean_of(rows[0], "noise", "valence", "r2") < 0.2
    show(result.summaries, result.differences)
    assert re.search(r"valence, r2: HDPGMM .* - noise: \+[01]\.\d+ \[\+", capsys.readouterr().out)
    assert not evaluate.run(config).computed
    with (tmp_path / "plays.txt").open("a") as file:
        file.write(f"\nu0\t{songs[1].track_id}\t1")
    assert evaluate.run(config).computed == 3 + 8


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"path": ["songs/000.wav"], "x": [[1.0]]}, "35 of the 36 songs compared have no vector"),
        ({"title": ["songs/000.wav"], "x": [[1.0]]}, "to name the track; it has title, x"),
        ({"path": ["a", "b"], "x": [[1.0], [1.0, 2.0]]}, "expected a column of lists of equal length"),
        (
            {"path": ["songs/000.wav"] * 2, "x": [1.0, 2.0]},
            "more than one row is of the track 'songs/000.wav'",
        ),
        (None, "noise.parquet: no such file"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    tmp_path: Path, table: dict[str, list[object]] | None, message: str
):
    write_root(tmp_path, make_songs(36))
    if table:
        pq.write_table(pa.table(table), tmp_path / "noise.parquet")
    config = load(None, (*SETTINGS, f"evaluate.vectors=[noise={tmp_path}/noise.parquet]"), root=str(tmp_path))
    with pytest.raises(ConfigError, match=message):
        evaluate.run(config)


def test_a_label_that_one_side_of_the_split_lacks_is_skipped_and_told(tmp_path: Path):
    songs = [replace(song, tags=song.tags if i < 24 else None) for i, song in enumerate(make_songs(36))]
    store = write_root(tmp_path, songs)
    for part, side in {"train": songs[:18], "valid": songs[18:24], "test": songs[24:]}.items():
        (tmp_path / f"{part}.txt").write_text("".join(f"{song.track_id}\n" for song in side))
    result = evaluate.run(load(None, (*SETTINGS, f"evaluate.split={tmp_path}/{{}}.txt"), root=str(tmp_path)))
    found = evaluate.read_summary(store, result.summary)
    assert found is not None
    assert {row.task for row in found[0]} == {"style"}
    assert ("mood", "skipped: no song of the split's test list has a label") in found[1]


def test_a_split_without_a_vector_on_one_side_is_refused(tmp_path: Path):
    songs = make_songs(12)
    write_root(tmp_path, songs, without_vector=[songs[11].track_id])
    for part, side in {"train": songs[:8], "valid": songs[8:11], "test": songs[11:]}.items():
        (tmp_path / f"{part}.txt").write_text("".join(f"{song.track_id}\n" for song in side))
    config = load(None, (*SETTINGS, f"evaluate.split={tmp_path}/{{}}.txt"), root=str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"no track of its train or test list has a vector \(8 train, 3 valid, 0 test"
    ):
        evaluate.run(config)


def test_a_vector_of_an_older_file_is_not_used(tmp_path: Path):
    songs = make_songs(12)
    renewed = [replace(song, version="2") if i < 3 else song for i, song in enumerate(songs)]
    store = write_root(tmp_path, renewed)
    write_vectors(store, songs, "m1")
    living, notes = align(find_inputs(store, "default", "m1"))
    assert living == {song.track_id for song in songs[3:]}
    assert any("3 tracks have no vector, or an outdated one" in note for _, note in notes)


def test_without_labels_there_is_an_empty_table_and_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    songs = [replace(song, style=None, tags=None) for song in make_songs(12)]
    store = write_root(tmp_path, songs)
    result = evaluate.run(config_of(tmp_path))
    assert result.tasks == 0
    show(result.summaries)
    assert "no labels to predict" in capsys.readouterr().out
    found = evaluate.read_summary(store, result.summary)
    assert found is not None
    assert found[0] == []
    assert [task for task, note in found[1] if note.startswith("skipped")] == ["style", "mood"]


def test_the_newest_model_is_taken_unless_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    songs = make_songs(12)
    store = write_root(tmp_path, songs, run="young")
    monkeypatch.setattr(models, "now", lambda: "1999-01-01T00:00:00+00:00")
    write_vectors(store, songs, "old")
    models.finish(store, "old", {"fingerprint": FINGERPRINT}, [], {}, 1)
    assert find_inputs(store, "default", None).model == "young"
    assert find_inputs(store, "default", "old").model == "old"


def test_no_vectors_is_a_wrong_request_that_says_what_to_do(tmp_path: Path):
    write_tracks(Store(str(tmp_path)), make_songs(6))
    for model in (None, "nobody"):
        with pytest.raises(ConfigError, match=r"python -m jobs\.represent --root") as error:
            evaluate.run(config_of(tmp_path), model)
        assert error.value.exit_code == 2


def test_the_plan_names_model_and_tasks(scored: tuple[Path, list[Summary], str]):
    root, _, _ = scored
    text = evaluate.plan_text(config_of(root))
    assert "model m1" in text
    assert re.search(r"style \(3\d songs, 3 labels\)", text)
