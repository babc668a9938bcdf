"""The components of a song over time: a band for each component, and a play-head that page.js moves with the sound."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.report.records import Component, Song, Timeline
from evaluation.report.wording import clock


@dataclass(frozen=True)
class Lane:
    """The band of a component. shares: of each step in percent, separated by spaces; path: of the SVG."""

    number: int
    short: str
    shares: str
    path: str


@dataclass(frozen=True)
class TimelineView:
    """The bands of a song. part: which part of the song they are of, if not all of it; steps: how long the lanes are.

    axis: (place in percent, time).
    """

    lanes: tuple[Lane, ...]
    part: str
    seconds: float
    step: str
    steps: str
    axis: tuple[tuple[float, str], ...]


def view(song: Song, known: Mapping[int, Component]) -> TimelineView:
    """The bands of the song's strongest components."""
    line = song.timeline
    lanes = tuple(
        Lane(number, known[number].name, _percents(line.shares[:, lane]), _band(line.shares[:, lane]))
        for lane, number in enumerate(line.components)
    )
    steps = f"{line.seconds / line.step_seconds:.2f}"
    return TimelineView(lanes, _part(line, song), line.seconds, f"{line.step_seconds:g}", steps, _axis(line))


def _part(line: Timeline, song: Song) -> str:
    if line.seconds >= song.seconds - 1:
        return ""
    return f"{clock(line.start_seconds)} to {clock(line.start_seconds + line.seconds)}"


def _percents(shares: np.ndarray) -> str:
    return " ".join(f"{100 * value:.0f}" for value in shares)


def _band(shares: np.ndarray) -> str:
    """An SVG path, mirrored about 1, whose half height is the share of each step, in a box of steps by 2."""
    top = [f"{i + 0.5:g},{1 - value:.2f}" for i, value in enumerate(shares.tolist())]
    bottom = [f"{i + 0.5:g},{1 + value:.2f}" for i, value in enumerate(shares.tolist())][::-1]
    return f"M0,1L{' '.join(top)} {len(shares)},1L{' '.join(bottom)}Z"


def _axis(line: Timeline) -> tuple[tuple[float, str], ...]:
    """Times every 10 or 30 seconds, from the beginning of what can be played."""
    step = 10 if line.seconds <= 90 else 30
    seconds = range(0, int(line.seconds), step)
    return tuple((round(100 * second / line.seconds, 2), clock(second)) for second in seconds)
