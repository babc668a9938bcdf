"""What components go with: planted labels are named and hold on other songs, the tables say so, once."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.interpretation.coherence import halves
from evaluation.interpretation.lift import group_codes
from features.spec import columns
from infra.config import Config, load
from infra.errors import ConfigError
from infra.storage.parquet import decode
from infra.storage.store import Store
from jobs.evaluate.inputs import find_inputs
from jobs.evaluate.labels import read_labels
from jobs.interpret import job as interpret
from jobs.interpret import tables as interpret_tables
from jobs.interpret.command import show
from tests.jobs.scored_roots import COMPONENTS, SPEC, make_songs, write_root

SETTINGS = ("interpret.permutations=99", "interpret.shown=4", "evaluate.codewords=6")
MOMENTS = (np.arange(COMPONENTS * 59.0).reshape(COMPONENTS, 59), np.ones((COMPONENTS, 59)))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """72 songs of 24 artists: components 0 to 2 are the styles, 3 and 4 the tag `odd` or not."""
    write_root(tmp_path, make_songs(72, groups=24))
    monkeypatch.setattr(interpret_tables, "gaussians_in_units", lambda *_: MOMENTS)
    return load(None, SETTINGS, root=str(tmp_path))


def rows(config: Config, folder: str, name: str) -> list[dict]:
    return decode(Store(config.root).read(f"{folder}/{name}.parquet")).to_pylist()


def test_components_are_named_after_what_was_planted(config: Config, capsys: pytest.CaptureFixture[str]):
    made = interpret.run(config)
    found = rows(config, made.folder, "associations")
    for component, label in enumerate("abc"):
        mine = [row for row in found if row["component"] == component]
        assert mine[0]["label"] == label
        assert mine[0]["p"] == pytest.approx(0.01)
        assert mine[0]["low"] > 1.5
        assert mine[0]["low"] < mine[0]["lift"] < mine[0]["high"]
        assert [row["npmi"] for row in mine] == sorted((row["npmi"] for row in mine), reverse=True)
        assert mine[-1]["lift"] < 1
    show(Store(config.root), made, config.interpret.shown)
    text = capsys.readouterr().out
    assert "HDPGMM: of the 4 most used" in text
    assert "VQCodebook 6: of the 4 most used" in text


def test_names_are_checked_on_other_songs_and_shuffled_ones_fail(config: Config):
    interpret.run(config)
    summary = json.loads(Store(config.root).read("interpretation/m1/summary.json"))
    ours, words = summary["units"]
    held = {row["component"]: row["holds"] for row in rows(config, "interpretation/m1", "components")}
    assert [held[k] for k in range(3)] == [["a", "first"], ["b"], ["c"]]
    assert (held[3], held[4], held[5]) == ([], ["odd"], [])  # component 3 is of songs that are not odd
    assert ours["names_hold"] == sum(map(bool, held.values()))
    assert ours["names_hold_shuffled"] <= 1
    assert ours["auroc"] > 0.85 > 0.65 > ours["auroc_shuffled"]
    assert words["units"] == "VQCodebook 6"
    assert summary["songs"] == 72
    assert 0.0 <= summary["few_songs_mass"] < 1.0
    assert all(row["groups"] <= row["songs"] for row in rows(config, "interpretation/m1", "components"))


def test_labels_are_tested_by_tempered_responsibilities(config: Config):
    """Where one says something and the other nothing, and the other way round."""
    settings, inputs = config.interpret, find_inputs(Store(config.root), config.corpus, None)
    labels = read_labels(inputs.tracks)
    songs = interpret_tables.songs_with_labels(inputs, labels, settings)
    np.testing.assert_allclose(songs.tempered, 0.5 * songs.shares + 0.5 / COMPONENTS, atol=1e-6)
    noise = np.random.default_rng(0).dirichlet(np.ones(COMPONENTS), len(songs.ids))
    for shares, tempered, holds in ((noise, songs.tempered, True), (songs.shares, noise, False)):
        given = replace(songs, shares=shares, tempered=tempered)
        ours, words = interpret_tables.check(config, inputs, given)
        assert bool(ours.held.any()) is holds
        assert words.held.any()
        found = interpret_tables.associations(given, labels, settings)
        assert bool(min(one.p for one in found) <= 0.01) is holds


def test_without_labels_the_pages_have_no_names_and_no_error(tmp_path: Path):
    write_root(tmp_path, [replace(song, style=None, tags=None) for song in make_songs(12)])
    settings = load(None, SETTINGS, root=str(tmp_path))
    inputs = find_inputs(Store(settings.root), settings.corpus, None)
    songs = interpret_tables.songs_with_labels(inputs, read_labels(inputs.tracks), settings.interpret)
    held = interpret_tables.held_labels(songs, songs.shares[:, [2, 0]], settings.interpret)
    assert (held.shape, songs.ids) == ((0, 2), ())


def test_components_in_the_features_own_units_and_what_makes_a_class(config: Config):
    folder = interpret.run(config).folder
    components = rows(config, folder, "components")
    assert [row["component"] for row in components] == list(range(COMPONENTS))
    assert sum(row["share"] for row in components) == pytest.approx(1.0, abs=1e-5)
    assert components[2]["mean"]["mfcc_00"] == MOMENTS[0][2, 0]
    assert len(components[0]["sd"]) == SPEC.n_features
    assert [name["label"] for name in components[0]["names"]] == ["a", "a"]
    assert min(name["heldout_auroc"] for name in components[0]["names"]) > 0.9
    weights = rows(config, folder, "classes")
    for component, label in enumerate("abc"):
        best = next(row for row in weights if (row["task"], row["class"]) == ("style", label))
        assert best["component"] == component


def test_features_are_called_as_the_model_was_given_them(config: Config):
    """Not as the configuration would have them now: it says nothing of log-mel bands."""
    (path,) = Path(config.root).glob("features/*/spec.json")
    spec = replace(SPEC, features=("mel",), n_mels=SPEC.n_features)
    path.write_text(json.dumps(spec.to_json()))
    first, *_ = rows(config, interpret.run(config).folder, "components")
    assert [*first["mean"]] == columns(spec)
    assert all(name.startswith("mel") for name in first["mean"])


def test_an_auroc_stands_beside_the_label_that_it_is_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The first half calls component 0 after a label that no song of the other half has: that name is not tested."""
    monkeypatch.setattr(interpret_tables, "gaussians_in_units", lambda *_: MOMENTS)
    songs = make_songs(72, groups=24)
    names = sorted(song.track_id for song in songs)
    groups = group_codes([song.group for song in sorted(songs, key=lambda song: song.track_id)])
    first = set(np.array(names)[halves(len(songs), groups, 0)])
    songs = [
        replace(song, tags=["lonely"] if song.style == "a" and song.track_id in first else None)
        for song in songs
    ]
    songs = [
        replace(song, style="b") if song.track_id in first and song.style == "a" else song for song in songs
    ]
    write_root(tmp_path, songs)
    config = load(None, SETTINGS, root=str(tmp_path))
    made = interpret.run(config)
    given = rows(config, made.folder, "components")[0]["names"]
    assert [name["label"] for name in given] == ["lonely", "a"]
    assert given[0]["heldout_auroc"] is None
    show(Store(config.root), made, config.interpret.shown)


def test_a_label_of_too_few_songs_names_nothing(config: Config):
    """Each style has 24 songs and `odd` has 36, so none has 30 in a half, and only `odd` in all."""
    few = load(None, (*SETTINGS, "interpret.min_songs=30"), root=config.root)
    made = interpret.run(few)
    folder = made.folder
    given = {name["label"] for row in rows(few, folder, "components") for name in row["names"]}
    assert given == set()
    assert all(np.isnan([unit["auroc"], unit["auroc_shuffled"]]).all() for unit in made.summary["units"])
    assert {row["label"] for row in rows(few, folder, "associations")} == {"odd"}


def test_it_is_done_once_until_something_changes(config: Config, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    folder = interpret.run(config).folder
    before = rows(config, folder, "associations")
    interpret.run(config)
    assert "is up to date, nothing to do" in caplog.text
    other = load(None, (*SETTINGS, "interpret.seed=1"), root=config.root)
    interpret.run(other)
    assert [row["lift"] for row in rows(config, folder, "associations")] == [row["lift"] for row in before]
    caplog.clear()
    interpret.run(
        load(None, (*SETTINGS, "interpret.seed=1", "evaluate.seed=1"), root=config.root)
    )  # of the codebook
    assert "nothing to do" not in caplog.text


def test_without_labels_there_is_one_line(tmp_path: Path):
    write_root(tmp_path, [replace(song, style=None, tags=None) for song in make_songs(12)])
    with pytest.raises(
        ConfigError, match=r"no label has 5 songs with vectors, .* give a label file to jobs\.index"
    ):
        interpret.run(load(None, SETTINGS, root=str(tmp_path)))
