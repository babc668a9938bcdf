"""The part of the page where people hear what the model has found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.clips import data_uri
from evaluation.component_map import Spot, figure
from evaluation.figures import columns
from evaluation.interpret import Lift, carrying, effective_number
from evaluation.markup import Html, html, join


@dataclass(frozen=True)
class Trait:
    """How a component differs from the rest of what was read: `deviation` in standard deviations of a frame."""

    name: str
    words: str
    deviation: float


@dataclass(frozen=True)
class Segment:
    """A place to listen to. mp3 is None where the audio could not be read, and `problem` says why."""

    song: str
    labels: tuple[str, ...]
    start_seconds: float
    stop_seconds: float
    share: float
    mp3: bytes | None
    problem: str = ""


@dataclass(frozen=True)
class Card:
    """One component: its share of all frames, what it goes with, how it sounds, where to hear it."""

    number: int
    share: float
    labels: tuple[Lift, ...]
    traits: tuple[Trait, ...]
    segments: tuple[Segment, ...]


def section(cards: Sequence[Card], usage: np.ndarray, corpus_songs: int, spots: Sequence[Spot] = ()) -> Html:
    """Usage of all components, a map, then a card for each of the most used; usage (component,) sums to 1."""
    return html(
        '<section id="components"><h2>What it found</h2>{}{}{}'
        '<p class="small soft" style="margin-top:1.75rem">“3.1&nbsp;&times;” next to a label means: songs with that '
        "label contain 3.1 times as much of this sound as songs on average, of the {} songs here. Labels that few "
        "songs have are held back towards 1. The model never saw the labels.</p>"
        '<div class="cards">{}</div></section>',
        EXPLANATION, _usage(usage), figure(spots), f"{corpus_songs:,}", join(_card(card) for card in cards),
    )  # fmt: skip


EXPLANATION = Html(
    "<p>The model listens to each song in slices of a fraction of a second and sorts the slices by how they sound. "
    "A <b>component</b> is one recurring kind of sound it came up with on its own: perhaps a hissing cymbal, a low "
    "bass note, a sung vowel, strings swelling. A song is then described by how much of each it contains. "
    "Play the three examples of a component: they come from different songs, and should have something in common.</p>"
)


def _usage(usage: np.ndarray) -> Html:
    ordered = np.sort(usage)[::-1]
    busy = carrying(ordered)
    text = (
        f"{len(ordered)} components were offered to the model; {busy} of them explain 99 % of everything heard. "
        f"It is as diverse as {effective_number(ordered):.1f} components used equally. "
        f"The most used one explains {100 * ordered[0]:.1f} %."
    )
    ends = (f"most used: {_percent(ordered[0])}", f"number {len(ordered)}: {_percent(ordered[-1])}")
    return html(
        "<figure><h3>Share of all frames, component by component</h3>{}<figcaption>{} Solid columns: the "
        "99&nbsp;%.</figcaption></figure>",
        columns(ordered.tolist(), busy, ends, f"Falling columns. {text}"), text,
    )  # fmt: skip


def _card(card: Card) -> Html:
    return html(
        '<article class="card" aria-labelledby="component-{n}"><div><header><h3 id="component-{n}">Component {n}'
        '</h3><span class="soft">{share} of all frames</span></header><div class="share" aria-hidden="true">'
        '<div style="width:{width}%"></div></div></div>{labels}{traits}{segments}</article>',
        n=card.number, share=_percent(card.share), width=round(100 * min(1.0, card.share), 2),
        labels=_labels(card.labels), traits=_traits(card.traits), segments=_segments(card),
    )  # fmt: skip


def _labels(labels: Sequence[Lift]) -> Html:
    if not labels:
        return html('<p class="small soft">No label stands out.</p>')
    chips = join(
        html('<li><bdi>{}</bdi> <span class="soft">{}&nbsp;&times;, {} songs</span></li>', item.label,
             f"{item.lift:.1f}", item.n_songs)
        for item in labels
    )  # fmt: skip
    return html('<div><h4>Goes with</h4><ul class="chips">{}</ul></div>', chips)


def _traits(traits: Sequence[Trait]) -> Html:
    if not traits:
        return Html("")
    rows = join(
        html('<div><dt>{}</dt><dd class="meter" aria-hidden="true"><i style="left:{}%;width:{}%"></i></dd>'
             '<dd class="soft">{}</dd></div>', trait.name, *_meter(trait.deviation), trait.words)
        for trait in traits
    )  # fmt: skip
    return html('<div><h4>Compared with other sounds</h4><dl class="traits">{}</dl></div>', rows)


def _meter(deviation: float) -> tuple[float, float]:
    """Left end and width in percent of a bar from the middle, full at one and a half standard deviations."""
    reach = 50 * max(-1.0, min(1.0, deviation / 1.5))
    return round(50 + min(reach, 0.0), 1), round(abs(reach), 1)


def _segments(card: Card) -> Html:
    if not card.segments:
        return html('<p class="small soft">No song uses it enough to listen to.</p>')
    return html(
        '<div><h4>Listen</h4><ul class="listen">{}</ul></div>',
        join(_segment(card.number, s) for s in card.segments),
    )


def _segment(number: int, segment: Segment) -> Html:
    folder, _, name = segment.song.rpartition("/")
    about = [part for part in (folder, ", ".join(segment.labels)) if part]
    where = f"{_clock(segment.start_seconds)} to {_clock(segment.stop_seconds)}, {_percent(segment.share)} this sound"
    if segment.mp3 is None:
        player = html('<div class="where">Cannot be played: {}</div>', segment.problem)
    else:
        player = html(
            '<audio controls preload="none" src="{}" aria-label="Component {}: {}"></audio>',
            data_uri(segment.mp3), number, name,
        )  # fmt: skip
    details = join((html("<bdi>{}</bdi>", part) for part in about), " · ")
    return html(
        '<li><div class="song"><bdi>{}</bdi></div><div class="where">{}{}{}</div>{}</li>',
        name, details, Html("<br>") if about else "", where, player,
    )  # fmt: skip


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{seconds % 60:04.1f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"
