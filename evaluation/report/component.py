"""The page of one component: what is component 17?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from evaluation.figures import sound as figures
from evaluation.figures.geometry import Bar, Dots, bars, dots
from evaluation.interpretation.lift import Lift
from evaluation.interpretation.sound import PLAIN
from evaluation.interpretation.tally import SPREAD
from evaluation.report.paths import component_path, segment_path
from evaluation.report.records import Component, Report, Segment, Song, Sound
from evaluation.report.template import Page
from evaluation.report.wording import clock, folder_of, listed, percent, said, song_title

MOST_LIFTS = 10
LEAST_LIFTS = 4
TRACE = 2  # the first bin of SPREAD from which a song counts as having the component: 1 %


@dataclass(frozen=True)
class Place:
    """A place to listen to. sound: its path, None where there is none, for `problem`; page: number of the song's."""

    folder: str
    name: str
    page: int | None
    where: str
    sound: str | None
    label: str
    problem: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Lifts:
    """The labels shown, those that hold first; none_holds: none does; left_out: how many are not shown."""

    figure: Dots
    none_holds: bool
    left_out: int


def pages(report: Report) -> list[Page]:
    """One page for each component shown."""
    known = {component.number: component for component in report.components}
    songs = {song.number: song for song in report.songs}
    around = [None, *report.components, None]
    return [
        Page(
            component_path(component.number),
            f"Component {component.number}: {component.name}",
            "components.html",
            "component.html",
            {
                "component": component,
                "rank": rank,
                "sentence": sentence(component, report.corpus.n_songs),
                "places": [_place(component.number, i, item) for i, item in enumerate(component.segments)],
                "traits": [(trait, *_meter(trait.deviation)) for trait in component.sound.traits],
                "plain": f"{PLAIN:g}",
                **_figures(component.sound),
                "lifts": _lifts(component),
                "before": around[rank - 1],
                "after": around[rank + 1],
                **_usage(component, songs),
                "nearest": [(n, known[n].name, f"{distance:.1f}") for n, distance in component.nearest],
            },
        )
        for rank, component in enumerate(report.components, 1)
    ]


def sentence(component: Component, n_songs: int) -> str:
    """A component in one or two plain sentences."""
    heard = component.sound
    sound = (
        f"Next to all the music it sounds {listed(list(heard.words))}"
        if heard.words
        else "It sounds much as the music does on average"
        if heard.traits or heard.chroma
        else "No feature says how loud, bright or sudden it is"
    )
    have = sum(component.spread[TRACE:])
    traces = f"{have:,} of {n_songs:,} songs contain more than a trace of it"
    where = f"makes up {percent(component.share)} of the music, and {traces}"
    goes = ""
    if component.labels:
        goes = f" It goes with {listed([said(item.label) for item in component.labels[:3]])}."
    return f"{sound}, {where}.{goes}"


def remark(component: Component, n_songs: int) -> str:
    """A component in a line: how it sounds, where its name is of labels, and how much of it there is."""
    words = ", ".join(component.sound.words) if component.labels else ""
    sound = f"{words[0].upper()}{words[1:]}. " if words else ""
    return f"{sound}{percent(component.share)} of the music, in {sum(component.spread[TRACE:]):,} of {n_songs:,} songs."


def _place(number: int, index: int, item: Segment) -> Place:
    name, span = song_title(item.song), (clock(item.start_seconds, True), clock(item.stop_seconds, True))
    return Place(
        folder=folder_of(item.song),
        name=name,
        page=item.page,
        where=f"{span[0]} to {span[1]}, {percent(item.share)} this sound",
        sound=None if item.mp3 is None else f"../{segment_path(number, index)}",
        label=f"Component {number}: {name}",
        problem=item.problem,
        labels=item.labels[:4],
    )


def _meter(deviation: float) -> tuple[float, float]:
    """Left end and width in percent of a bar from the middle, full at one and a half standard deviations."""
    reach = 50 * max(-1.0, min(1.0, deviation / 1.5))
    return round(50 + min(reach, 0.0), 1), round(abs(reach), 1)


def _figures(heard: Sound) -> dict[str, Any]:
    """Figures of a component's Gaussian, None where the features do not tell."""
    lines, tones = heard.spectrum, heard.chroma
    moves = [(d.name, d.unit, d.mean, d.sd, d.corpus_mean, d.corpus_sd) for d in heard.dynamics]
    return {
        "spectrum": lines and figures.spectrum(lines.hertz, lines.own, lines.sd, lines.corpus),
        "chroma": tones and figures.pitches(tones.names, tones.own, tones.corpus),
        "dynamics": figures.ranges(moves) if moves else None,
    }


def _lifts(component: Component) -> Lifts | None:
    """None where there are no labels to compare with."""
    if not component.lifts:
        return None
    holding = {item.label for item in component.labels}
    shown = sorted(component.lifts, key=lambda item: item.label not in holding)
    if len(shown) > MOST_LIFTS + LEAST_LIFTS:
        shown = [*shown[:MOST_LIFTS], *shown[-LEAST_LIFTS:]]
    first = shown[0]
    known = f"{first.low:.1f} to {first.high:.1f}" if math.isfinite(first.high) else "of one artist"
    about = f"Most: {said(first.label)}, {first.lift:.1f} times ({known})."
    rows = [_lift_row(item, item.label in holding) for item in shown]
    figure = dots(rows, 1.0, 1, f"Lift of labels with intervals. {about}")
    return Lifts(figure, not holding, len(component.lifts) - len(shown))


def _lift_row(item: Lift, holds: bool) -> tuple[str, float, float, float, str]:
    if not math.isfinite(item.high):
        return f"{said(item.label)} ({item.n_songs:,}, one artist)", item.lift, item.lift, item.lift, ""
    css = "ours" if holds else ""
    return f"{said(item.label)} ({item.n_songs:,})", item.lift, item.low, item.high, css


def _usage(component: Component, songs: Mapping[int, Song]) -> dict[str, Any]:
    rich = [(number, song_title(songs[number]), percent(share)) for number, share in component.songs]
    return {"spread": _spread(component.spread), "rich": rich}


def _spread(counts: Sequence[int]) -> tuple[Bar, ...]:
    """Songs by how much of the component they contain."""
    edges = [100 * edge for edge in SPREAD]
    names = [f"under {edges[0]:g} %"]
    names += [f"{a:g} to {b:g} %" for a, b in pairwise(edges)] + [f"over {edges[-1]:g} %"]
    return bars(list(zip(names, counts, strict=True)))
