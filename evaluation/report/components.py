"""All components: a map on which alike is near, and a list."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.interpretation.component_map import placed
from evaluation.report.component import remark
from evaluation.report.paths import segment_path
from evaluation.report.records import Component, Report
from evaluation.report.template import Page
from evaluation.report.wording import said

WIDTH, HEIGHT = 640.0, 520.0
COVERED = 0.42  # of the map, by circles
WORDY = 27.0  # radius from which a circle holds a word


@dataclass(frozen=True)
class Circle:
    """A component on the map: centre and radius in units of the map, y of its number, and a word below if that fits."""

    component: Component
    short: str
    x: float
    y: float
    radius: float
    text_y: float
    word: str


@dataclass(frozen=True)
class Card:
    """A component in a list: a few words, a sentence, the path of one place to listen to, if there is one."""

    number: int
    short: str
    remark: str
    sound: str | None


def page(report: Report) -> Page:
    """components.html."""
    view = {
        "circles": circles(report.components),
        "size": (f"{WIDTH:g}", f"{HEIGHT:g}"),
        "cards": [card(component, report.corpus.n_songs) for component in report.components],
    }
    title = "Components: a map of the sounds"
    return Page("components.html", title, "components.html", "components.html", view)


def circles(components: Sequence[Component]) -> list[Circle]:
    """The components as circles that do not overlap."""
    if not components:
        return []
    radii = _radii(np.array([component.share for component in components]))
    centres = placed(np.array([component.place for component in components]), radii, WIDTH, HEIGHT)
    drawn = zip(components, centres.tolist(), radii.tolist(), strict=True)
    return [_circle(component, x, y, radius) for component, (x, y), radius in drawn]


def _radii(share: np.ndarray) -> np.ndarray:
    """Of circles whose areas grow with the share and fill a good part of the map; a third of it is for all alike."""
    area = COVERED * WIDTH * HEIGHT * (2 * share / share.sum() + 1 / len(share)) / 3
    return np.sqrt(area / np.pi).clip(max=HEIGHT / 5)


def _circle(component: Component, x: float, y: float, radius: float) -> Circle:
    word = said(component.labels[0].label) if component.labels else ""
    fits = radius >= WORDY and 0 < len(word) <= radius / 3.2
    return Circle(component, component.name, x, y, radius, y - 5 if fits else y, word if fits else "")


def card(component: Component, n_songs: int) -> Card:
    """A component in a list."""
    playable = next((i for i, item in enumerate(component.segments) if item.mp3 is not None), None)
    sound = None if playable is None else segment_path(component.number, playable)
    return Card(component.number, component.name, remark(component, n_songs), sound)


def colours(components: Sequence[Component]) -> str:
    """CSS: a hue for each component."""
    return "\n".join(f".k{component.number} {{ --h: {component.hue:.0f}; }}" for component in components)
