"""The songs of the sample: a list, and a page each with a timeline that moves with the sound."""

from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.report import timeline as page_timeline
from evaluation.report.corpus import duration
from evaluation.report.frame import (
    Page,
    badge,
    chips,
    component_link,
    in_short,
    percent,
    said,
    song_path,
    song_title,
    strip,
)
from evaluation.report.markup import Html, html, join
from evaluation.report.records import Component, Report, Similar, Song

LISTED_PARTS = 8


def pages(report: Report) -> list[Page]:
    """songs.html and one page for each song of the sample."""
    known = {component.number: component for component in report.components}
    return [_list(report), *(_song(song, known, report.usage) for song in report.songs)]


def _list(report: Report) -> Page:
    items = join(item(song) for song in sorted(report.songs, key=lambda song: song.name))
    body = html(
        '<header class="title"><h1>Songs</h1><p class="lead">{} of {} songs, drawn by lot across the labels. The strip '
        'shows what a song is made of, in the colours of the components.</p></header><ul class="songs">{}</ul>',
        len(report.songs), f"{report.corpus.n_songs:,}", items,
    )  # fmt: skip
    return Page("songs.html", "Songs", "songs.html", body)


def item(song: Song) -> Html:
    """A song in a list of a page at the top."""
    told = ", ".join(f"component {number} {percent(share)}" for number, share in song.parts[:3])
    return html(
        '<li><a href="{}"><bdi>{}</bdi></a>{}<div class="where"><bdi>{}</bdi></div></li>',
        song_path(song.number), song_title(song), strip(song.parts, f"Made of {told}"),
        ", ".join(map(said, song.labels[:4])),
    )  # fmt: skip


def _song(song: Song, known: Mapping[int, Component], usage: np.ndarray) -> Page:
    folder, _, name = song.name.rpartition("/")
    origin = html(" · <bdi>{}</bdi>", folder) if folder else ""
    body = html(
        '<header class="title"><p class="crumb"><a href="../songs.html">Songs</a>{}</p><h1><bdi>{}</bdi></h1>'
        '<p class="soft">{}</p>{}</header>{}<div class="panels">{}{}</div>',
        origin, name, duration(song.seconds), chips(song.labels), page_timeline.section(song, known),
        _parts(song, known, usage), _similar(song.similar, known),
    )  # fmt: skip
    return Page(song_path(song.number), name, "songs.html", body)


def _parts(song: Song, known: Mapping[int, Component], usage: np.ndarray) -> Html:
    largest = max((share for _, share in song.parts), default=1.0)
    rows = join(
        html('<li>{}<span class="rod"><i class="k k{}" style="width:{}%"></i></span><span class="soft small">{}</span>'
             "</li>", component_link(number, "../", in_short(known[number])), number,
             round(100 * share / largest, 1), _compared(share, float(usage[number])))
        for number, share in song.parts[:LISTED_PARTS]
    )  # fmt: skip
    return html('<section><h2>What it is made of</h2><ul class="parts">{}</ul></section>', rows)


def _compared(share: float, usual: float) -> str:
    ratio = share / max(usual, 1e-9)
    usually = (
        f"{ratio:.0f} times the usual" if ratio >= 1.5 else "as usual" if ratio > 0.67 else "less than usual"
    )
    return f"{percent(share)}, {usually}"


def _similar(similar: Sequence[Similar], known: Mapping[int, Component]) -> Html:
    if not similar:
        return Html("")
    items = join(_like(other, known) for other in similar)
    return html(
        "<section><h2>Songs like it</h2><p>The nearest of all songs, those without a page included, and the "
        'components that bring them together.</p><ol class="like">{}</ol>'
        '<p class="small soft">The number is '
        "the cosine of the two songs' vectors, after what all songs share was taken off: 1 would be the same "
        "mixture.</p></section>",
        items,
    )


def _like(other: Similar, known: Mapping[int, Component]) -> Html:
    name = html("<bdi>{}</bdi>", song_title(other.name))
    if other.page is not None:
        name = html('<a href="../{}">{}</a>', song_path(other.page), name)
    shared = join(
        (component_link(n, "../") if n in known else badge(n) for n in other.components),
        " ",
    )
    return html(
        '<li><div>{} <span class="soft small">{}</span></div><div class="where"><bdi>{}</bdi> {}</div></li>',
        name, f"{other.cosine:.2f}", ", ".join(map(said, other.labels[:4])), shared,
    )  # fmt: skip
