"""What is heard when in a song: a band for each component, and a play-head that page.js moves with the sound."""

from collections.abc import Mapping

import numpy as np

from evaluation.report.frame import clock, component_link, in_short, song_audio_path, song_title
from evaluation.report.markup import Html, html, join
from evaluation.report.records import Component, Song, Timeline

KEYS = " Click into it, or use the arrow keys, to hear another place; the space bar starts and stops."


def section(song: Song, known: Mapping[int, Component]) -> Html:
    """The player and the bands of the song's strongest components."""
    line = song.timeline
    if not line.components:
        return html('<section><h2>Listen along</h2><p class="soft">There is nothing to show.</p></section>')
    return html(
        "<section><h2>Listen along</h2><p>{}{}</p>{}"
        '<div class="timeline" data-seconds="{}" data-step="{}"><ul class="heads">{}</ul>'
        '<div class="lanes" {}>{}{}<i class="playhead"></i></div></div></section>',
        _what(line, song), "" if line.mp3 is None else KEYS, _sound(song), f"{line.seconds:.2f}",
        f"{line.step_seconds:g}", _heads(line, known), _role(line), _lanes(line), _axis(line),
    )  # fmt: skip


def _what(line: Timeline, song: Song) -> str:
    part = f", {clock(line.start_seconds)} to {clock(line.start_seconds + line.seconds)}"
    return (
        f"A band swells where its component is heard; these are the strongest{part}."
        if line.seconds < song.seconds - 1
        else "A band swells where its component is heard; these are the strongest."
    )


def _sound(song: Song) -> Html:
    if song.timeline.mp3 is None:
        return html('<p class="soft">Cannot be played: {}</p>', song.timeline.problem)
    return html(
        '<audio id="song" controls preload="metadata" src="../{}" aria-label="{}"></audio>',
        song_audio_path(song.number), song_title(song),
    )  # fmt: skip


def _heads(line: Timeline, known: Mapping[int, Component]) -> Html:
    return join(
        html('<li data-shares="{}">{}</li>', " ".join(f"{100 * value:.0f}" for value in line.shares[:, lane]),
             component_link(number, "../", in_short(known[number])))
        for lane, number in enumerate(line.components)
    )  # fmt: skip


def _role(line: Timeline) -> Html:
    if line.mp3 is None:
        return html('role="img" aria-label="Components over time"')
    return html(
        'role="slider" tabindex="0" aria-label="Place in the song" aria-valuemin="0" aria-valuemax="{}" '
        'aria-valuenow="0" aria-valuetext="0:00"',
        f"{line.seconds:.0f}",
    )


def _lanes(line: Timeline) -> Html:
    return join(
        html('<svg class="k k{}" viewBox="0 0 {} 2" preserveAspectRatio="none" aria-hidden="true"><path d="{}"/></svg>',
             number, f"{line.seconds / line.step_seconds:.2f}", _band(line.shares[:, lane]))
        for lane, number in enumerate(line.components)
    )  # fmt: skip


def _band(shares: np.ndarray) -> str:
    """An SVG path, mirrored about 1, whose half height is the share of each step, in a box of steps by 2."""
    top = [f"{i + 0.5:g},{1 - value:.2f}" for i, value in enumerate(shares.tolist())]
    bottom = [f"{i + 0.5:g},{1 + value:.2f}" for i, value in enumerate(shares.tolist())][::-1]
    return f"M0,1L{' '.join(top)} {len(shares)},1L{' '.join(bottom)}Z"


def _axis(line: Timeline) -> Html:
    """Times every 10 or 30 seconds, from the beginning of what is heard."""
    step = 10 if line.seconds <= 90 else 30
    marks = join(
        html('<span style="left:{}%">{}</span>', round(100 * second / line.seconds, 2), clock(second))
        for second in range(0, int(line.seconds), step)
    )
    return html('<div class="axis" aria-hidden="true">{}</div>', marks)
