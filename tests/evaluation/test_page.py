"""The page as a parser sees it: balanced, alone in the world, deaf to hostile names, playable."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from evaluation import page_scores
from evaluation.clips import cut, encode_mp3
from evaluation.compare import Summary
from evaluation.interpret import Lift
from evaluation.page import Epoch, Report, inputs_of, render
from evaluation.page_components import Card, Segment, Trait
from evaluation.page_corpus import Corpus, Histogram, LabelColumn, Quarantined

RATE = 22050
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"' onmouseover=alert(3) {0} {}&amp;.mp3"
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Reader(HTMLParser):
    """Collects tags and text, and complains about tags that do not close."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    def values(self, tag: str, name: str) -> list[str]:
        return [attrs[name] or "" for found, attrs in self.tags if found == tag and name in attrs]


def tone(hertz: float) -> bytes:
    time = np.arange(10 * RATE) / RATE
    return encode_mp3(cut(0.5 * np.sin(2 * np.pi * hertz * time), RATE, 4.0, 3.0), RATE)


def summary(name: str, task: str, metric: str, mean: float) -> Summary:
    return Summary(name, task, metric, mean, 0.01, mean - 0.05, mean + 0.05, 90, 4, "d1ge5t")


@pytest.fixture(scope="module")
def report() -> Report:
    names = ("chance", "majority", "G1", "HDPGMM sqrt posterior")
    cells = [("style", "macro_f1"), ("style", "accuracy"), ("tags", "macro_auroc"), ("tags", "macro_ap")]
    rows = [summary(n, t, m, 0.2 + 0.17 * i) for t, m in cells for i, n in enumerate(names)]
    segments = (
        Segment("jazz/blue.mp3", ("style: jazz",), 61.5, 64.5, 0.7, tone(440)),
        Segment("rock/red.wav", (), 0.0, 3.0, 0.4, None, "the file has gone"),
    )
    traits = (Trait("Loudness", "much louder", 1.7), Trait("Brightness", "darker", -0.7))
    return Report(
        model="m0del",
        made="2025-01-02 03:04",
        inputs="abc123",
        corpus=Corpus(
            name="demo",
            n_tracks=92,
            n_songs=90,
            seconds=5000.0,
            formats=(("mp3", 60), ("wav", 30)),
            sample_rates=(("44.1 kHz", 90),),
            channels=(("stereo", 80), ("mono", 10)),
            durations=Histogram((0.0, 30.0, 60.0), (10, 80)),
            labels=(LabelColumn("style", (("jazz", 50), ("rock", 40)), 2),),
            quarantined=(
                Quarantined("bad/silent.wav", "SILENT", "peak 0"),
                Quarantined("x.mp3", "EMPTY", "0 bytes"),
            ),
        ),
        epochs=(Epoch(1, -80.0, -71.0, 12, True), Epoch(2, -70.0, -71.5, 9)),
        summaries=tuple(rows),
        notes=(("style", "1 labels left out"),),
        usage=np.array([0.5, 0.3, 0.2, 0.0]),
        cards=(Card(7, 0.5, (Lift("style: jazz", 2.51, 50),), traits, segments), Card(1, 0.3, (), (), ())),
    )


def test_it_says_what_it_was_given(report: Report):
    text = " ".join(Reader(render(report)).text)
    for words in (
        *(
            "Component 7",
            "style: jazz",
            "2.5",
            "much louder",
            "blue.mp3",
            "1:01.5 to 1:04.5",
            "the file has gone",
        ),
        *(
            "0.710",
            "0.660 to 0.760",
            "chance",
            "majority",
            "1 labels left out",
            "bad/silent.wav",
            "silence only",
        ),
        *(
            "the file is empty",
            "92 files, 90 of them",
            "after epoch 1 of 2: bound -80.00",
            "-71.00",
            "m0del",
            "No label stands out",
            "83 min",
        ),
    ):
        assert words in text, words


def test_numbers_of_the_table_are_those_of_the_rows(report: Report):
    page = render(report).decode()
    for row in report.summaries:
        assert f"{row.mean:.3f}" in page
        assert f"{row.low:.3f} to {row.high:.3f}" in page


def test_it_loads_nothing_and_runs_nothing(report: Report):
    page = render(report)
    reader = Reader(page)
    assert not re.search(rb"https?://|url\(|@import|srcset|//[a-z]+\.", page)
    assert {tag for tag, _ in reader.tags}.isdisjoint(
        {"script", "link", "iframe", "object", "embed", "form", "base"}
    )
    assert not [name for _, attrs in reader.tags for name in attrs if name.startswith("on")]
    assert all(value.startswith("data:audio/mpeg;base64,") for value in reader.values("audio", "src"))
    (policy,) = [a["content"] for t, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy


def test_segments_decode_to_the_sound_that_was_cut(report: Report):
    (source,) = Reader(render(report)).values("audio", "src")
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert rate == RATE
    assert len(samples) / rate == pytest.approx(3.0, abs=0.15)
    spectrum = np.abs(np.fft.rfft(samples[:RATE]))
    assert spectrum.argmax() == pytest.approx(440, abs=2)


def test_hostile_names_stay_text(report: Report):
    corpus, card = report.corpus, report.cards[0]
    segment = replace(card.segments[0], song=f"{EVIL}/{EVIL}", labels=(EVIL,))
    broken = replace(card.segments[1], problem=EVIL, song=EVIL)
    hostile = replace(
        report,
        model=EVIL,
        made=EVIL,
        corpus=replace(
            corpus,
            name=EVIL,
            formats=((EVIL, 3),),
            labels=(LabelColumn(EVIL, ((EVIL, 2),), 0),),
            quarantined=(Quarantined(EVIL, EVIL, EVIL),),
        ),
        notes=((EVIL, EVIL),),
        summaries=tuple(replace(row, task=EVIL, representation=f"HDPGMM {EVIL}") for row in report.summaries),
        cards=(replace(card, labels=(Lift(EVIL, 2.0, 2),), segments=(segment, broken)),),
    )
    reader = Reader(render(hostile))
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "img"})
    assert not [name for _, attrs in reader.tags for name in attrs if name.startswith("on")]
    assert EVIL in "".join(reader.text)


def test_keyboard_and_screen_readers_find_their_way(report: Report):
    reader = Reader(render(report))
    ids = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for target in reader.values("a", "href"):
        assert target.removeprefix("#") in ids
    assert all(attrs.get("aria-label") for _, attrs in reader.tags if attrs.get("role") in ("img", "region"))
    assert all(
        "controls" in attrs and attrs.get("aria-label") for tag, attrs in reader.tags if tag == "audio"
    )
    assert reader.values("html", "lang") == ["en"]
    assert [tag for tag, _ in reader.tags].count("h1") == 1
    assert all(attrs.get("tabindex") == "0" for _, attrs in reader.tags if attrs.get("class") == "scroll")


def test_a_poor_report_is_still_a_page(report: Report):
    """No labels, no history, one song, nothing to play."""
    corpus = replace(
        report.corpus, labels=(), quarantined=(), durations=Histogram((10.0, 11.0), (1,)), formats=()
    )
    poor = replace(report, corpus=corpus, epochs=(), summaries=(), notes=(), usage=np.ones(1), cards=())
    text = " ".join(Reader(render(poor)).text)
    assert "No labels to predict" in text
    assert "Every file could be used" in text
    once = Reader(render(replace(report, epochs=(Epoch(1, -3.0, None, 1),))))
    assert "The model, after epoch 1 of 1: bound -3.00" in " ".join(once.text)


def test_it_remembers_what_it_was_made_from(report: Report):
    assert inputs_of(render(report)) == "abc123"
    assert inputs_of(b"<html>") is None


def test_names_that_are_not_unicode_do_not_break_the_page(report: Report):
    odd = replace(report, corpus=replace(report.corpus, name="caf\udce9"))
    assert b"caf?" in render(odd)


def test_numbers_taste_and_models_of_several_seeds_have_their_words():
    rows = [
        replace(summary(name, task, metric, mean), n_classes=0, models=3 if name.startswith("HDPGMM") else 1)
        for task, metric in (("valence", "r2"), ("valence", "pearson_r"), ("taste", "ndcg@500"))
        for name, mean in (("chance", -0.98), ("G1", 0.2), ("HDPGMM soft posterior", 0.31))
    ]
    rows[1] = replace(rows[1], sd=float("nan"))
    text = page_scores.section(rows, ())
    assert "valence: R2" in text
    assert "taste: nDCG@500" in text
    assert "90 users" in text
    assert "standard deviation between 3 trained models" in text
    assert "nan" not in text
    assert "0 labels" not in text
    assert "how far up in a list of songs" in text
