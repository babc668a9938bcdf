"""The pages from tables and audio: the sound that plays is the one the frames pointed at."""

import io
import json
import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluation.comparison.cells import Summary
from features.spec import FeatureSpec
from infra.errors import ConfigError
from infra.root import layout
from infra.storage.store import Store
from jobs.evaluate import job as evaluate
from jobs.evaluate.labels import read_labels
from jobs.report import job as report
from tests.jobs.report.audio_roots import ARTISTS, add_study, config_of, planted_song, write_audio_root
from tests.jobs.scored_roots import COMPONENTS, SPEC


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return write_audio_root(tmp_path, monkeypatch)


def page_of(root: Path, path: str = "index.html") -> str:
    return (root / "report" / path).read_text()


def loudest_hertz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.fft.rfftfreq(len(samples), 1 / SPEC.sample_rate)[spectrum.argmax()]


def sound_of(root: Path, name: str) -> np.ndarray:
    return soundfile.read(io.BytesIO((root / "report/audio" / name).read_bytes()))[0]


def test_the_sound_of_a_component_is_cut_where_it_is(root: Path):
    report.run(config_of(root))
    page = page_of(root, "component/0.html")
    sources = re.findall(r'src="\.\./audio/([^"]*)"', page)
    assert len(sources) == 3
    for source in sources:
        clip = sound_of(root, source)
        assert loudest_hertz(clip) == pytest.approx(800, abs=3)
        spectrum = np.abs(np.fft.rfft(clip * np.hanning(len(clip))))
        assert spectrum[round(400 * len(clip) / SPEC.sample_rate)] < 0.03 * spectrum.max()
    assert "0:04.0 to 0:07.0, 100\xa0% this sound" in page
    assert "Next to all the music it sounds very loud" in page


def made_from(root: Path, spec: FeatureSpec) -> None:
    """The root's features say that they were made from this, of which the configuration knows nothing."""
    (path,) = root.glob("features/*/spec.json")
    path.write_text(json.dumps(spec.to_json()))


def test_the_columns_are_those_of_the_models_features(root: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    made_from(root, replace(SPEC, features=("mel",), n_mels=SPEC.n_features))
    report.run(config_of(root))
    assert "Attacks" not in page_of(root, "component/0.html")
    assert any("Tone, Attacks: left out" in message for message in caplog.messages)


def test_the_sound_is_cut_where_the_models_excerpts_are(root: Path):
    """Excerpts of the middle 6 of 8 seconds: what is 4 s from their start is 5 s from the track's."""
    made_from(root, replace(SPEC, excerpt="middle", excerpt_seconds=6.0))
    report.run(config_of(root))
    assert "0:05.0 to 0:08.0, 100\xa0% this sound" in page_of(root, "component/0.html")


def test_segments_are_of_different_artists(root: Path):
    report.run(config_of(root))
    for number in (0, 1):
        artists = re.findall(r'class="where"><bdi>(\w+)</bdi>', page_of(root, f"component/{number}.html"))
        assert len(artists) == len(set(artists)) == 3


def test_a_songs_bands_and_sound_agree(root: Path):
    report.run(config_of(root, "report.song_seconds=6"))
    for number in range(1, 7):
        page, sound = page_of(root, f"song/{number}.html"), sound_of(root, f"song-{number}.mp3")
        assert len(sound) / SPEC.sample_rate == pytest.approx(6.0, abs=0.15)
        assert 'data-seconds="6.00" data-step="0.25"' in page
        bands = [[int(x) for x in row.split()] for row in re.findall(r'data-shares="([^"]*)"', page)]
        numbers = re.findall(r'<li data-shares[^>]*><a class="component" href="../component/(\d)', page)
        there = bands[numbers.index("0")]
        assert len(there) == 24
        assert there[:15] == [0] * 15
        assert there[17:] == [100] * 7
        for second, hertz in ((2, 400), (5, 800)):
            part = sound[int((second - 0.5) * SPEC.sample_rate) : int((second + 0.5) * SPEC.sample_rate)]
            assert loudest_hertz(part) == pytest.approx(hertz, abs=3)


def test_songs_like_a_song_are_those_with_like_shares(root: Path):
    """Shares differ by 0.01 from song to song, so the nearest to the first in the row are the next ones."""
    report.run(config_of(root, "report.songs=1", "similar.same_group=true"))
    page = page_of(root, "song/1.html")
    name = re.findall(r"<h1><bdi>&lt;b&gt;(\d)&amp;.wav", page)[0]
    order = [int(x) for x in re.findall(r"<li><div><bdi>&lt;b&gt;(\d)&amp;.wav", page)]
    assert sorted([*order, int(name)]) == list(range(6))
    assert abs(order[0] - int(name)) == 1
    assert "left out" not in page


@pytest.mark.parametrize("kind", ["soft_sqrt", "responsibility"])
def test_songs_of_the_same_artist_are_not_like_it_and_terms_are_of_what_is_compared(root: Path, kind: str):
    """Songs 0 to 2 are of one artist. Only components 0 and 1 differ between songs."""
    report.run(config_of(root, f"similar.kind={kind}"))
    change = {"soft_sqrt": lambda s: np.sqrt(0.5 * s + 0.5 / COMPONENTS), "responsibility": np.asarray}[kind]
    vectors = np.stack([change(planted_song(i, artist).shares) for i, artist in enumerate(ARTISTS)])
    centred = vectors - vectors.mean(axis=0)
    units = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    seen = 0
    for number in range(1, 7):
        page = page_of(root, f"song/{number}.html")
        assert "those of the same group left out" in page
        mine = int(re.findall(r"<h1><bdi>&lt;b&gt;(\d)&amp;.wav", page)[0])
        listed = page.partition('<ol class="like">')[2].partition("</ol>")[0].split("<li>")[1:]
        order = [int(re.findall(r"<bdi>&lt;b&gt;(\d)&amp;.wav", item)[0]) for item in listed]
        assert sorted(order) == [i for i, artist in enumerate(ARTISTS) if artist != ARTISTS[mine]]
        for other, item in zip(order, listed, strict=True):
            terms = units[mine] * units[other]
            told = [
                text.split(", both ")
                for text in re.findall(r'<span class="soft small">(-?\d.*?)</span>', item)[1:]
            ]
            wanted = [k for k in np.argsort(-terms)[:3].tolist() if terms[k] > 5e-7]
            assert [float(value) for value, _ in told] == pytest.approx(
                [terms[k] for k in wanted], abs=0.0051
            )
            assert [both for _, both in told] == [["less", "more"][int(units[mine][k] > 0)] for k in wanted]
            assert [int(k) for k in re.findall(r'<span class="badge k k(\d)">', item)] == wanted
            seen += len(wanted)
    assert seen > 10


def test_file_names_and_labels_are_text(root: Path):
    report.run(config_of(root))
    for path in (root / "report").rglob("*.html"):
        page = path.read_text()
        assert re.findall(r"<script[^>]*>", page.replace("../", "")) == [
            '<script defer src="search.js">',
            '<script defer src="page.js">',
        ]
        assert "<i>tag" not in page
        assert "<b>0" not in page
    assert "bad/&lt;script&gt;.wav" in page_of(root, "corpus.html")
    assert "&lt;i&gt;tag&lt;/i&gt;" in page_of(root, "song/1.html")


def test_the_pages_have_the_corpus_the_curves_and_no_scores_yet(root: Path):
    report.run(config_of(root))
    assert "7 files, 6 of them usable" in page_of(root, "corpus.html")
    assert "silence only" in page_of(root, "corpus.html")
    scores = page_of(root, "scores.html")
    assert "after epoch 1 of 3: bound -8.00 nats per frame, held-out -8.50" in scores
    assert "No labels to predict" in scores


def test_a_file_that_has_gone_is_said_to_have_gone(root: Path):
    for path in (root.parent / "music").rglob("*.wav"):
        path.write_bytes(b"not audio any more")
    (root.parent / "music/bob/<b>3&.wav").unlink()
    report.run(config_of(root))
    assert not (root / "report/audio").exists()
    page = page_of(root, "component/0.html")
    assert "Cannot be played: the file has gone" in page
    assert "no decoder" in page
    assert all("Cannot be played" in page_of(root, f"song/{n}.html") for n in range(1, 7))


def test_they_are_made_once_and_again_when_scores_arrive(root: Path):
    config = config_of(root)
    assert report.run(config).made
    assert not report.run(config).made
    assert report.run(config_of(root, "report.segments=1")).made
    assert report.run(config).made
    store = Store(str(root))
    rows = [
        Summary(
            n,
            "style",
            "accuracy",
            m,
            0.0,
            m,
            m,
            6,
            2,
            "x",
            ours=n.startswith("HDPGMM"),
            simple=n == "G1",
        )
        for n, m in (("G1", 0.5), ("HDPGMM soft posterior", 0.75), ("HDPGMM sqrt posterior", 1.0))
    ]
    about = {b"hdpgmm": b'{"key": "k", "notes": [["style", "a note"]]}'}
    store.write(layout.scores("m1", layout.SUMMARY), evaluate.encode_rows(Summary, rows, about))
    assert report.run(config).made
    assert "the right style is found for 75 % of the songs, for 50 % from the best simple" in page_of(root)
    assert "a note" in page_of(root, "scores.html")
    add_study(root)
    assert report.run(config).made
    assert "train.splash" in page_of(root, "scores.html")
    assert (root / "report/study/0.png").read_bytes() == (root / "sweeps/train.splash/sweep.png").read_bytes()
    assert not report.run(config).made


def test_a_label_of_too_few_songs_is_not_compared_with(root: Path):
    """Six songs have the tag, three of them each style."""
    report.run(config_of(root))
    few = page_of(root, "component/0.html")
    assert "&lt;i&gt;tag&lt;/i&gt; (6)" in few
    assert "style0 (3)" not in few
    assert report.run(config_of(root, "interpret.min_songs=3")).made
    assert "style0 (3)" in page_of(root, "component/0.html")


def test_what_is_no_longer_shown_goes(root: Path):
    report.run(config_of(root))
    before = {path.relative_to(root) for path in (root / "report").rglob("*.*")}
    (root / "report/mine.txt").write_text("kept")
    report.run(config_of(root, "report.songs=2", "report.components=1", "report.segments=1"))
    after = {path.relative_to(root) for path in (root / "report").rglob("*.*")}
    assert {path.name for path in after if path.parent.name == "song"} == {"1.html", "2.html"}
    assert {path.name for path in after if path.parent.name == "component"} == {"1.html"}
    assert {path.name for path in after if path.suffix == ".mp3"} == {
        "component-1-1.mp3",
        "song-1.mp3",
        "song-2.mp3",
    }
    assert len(after) < len(before)
    assert (root / "report/mine.txt").exists()


def test_an_interrupted_report_is_made_again(root: Path, monkeypatch: pytest.MonkeyPatch):
    """The disk fails at the last file but one: the old first page stays, and says that it is old."""
    report.run(config_of(root))
    old, stage = page_of(root), Store.stage

    def fail(store: Store, path: str, data: bytes) -> str:
        if path == "report/corpus.html":
            raise OSError("disk full")
        return stage(store, path, data)

    monkeypatch.setattr(Store, "stage", fail)
    with pytest.raises(OSError, match="disk full"):
        report.run(config_of(root, "report.songs=2"))
    assert page_of(root) == old
    monkeypatch.setattr(Store, "stage", stage)
    assert report.run(config_of(root, "report.songs=2")).made


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
