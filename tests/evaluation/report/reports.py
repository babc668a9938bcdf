"""A report made by hand: two components, two songs, scores, a corpus; with hostile names where asked."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np

from evaluation.comparison.cells import Difference, Summary
from evaluation.figures.clips import cut, encode_mp3
from evaluation.interpretation.lift import Lift
from evaluation.neighbours.exact import Term
from evaluation.report.records import (
    Chroma,
    Component,
    Corpus,
    Departure,
    Departures,
    Dynamic,
    Epoch,
    Histogram,
    LabelColumn,
    Quarantined,
    Report,
    Segment,
    Similar,
    Song,
    Sound,
    Spectrum,
    Study,
    Timeline,
    Trait,
)

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
        self.text.append(data)

    def values(self, tag: str, name: str) -> list[str]:
        return [attrs[name] or "" for found, attrs in self.tags if found == tag and name in attrs]


def tone(hertz: float) -> bytes:
    """Three seconds of a sine as mp3."""
    time = np.arange(10 * RATE) / RATE
    return encode_mp3(cut(0.5 * np.sin(2 * np.pi * hertz * time), RATE, 4.0, 3.0), RATE)


def make_report() -> Report:
    """Component 7 has everything, component 1 nothing; song 1 can be played, song 2 cannot."""
    return Report(
        model="m0del",
        made="2025-01-02 03:04",
        inputs="abc123",
        corpus=_corpus(),
        epochs=(Epoch(1, -80.0, -71.0, 12, True), Epoch(2, -70.0, -71.5, 9)),
        summaries=_summaries(),
        recommended="HDPGMM Fisher",
        differences=_differences(),
        notes=(("style", "1 labels left out"),),
        usage=np.array([0.0, 0.3, 0.2, 0.0, 0.0, 0.0, 0.0, 0.5]),
        components=_components(),
        songs=_songs(),
        studies=(_study("train.splash"),),
    )


def _study(name: str) -> Study:
    """Two settings, scores of one model of ours and of a simple one."""
    names = ("HDPGMM sqrt posterior", "G1")
    rows = tuple(
        {"x": x, "series": "", "representation": vectors, "ours": vectors.startswith("HDPGMM"),
         "task": "style", "metric": "macro_f1", "models": 3,
         "mean": mean, "sd": 0.012, "low": mean - 0.1, "high": mean + 0.1,
         "components": 40.0, "updates": 90.0, "heldout": -70.25}
        for x, mean in (("0", 0.61), ("0.1", 0.457))
        for vectors in names
    )  # fmt: skip
    return Study(name, b"\x89PNG\r\n\x1a\n", rows)


def hostile(report: Report) -> Report:
    """The same with EVIL wherever a name, a label or a message comes from outside."""
    corpus, (first, other), (song, mute) = report.corpus, report.components, report.songs
    segment = replace(first.segments[0], song=f"{EVIL}/{EVIL}", labels=(EVIL,))
    broken = replace(first.segments[1], problem=EVIL, song=EVIL)
    lift = (Lift(EVIL, 2.0, 2, 1.5, 3.0),)
    near = (
        Similar(EVIL, (EVIL,), 0.5, (Term(7, 0.4, True),), 2),
        Similar(f"{EVIL}/{EVIL}", (EVIL,), 0.4, (), None),
    )
    return replace(
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
        studies=tuple(
            replace(s, name=EVIL, rows=({**s.rows[0], "x": EVIL, "task": EVIL},)) for s in report.studies
        ),
        summaries=tuple(replace(row, task=EVIL, representation=f"HDPGMM {EVIL}") for row in report.summaries),
        components=(replace(first, name=EVIL, labels=lift, lifts=lift, segments=(segment, broken)), other),
        songs=(
            replace(song, name=f"{EVIL}/{EVIL}", labels=(EVIL,), similar=near),
            replace(mute, name=EVIL, timeline=replace(mute.timeline, problem=EVIL)),
        ),
    )


def _corpus() -> Corpus:
    return Corpus(
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
    )


def _summaries() -> tuple[Summary, ...]:
    names = ("chance", "majority", "G1", "HDPGMM Fisher", "HDPGMM sqrt posterior")
    cells = (("style", "macro_f1"), ("style", "accuracy"), ("tags", "macro_auroc"), ("tags", "macro_ap"))
    means = [(task, metric, name, 0.2 + 0.15 * i) for task, metric in cells for i, name in enumerate(names)]
    return tuple(
        Summary(
            name,
            task,
            metric,
            mean,
            0.01,
            mean - 0.05,
            mean + 0.05,
            90,
            4,
            "d1ge5t",
            ours=name.startswith("HDPGMM"),
            simple=name == "G1",
            guess=name in ("chance", "majority"),
            chance=name == "chance",
        )
        for task, metric, name, mean in means
    )


def _differences() -> tuple[Difference, ...]:
    """Of the recommended kind; another of ours is better here."""
    others = (("majority", 0.3, 0.25), ("G1", 0.15, -0.02))
    return tuple(
        Difference("HDPGMM Fisher", other, "style", metric, mean, low, 0.4)
        for metric in ("macro_f1", "accuracy")
        for other, mean, low in others
    )


def _components() -> tuple[Component, ...]:
    jazz, rock = Lift("jazz_club", 2.51, 50, 1.8, 3.2), Lift("rock", 0.5, 40, 0.1, 0.9)
    segments = (
        Segment("jazz/blue.mp3", ("jazz",), 61.5, 64.5, 0.7, tone(440), page=1),
        Segment("rock/red.wav", (), 0.0, 3.0, 0.4, None, "the file has gone"),
    )
    spread = (40, 20, 10, 10, 6, 4)
    return (
        Component(
            *(7, "jazz club", 0.5, (jazz,), (jazz, rock), _sound(), spread, segments),
            *(((1, 2.34),), (0, 0), 20, ((1, 0.9),)),
        ),
        Component(
            *(
                1,
                "an ordinary sound",
                0.3,
                (),
                (),
                Sound((), ()),
                (90, 0, 0, 0, 0, 0),
                (),
                (),
                (1, 1),
                200,
                (),
            )
        ),
    )


def _sound() -> Sound:
    """Everything that features may tell."""
    hertz, zero = np.array([500.0, 1000.0, 2000.0]), np.zeros(3)
    return Sound(
        words=("very loud", "on A"),
        traits=(Trait("Loudness", "very loud", 1.7), Trait("Brightness", "", -0.1)),
        spectrum=Spectrum(hertz, np.array([6.0, 3.0, -2.0]), zero + 1, zero),
        chroma=Chroma(("C", "A"), np.array([0.2, 0.9]), np.array([0.5, 0.5])),
        dynamics=(Dynamic("Level", " dB", -12.0, 3.0, -20.0, 8.0),),
    )


def _songs() -> tuple[Song, ...]:
    shares = np.column_stack([np.linspace(0, 1, 12), np.linspace(1, 0, 12)])
    playable = Timeline((7, 1), shares, 0.25, 0.0, 3.0, tone(440))
    mute = Timeline((1,), shares[:, :1], 0.25, 0.0, 3.0, None, "the file has gone")
    departures = Departures(
        90,
        (
            Departure(7, 0.6, ("louder", "darker")),
            Departure(1, 0.2, ()),
            Departure(2, 0.05, ("smoother",)),
        ),
    )
    similar = (
        Similar("rock/red.wav", ("rock",), 0.91, (Term(7, 0.62, True), Term(3, 0.2, False)), 2),
        Similar("far/away.ogg", (), 0.5, (Term(1, 0.31, None),), None),
    )
    return (
        Song(
            *(1, "jazz/blue.mp3", ("jazz", "slow"), 3.0, ((7, 0.9), (1, 0.1)), playable, similar),
            *(np.array([0, 0.1, 0, 0, 0, 0, 0, 0.9]), departures),
        ),
        Song(2, "rock/red.wav", (), 200.0, ((1, 1.0),), mute, (), np.array([0, 1.0, 0, 0, 0, 0, 0, 0])),
    )
