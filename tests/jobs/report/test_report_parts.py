"""The parts of the report's job: the sample, the richest songs, frames in steps, the model's Gaussians."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.figures.clips import encode_mp3
from evaluation.interpretation.lift import Lift, lift_interval
from evaluation.report.corpus import REASONS
from evaluation.report.pages import render
from evaluation.report.records import LabelColumn, Quarantined
from infra.config import ReportConfig, load
from infra.root.schemas import groups_by_track
from infra.storage.store import Store
from jobs.evaluate.inputs import find_inputs
from jobs.evaluate.labels import read_labels
from jobs.extract import work as extract_work
from jobs.interpret.tables import gather, intervals
from jobs.report.audio import Clip
from jobs.report.counts import KEPT, _richest, count_groups
from jobs.report.frames import STEP_SECONDS, in_steps
from jobs.report.songs import SIMILAR, sample_songs, timeline
from tests.evaluation.report.reports import make_report
from tests.jobs.scored_roots import make_songs, write_root


def test_the_sample_takes_as_many_of_every_stratum_and_barely_changes():
    ids = [f"{i}" for i in range(90)]
    strata = {track: "rare" if int(track) < 3 else f"s{int(track) % 2}" for track in ids}
    drawn = sample_songs(ids, strata, 12, 0)
    assert len(set(drawn)) == 12
    assert sum(strata[t] == "rare" for t in drawn) == 3
    assert abs(sum(strata[t] == "s0" for t in drawn) - sum(strata[t] == "s1" for t in drawn)) <= 1
    assert sample_songs(ids[::-1], strata, 12, 0) == drawn
    assert sample_songs(ids, strata, 12, 1) != drawn
    assert len(set(drawn) & set(sample_songs(ids[:-1], strata, 12, 0))) >= 11
    assert len(sample_songs(ids, strata, 500, 0)) == 90


@given(st.integers(1, 300), st.integers(1, 120), st.integers(0, 99))
def test_the_richest_are_those_of_a_sort_whatever_the_parts(n: int, size: int, seed: int):
    share = np.random.default_rng(seed).random((n, 3)).astype(np.float32)
    ids = [f"{i:03d}" for i in range(n)]
    found: list = []
    for i in range(0, n, size):
        found = _richest(found, share[i : i + size], ids[i : i + size])
    for k in range(3):
        assert [track for _, track in found[k]] == [ids[i] for i in np.argsort(-share[:, k])[:KEPT]]


def test_frames_are_averaged_over_their_quarter_of_a_second():
    shares = np.arange(20.0)[:, None]
    np.testing.assert_allclose(in_steps(shares, 16.0, 60)[:, 0], [1.5, 5.5, 9.5, 13.5, 17.5])
    np.testing.assert_allclose(in_steps(shares, 16.0, 0.5)[:, 0], [1.5, 5.5])
    np.testing.assert_allclose(in_steps(shares[:6], 16.0, 60)[:, 0], [1.5, 4.5])


def test_a_timeline_ends_with_its_sound_and_shows_the_strongest_first():
    steps = np.array([[0.2, 0.8, 0.0], [0.2, 0.8, 0.0], [0.9, 0.1, 0.0]])
    line = timeline(steps, (5, 3, 8), Clip(12.0, 2 * STEP_SECONDS, b"mp3"))
    assert line.components == (3, 5)
    np.testing.assert_allclose(line.shares, [[0.8, 0.2], [0.8, 0.2]])
    assert (line.start_seconds, line.seconds) == (12.0, 2 * STEP_SECONDS)


@pytest.mark.parametrize("diagonal", [False, True])
def test_gaussians_of_a_model_are_its_frames_moments(diagonal: bool, monkeypatch: pytest.MonkeyPatch):
    """Two clusters with many frames: means and covariances are theirs, in whitened units."""
    from hdpgmm.estimator import HDPGMM
    from hdpgmm.serialization import to_arrays
    from jobs.represent import model

    rng = np.random.default_rng(0)
    songs = [rng.normal(size=(400, 2)) * (1.0, 0.5) + 9 * (i % 2) for i in range(20)]
    fitted = HDPGMM(n_components=2, covariance_type="diag" if diagonal else "full").fit(songs)
    arrays = to_arrays(fitted._state, fitted._whitening)
    monkeypatch.setattr(model.models, "choose", lambda *_: None)
    monkeypatch.setattr(model.models, "read_arrays", lambda *_: arrays)
    means, covariances = model.component_gaussians(None, "run")  # pyright: ignore
    back = np.linalg.inv(fitted._whitening.transform)
    np.testing.assert_allclose(means @ back + fitted._whitening.mean, fitted.means_, atol=1e-8)
    own = back.T @ covariances @ back
    expected = [np.diag(c) for c in fitted.covariances_] if diagonal else fitted.covariances_
    np.testing.assert_allclose(own, expected, rtol=0.02, atol=0.01)


def test_the_largest_pages_by_default_stay_under_50_megabytes():
    """10^6 songs: as many components, songs and seconds as the settings allow, long names, all tables full."""
    config, report = ReportConfig(), make_report()  # pyright: ignore[reportCallIssue]
    noise = np.random.default_rng(0).normal(0, 0.2, 60 * 22050).astype(np.float32)
    lengths = config.segment_seconds, config.song_seconds
    part, whole = (encode_mp3(noise[: int(s * 22050)], 22050) for s in lengths)
    first, song = report.components[0], report.songs[0]
    shares = np.random.default_rng(1).random((round(config.song_seconds / STEP_SECONDS), 8))
    numbers = tuple(range(config.components))
    name, labels = "x" * 200, tuple(f"label {i} " + "y" * 40 for i in range(20))
    lifts = tuple(Lift(label, 2.0, 9999, 1.5, 3.0) for label in labels)
    segment = replace(first.segments[0], song=name, labels=labels, mp3=part)
    similar = (replace(song.similar[0], name=name, labels=labels),) * SIMILAR
    line = replace(song.timeline, components=numbers[:8], shares=shares, seconds=60.0, mp3=whole)
    component = replace(
        first, lifts=lifts, labels=lifts[:5], segments=(segment,) * config.segments,
        nearest=tuple((k, 1.0) for k in numbers[:6]),
    )  # fmt: skip
    song = replace(
        song,
        name=name,
        labels=labels,
        similar=similar,
        parts=tuple((k, 0.02) for k in numbers),
        timeline=line,
    )
    corpus = replace(
        report.corpus,
        n_songs=10**6,
        labels=tuple(LabelColumn(f"c{i}", tuple((label, 9) for label in labels) * 99, 0) for i in range(9)),
        quarantined=(Quarantined(name, "SILENT", name),) * 10**5,
    )
    full = replace(
        report,
        usage=np.full(config.components, 1 / config.components),
        components=tuple(replace(component, number=k, name=f"{k} " + "y" * 80) for k in numbers),
        songs=tuple(replace(song, number=n) for n in range(1, config.songs + 1)),
        corpus=corpus,
    )
    size = sum(len(content) for _, content in render(full))
    assert 15e6 < size < 30e6, size


def test_every_reason_of_a_quarantined_track_has_a_text():
    assert set(REASONS) == set(extract_work.REASONS)


def test_pages_and_tables_give_a_lift_the_same_interval_over_artists(tmp_path: Path):
    """By way of shards, in parts, as the pages do it, and of arrays in memory, as jobs.interpret does."""
    write_root(tmp_path, make_songs(72, groups=24))
    config = load(None, (), root=str(tmp_path))
    inputs = find_inputs(Store(config.root), config.corpus, None)
    labels = read_labels(inputs.tracks)
    shown = (2, 0, 3)
    low, high = lift_interval(count_groups(inputs, labels, groups_by_track(inputs.tracks), shown))
    songs = gather(inputs, labels, config.interpret)
    expected = intervals(songs.shares, songs.members, songs.groups)
    np.testing.assert_allclose(low, expected[0][:, shown], rtol=1e-5)
    np.testing.assert_allclose(high, expected[1][:, shown], rtol=1e-5)
    ungrouped = intervals(songs.shares, songs.members, None)
    assert not np.allclose(low, ungrouped[0][:, shown], rtol=1e-3)
