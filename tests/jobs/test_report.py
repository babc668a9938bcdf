"""The page from tables and audio: the sound that plays is the one the frames pointed at."""

import base64
import io
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from evaluation.compare import Summary
from infra.config import Config, load
from infra.errors import ConfigError
from infra.storage import Store
from jobs import evaluate, report, report_components
from jobs.report_corpus import read_labels
from tests.jobs.scored_roots import COMPONENTS, MARK, SPEC, Song, write_root, write_tones, write_tracks

SECONDS = 8.0
START, STOP = 4.0, 7.0  # where component 0 is, and the tone an octave higher
FRAMES = 1 + int(SECONDS * SPEC.sample_rate) // SPEC.hop_length


def planted_song(i: int, artist: str) -> Song:
    """Component 0 from second 4 to 7, component 1 elsewhere; said by feature 20, which the fake model reads."""
    frames = np.zeros((FRAMES, SPEC.n_features), np.float32)
    first, last = (int(t * SPEC.sample_rate / SPEC.hop_length) for t in (START, STOP))
    frames[first:last, 20] = 1.0
    frames[:, 0] = frames[:, 20] * 5  # loud where component 0 is
    share = frames[:, 20].mean() - 0.01 * i
    shares = np.array([share, 0.9 - share, 0.1, *np.zeros(COMPONENTS - 3)])
    return Song(f"{artist}/<b>{i}&.wav", frames, shares, f"style{i % 2}", ["<i>tag</i>"], artist)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six songs of four artists with audio; the model is one that reads the responsibilities off a feature."""
    songs = [planted_song(i, artist) for i, artist in enumerate(["ann", "ann", "ann", "bob", "cyd", "dan"])]
    store = write_root(tmp_path / "root", songs, bad=["bad/<script>.wav"])
    write_tones(tmp_path / "music", songs, SECONDS, 400.0, {s.track_id: slice(START, STOP) for s in songs})
    write_tracks(store, songs, ["bad/<script>.wav"], uri=str(tmp_path / "music"))

    def responsibilities(_: object, values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        assert offsets[-1] == len(values)
        here = values[:, 20]
        return np.column_stack([here, 1 - here, *np.zeros((COMPONENTS - 2, len(values)))])

    monkeypatch.setattr(report, "load_model", lambda _, run: SimpleNamespace(run=run, fingerprint=MARK))
    monkeypatch.setattr(report_components, "frame_responsibilities", responsibilities)
    means = np.arange(COMPONENTS * 3.0).reshape(COMPONENTS, 3) ** 2
    monkeypatch.setattr(report, "component_gaussians", lambda *_: (means, np.ones((COMPONENTS, 3))))
    return tmp_path / "root"


def config_of(root: Path, *settings: str) -> Config:
    return load(None, ("report.components=2", *settings), root=str(root))


def page_of(root: Path) -> str:
    return (root / "report/index.html").read_text()


def cards_of(page: str) -> list[str]:
    return page.split('<article class="card"')[1:]


def clips_of(card: str) -> list[np.ndarray]:
    sources = re.findall(r'src="data:audio/mpeg;base64,([^"]*)"', card)
    return [soundfile.read(io.BytesIO(base64.b64decode(source)))[0] for source in sources]


def test_the_sound_of_a_component_is_cut_where_it_is(root: Path):
    report.run(config_of(root))
    other, planted = cards_of(page_of(root))
    assert "Component 0" in planted
    assert "Component 1" in other
    clips = clips_of(planted)
    assert len(clips) == 3
    for clip in clips:
        spectrum = np.abs(np.fft.rfft(clip * np.hanning(len(clip))))
        hertz = np.fft.rfftfreq(len(clip), 1 / SPEC.sample_rate)
        assert hertz[spectrum.argmax()] == pytest.approx(800, abs=3)
        octave_below = spectrum[np.abs(hertz - 400).argmin()]
        assert octave_below < 0.03 * spectrum.max()
    assert "0:04.0 to 0:07.0, 100 % this sound" in planted
    assert "much louder" in planted


def test_segments_are_of_different_artists(root: Path):
    report.run(config_of(root))
    for card in cards_of(page_of(root)):
        artists = re.findall(r'class="where"><bdi>(\w+)</bdi>', card)
        assert len(artists) == len(set(artists)) == 3


def test_file_names_and_labels_are_text(root: Path):
    report.run(config_of(root))
    page = page_of(root)
    assert "<script" not in page
    assert "<i>tag" not in page
    assert "bad/&lt;script&gt;.wav" in page
    assert "&lt;i&gt;tag&lt;/i&gt;" in page
    assert "silence only" in page


def test_the_page_has_the_corpus_the_curves_and_no_scores_yet(root: Path):
    report.run(config_of(root))
    page = page_of(root)
    assert "7 files, 6 of them usable" in page
    assert "after epoch 1 of 3: bound -8.00 nats per frame, held-out -8.50" in page
    assert "No labels to predict" in page


def test_a_file_that_has_gone_is_said_to_have_gone(root: Path):
    for path in (root.parent / "music").rglob("*.wav"):
        path.write_bytes(b"not audio any more")
    (root.parent / "music/bob/<b>3&.wav").unlink()
    report.run(config_of(root))
    page = page_of(root)
    assert not clips_of(page)
    assert "Cannot be played: the file has gone" in page
    assert "no decoder" in page


def test_it_is_made_once_and_again_when_scores_arrive(root: Path):
    config = config_of(root)
    assert report.run(config).made
    assert not report.run(config).made
    assert report.run(config_of(root, "report.segments=1")).made
    assert report.run(config).made
    store = Store(str(root))
    rows = [
        Summary(n, "style", "accuracy", m, 0.0, m, m, 6, 2, "x")
        for n, m in (("chance", 0.5), ("HDPGMM a", 0.75))
    ]
    about = {b"hdpgmm": b'{"key": "k", "notes": [["style", "a note"]]}'}
    store.write(evaluate.summary_path("m1"), evaluate.encode_rows(Summary, rows, about))
    assert report.run(config).made
    page = page_of(root)
    assert "the right style is found for 75 % of the songs; guessing gets 50 %" in page
    assert "a note" in page


def test_labels_are_named_by_their_column_only_where_two_share_one():
    import pyarrow as pa

    tracks = pa.table(
        {
            "track_id": ["x", "y"],
            "label_style": ["jazz", None],
            "tags_mood": pa.array([["calm", "jazz"], None], pa.list_(pa.string())),
        }
    )
    labels = read_labels(tracks)
    assert labels.words("x") == ("jazz (style)", "calm", "jazz (mood)")
    assert labels.words("y") == ()
    np.testing.assert_array_equal(labels.members(["y", "x", "new"]), [[False, True, False]] * 3)


def test_no_vectors_is_a_wrong_request(tmp_path: Path):
    with pytest.raises(ConfigError, match="no vectors under"):
        report.run(config_of(tmp_path))
