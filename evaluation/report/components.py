"""All components: a map on which alike is near, and a list."""

from collections.abc import Sequence

import numpy as np

from evaluation.interpretation.component_map import placed
from evaluation.report.component import remark
from evaluation.report.frame import Page, badge, component_path, in_short, percent, player, said, segment_path
from evaluation.report.markup import Html, html, join
from evaluation.report.records import Component, Report

WIDTH, HEIGHT = 640.0, 520.0
COVERED = 0.42  # of the map, by circles
WORDY = 27.0  # radius from which a circle holds a word


def page(report: Report) -> Page:
    """components.html."""
    body = html(
        '<header class="title"><h1>Components</h1><p class="lead">{} kinds of sound that the model came up with on its '
        "own. Near each other are those that sound alike; the larger a circle, the more of the music it makes up. "
        "Colours follow the map, here and on every page.</p></header>"
        '<figure class="map">{}</figure><section><h2>All of them, most used first</h2>'
        '<ul class="cards">{}</ul></section>',
        len(report.components), chart(report.components),
        join(card(component, report.corpus.n_songs) for component in report.components),
    )  # fmt: skip
    return Page("components.html", "Components: a map of the sounds", "components.html", body)


def chart(components: Sequence[Component]) -> Html:
    """The map as SVG; every circle is a link to its component."""
    if not components:
        return html('<p class="soft">No component is used.</p>')
    radii = _radii(np.array([component.share for component in components]))
    centres = placed(np.array([component.place for component in components]), radii, WIDTH, HEIGHT)
    drawn = zip(components, centres.tolist(), radii.tolist(), strict=True)
    circles = join(_circle(component, x, y, radius) for component, (x, y), radius in drawn)
    return html(
        '<svg viewBox="0 0 {} {}" role="group" aria-label="Map of {} components">{}</svg>',
        f"{WIDTH:g}", f"{HEIGHT:g}", len(components), circles,
    )  # fmt: skip


def _radii(share: np.ndarray) -> np.ndarray:
    """Of circles whose areas grow with the share and fill a good part of the map; a third of it is for all alike."""
    area = COVERED * WIDTH * HEIGHT * (2 * share / share.sum() + 1 / len(share)) / 3
    return np.sqrt(area / np.pi).clip(max=HEIGHT / 5)


def _circle(component: Component, x: float, y: float, radius: float) -> Html:
    number, words = component.number, in_short(component)
    word = said(component.labels[0].label) if component.labels else ""
    fits = radius >= WORDY and 0 < len(word) <= radius / 3.2
    below = html('<text class="word" x="{}" y="{}">{}</text>', _n(x), _n(y + 11), word) if fits else Html("")
    return html(
        '<a href="{}" aria-label="Component {}: {}, {} of the music"><title>{}: {}</title><circle class="k k{}" '
        'cx="{}" cy="{}" r="{}"/><text x="{}" y="{}">{}</text>{}</a>',
        component_path(number), number, words, percent(component.share), number, words, number,
        _n(x), _n(y), _n(radius), _n(x), _n(y - 5 if fits else y), number, below,
    )  # fmt: skip


def card(component: Component, n_songs: int) -> Html:
    """A component in a list: number, a sentence, one place to listen."""
    playable = next((i for i, item in enumerate(component.segments) if item.mp3 is not None), None)
    sound = (
        Html("")
        if playable is None
        else player(segment_path(component.number, playable), f"Component {component.number}")
    )
    return html(
        '<li class="card">{}<div><a class="name" href="{}">{}<bdi>{}</bdi></a><p>{}</p></div></li>',
        sound, component_path(component.number), badge(component.number), in_short(component),
        remark(component, n_songs),
    )  # fmt: skip


def colours(components: Sequence[Component]) -> str:
    """CSS: a hue for each component."""
    return "\n".join(f".k{component.number} {{ --h: {component.hue:.0f}; }}" for component in components)


def _n(value: float) -> str:
    return f"{value:.1f}"
