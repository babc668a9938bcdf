"""The pages as a parser sees them: balanced, linked, loading nothing from elsewhere, escaped, playable."""

import io
import json
import posixpath
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from evaluation.report.pages import inputs_of, model_of, render
from evaluation.report.records import Epoch, Histogram, Report
from tests.evaluation.report.reports import EVIL, RATE, Reader, hostile, make_report


@pytest.fixture(scope="module")
def report() -> Report:
    return make_report()


@pytest.fixture(scope="module")
def files(report: Report) -> dict[str, bytes]:
    return dict(render(report))


def pages_of(files: dict[str, bytes]) -> dict[str, Reader]:
    return {path: Reader(content) for path, content in files.items() if path.endswith(".html")}


def text_of(files: dict[str, bytes], path: str) -> str:
    return " ".join(" ".join(Reader(files[path]).text).split())


def test_the_first_page_is_written_last_and_names_are_ours(report: Report):
    paths = [path for path, _ in render(hostile(report))]
    assert paths[-1] == "index.html"
    assert len(paths) == len(set(paths))
    assert all(
        re.fullmatch(r"(audio|component|song|study)/[a-z0-9-]+\.(mp3|html|png)|[a-z]+\.(html|css|js)", p)
        for p in paths
    )


def test_every_link_leads_to_a_file(files: dict[str, bytes]):
    reached = set()
    for path, page in pages_of(files).items():
        ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
        targets = [*page.values("a", "href"), *page.values("link", "href"), *page.values("script", "src")]
        for target in [*targets, *page.values("audio", "src"), *page.values("img", "src")]:
            if target.startswith("#"):
                assert target[1:] in ids
            elif target != "data:,":
                reached.add(posixpath.normpath(posixpath.join(posixpath.dirname(path), target)))
    assert reached == set(files)


def test_a_component_says_what_it_is(files: dict[str, bytes]):
    text = text_of(files, "component/7.html")
    for words in (
        "Component 7: jazz club",
        "Next to all the music it sounds very loud and on A, makes up 50 % of the music",
        "30 of 90 songs contain more than a trace of it. It goes with jazz club.",
        "blue.mp3",
        "1:01.5 to 1:04.5, 70 % this sound",
        "Cannot be played: the file has gone",
        "jazz club (50)",
        "rock (40)",
        "under 0.1 %",
        "distance 2.3",
    ):
        assert words in text, words
    assert "No song uses it enough" in text_of(files, "component/1.html")


def test_a_component_shows_its_sound_as_far_as_features_tell(files: dict[str, bytes]):
    page, text = Reader(files["component/7.html"]), text_of(files, "component/7.html")
    told = page.values("div", "aria-label")
    for words in (
        "Highest next to all the music at 500 Hz (+6 dB), lowest at 2 kHz (-2 dB).",
        "Energy by pitch class. Most: A, C.",
        "Level -12.0 ± 3.0 dB, all the music -20.0 ± 8.0 dB.",
    ):
        assert any(words in label for label in told), words
    assert "from 0.4 standard deviations of a slice on" in text
    assert "Loudness very loud +1.7 Brightness as usual -0.1" in text
    assert [tag for tag, _ in page.tags].count("svg") == 3
    none = text_of(files, "component/1.html")
    assert "How it sounds" not in none
    assert "No feature says how loud" in none


def test_only_labels_that_hold_are_names(report: Report, files: dict[str, bytes]):
    """The label's interval lies far above 1; it does not hold, so the component is called by its sound everywhere."""
    assert "Highlighted are those that hold" in text_of(files, "component/7.html")
    first, other = report.components
    heard = replace(first, name="very loud, on A", labels=())
    pages = dict(render(replace(report, components=(heard, other))))
    text = text_of(pages, "component/7.html")
    assert "None holds here" in text
    assert "It goes with" not in text
    assert 'class="ours"' not in pages["component/7.html"].decode()
    for path in ("index.html", "components.html", "song/1.html"):
        assert "very loud, on A" in text_of(pages, path)
        assert "jazz club" not in text_of(pages, path)
    assert b"jazz club" not in pages["search.js"]


def test_a_song_says_which_components_set_it_apart(files: dict[str, bytes]):
    text = text_of(files, "song/1.html")
    assert (
        "Component 7 (jazz club) moves it away from other songs most, by 60 % of its distance from the mean of 90 "
        "songs; around it its slices are louder and darker than the component itself."
    ) in text
    assert "7 jazz club 60 % 90 %, 2 times the usual louder, darker" in text
    assert "1 an ordinary sound 20 % 10 %, less than usual not sure" in text
    assert "2 5.0 % 0.0 %, less than usual smoother" in text
    assert "What sets it apart" not in text_of(files, "song/2.html")


def test_intervals_of_labels_are_drawn(files: dict[str, bytes]):
    page = files["component/7.html"].decode()
    assert "Most: jazz club, 2.5 times (1.8 to 3.2)" in page
    assert 'class="ours"><span class="name">jazz club (50)' in page
    assert 'class=""><span class="name">rock (40)' in page


def test_a_label_of_one_artist_has_no_interval_to_draw(report: Report):
    first, other = report.components
    only = replace(first.lifts[0], label="loner", low=0.0, high=float("inf"))
    lifts = replace(first, labels=(), lifts=(only, *first.lifts[1:]))
    page = dict(render(replace(report, components=(lifts, other))))["component/7.html"].decode()
    assert "Most: loner, 2.5 times (of one artist)." in page
    assert "loner (50, one artist)" in page
    assert "inf" not in page.partition("<main")[2]


def test_a_song_has_a_band_for_each_component_and_knows_songs_like_it(files: dict[str, bytes]):
    page = Reader(files["song/1.html"])
    shares = [[int(x) for x in value.split()] for value in page.values("li", "data-shares")]
    assert [row[0] for row in shares] == [0, 100]
    assert [row[-1] for row in shares] == [100, 0]
    assert page.values("div", "data-seconds") == ["3.00"]
    assert page.values("audio", "src") == ["../audio/song-1.mp3"]
    links = page.values("a", "href")
    assert {"../song/2.html", "../component/7.html"} <= set(links)
    text = text_of(files, "song/1.html")
    assert "far/away" not in text
    assert "away.ogg" in text
    assert "0.91" in text
    red, away = text.index("0.62, both more"), text.index("0.31")
    assert red < text.index("0.20, both less") < away
    assert "both" not in text[away : away + 12]
    assert "../component/3.html" not in links  # it has no page
    assert "Cannot be played: the file has gone" in text_of(files, "song/2.html")


def test_pages_say_what_is_left_out_and_where_the_model_was_trained(report: Report, files: dict[str, bytes]):
    for words in ("left out, and the components", "It was trained in", "had listened to other music"):
        assert not any(words in files[name].decode() for name in ("song/1.html", "index.html"))
    other = dict(render(replace(report, group="artist", trained_in="s3://a/<million>")))
    assert "and those of the same artist left out, and the components" in text_of(other, "song/1.html")
    assert "It was trained in s3://a/<million>." in text_of(other, "index.html")
    assert "had listened to other music" in text_of(other, "index.html")
    assert model_of(other["index.html"]) == report.model


def test_scores_and_training_are_those_of_the_rows(report: Report, files: dict[str, bytes]):
    page = files["scores.html"].decode()
    for row in report.summaries:
        assert f"{row.mean:.3f}" in page
        assert f"{row.low:.3f} to {row.high:.3f}" in page
    assert "after epoch 1 of 2: bound -80.00" in page
    assert "1 labels left out" in page


def test_studies_have_a_figure_and_their_numbers(files: dict[str, bytes]):
    page, text = Reader(files["scores.html"]), text_of(files, "scores.html")
    assert page.values("img", "src") == ["study/0.png"]
    assert files["study/0.png"].startswith(b"\x89PNG")
    assert "2 settings, 3 models each" in text
    for words in ("0.610 ± 0.012", "0.457 ± 0.012", "-70.25", "HDPGMM sqrt posterior"):
        assert words in text
    assert "G1" not in text[text.index("What settings change") : text.index("0.457")]  # a level of the figure


def test_the_corpus_and_the_overview(files: dict[str, bytes]):
    corpus, overview = text_of(files, "corpus.html"), text_of(files, "index.html")
    assert "92 files, 90 of them" in corpus
    assert "silence only" in corpus
    assert "83 min of music" in overview
    assert "sorted what it heard into 3 recurring kinds of sound" in overview


def test_the_headline_is_of_the_kind_chosen_beforehand_next_to_the_best_simple_model(report: Report):
    """Another kind of ours is better on these test songs (80 %): that is not what the first page is about."""
    text = text_of(dict(render(report)), "index.html")
    assert (
        "the right style is found for 65 % of the songs, for 50 % from the best simple model (G1) and for 35 % by "
        "always giving the most frequent one. That is level with the simple model: +15 points, -2 to +40 points"
    ) in text
    assert "80 %" not in text
    assert "guessing" not in text
    sure = tuple(replace(one, low=0.01) for one in report.differences)
    assert "ahead of the simple model: +15" in text_of(
        dict(render(replace(report, differences=sure))), "index.html"
    )
    assert "found for" not in text_of(dict(render(replace(report, recommended=None))), "index.html")


def test_search_knows_pages_components_and_songs(files: dict[str, bytes]):
    script = files["search.js"].decode()
    entries = json.loads(script.removeprefix("const SEARCH = ").removesuffix(";\n"))
    assert ["Component", "Component 7", "jazz club", "component/7.html"] in entries
    assert ["Song", "blue.mp3", "jazz, slow, jazz/blue.mp3", "song/1.html"] in entries
    assert {entry[3] for entry in entries} <= set(files)


@pytest.mark.parametrize("evil", [False, True])
def test_nothing_is_loaded_from_elsewhere_and_no_name_becomes_a_tag(report: Report, evil: bool):
    for path, content in render(hostile(report) if evil else report):
        if not path.endswith(".html"):
            continue
        page = Reader(content)
        assert {tag for tag, _ in page.tags}.isdisjoint({"iframe", "object", "embed", "form", "base"})
        scripts = [attrs for tag, attrs in page.tags if tag == "script"]
        assert [posixpath.basename(attrs["src"] or "") for attrs in scripts] == ["search.js", "page.js"]
        assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
        addresses = [a[k] or "" for _, a in page.tags for k in ("href", "src") if k in a]
        assert all(re.fullmatch(r"[#./\w-]+|data:,", address) for address in addresses)
        (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
        assert policy is not None
        assert policy.startswith("default-src 'none'; script-src 'self';")
        if evil:
            assert EVIL in "".join(page.text)


def test_sounds_decode_to_what_was_cut(files: dict[str, bytes]):
    assert sorted(path for path in files if path.endswith("mp3")) == [
        "audio/component-7-1.mp3",
        "audio/song-1.mp3",
    ]
    samples, rate = soundfile.read(io.BytesIO(files["audio/component-7-1.mp3"]))
    assert rate == RATE
    assert len(samples) / rate == pytest.approx(3.0, abs=0.15)
    assert np.abs(np.fft.rfft(samples[:RATE])).argmax() == pytest.approx(440, abs=2)


def test_keyboard_and_screen_readers_find_their_way(files: dict[str, bytes]):
    for page in pages_of(files).values():
        ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
        assert len(ids) == len(set(ids))
        assert all(
            attrs.get("aria-label")
            for _, attrs in page.tags
            if attrs.get("role") in ("img", "region", "slider", "combobox", "listbox")
        )
        assert all("controls" in a and a.get("aria-label") for tag, a in page.tags if tag == "audio")
        assert page.values("html", "lang") == ["en"]
        assert [tag for tag, _ in page.tags].count("h1") == 1
        assert all(attrs.get("tabindex") == "0" for _, attrs in page.tags if attrs.get("class") == "scroll")


def test_a_poor_report_is_still_pages(report: Report):
    """No labels, no history, nothing to play, nobody listed."""
    corpus = replace(
        report.corpus, labels=(), quarantined=(), durations=Histogram((10.0, 11.0), (1,)), formats=()
    )
    poor = replace(
        report, corpus=corpus, epochs=(), summaries=(), notes=(), usage=np.ones(1), components=(), songs=()
    )
    files = dict(render(poor))
    pages_of(files)
    assert "No labels to predict" in text_of(files, "scores.html")
    assert "Every file could be used" in text_of(files, "corpus.html")
    once = dict(render(replace(report, epochs=(Epoch(1, -3.0, None, 1),))))
    assert "The model, after epoch 1 of 1: bound -3.00" in text_of(once, "scores.html")


def test_it_remembers_what_it_was_made_from(files: dict[str, bytes]):
    assert inputs_of(files["index.html"]) == "abc123"
    assert inputs_of(b"<html>") is None


def test_names_that_are_not_unicode_do_not_break_the_pages(report: Report):
    odd = replace(report, corpus=replace(report.corpus, name="caf\udce9"))
    assert b"caf?" in dict(render(odd))["index.html"]
