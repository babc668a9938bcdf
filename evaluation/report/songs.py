"""The songs of the sample: a list, and a page each with a timeline that moves with the sound."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.neighbours.exact import Term
from evaluation.report import timeline
from evaluation.report.paths import song_path
from evaluation.report.records import Component, Departure, Report, Similar, Song
from evaluation.report.template import Page
from evaluation.report.wording import folder_of, listed, percent, said, song_title

LISTED_PARTS = 8
TRACE = 0.01  # of a song, below which a component is hardly there


@dataclass(frozen=True)
class DepartureRow:
    """A component that moves a song away; short: its name, None where it has no page; share: of the distance; has: its
    share of the song next to what is usual; how: in which direction, or why not."""

    number: int
    short: str | None
    share: str
    width: float
    has: str
    how: str


@dataclass(frozen=True)
class ListedSong:
    """A song in a list. parts: (component, share); made_of: them in words; labels: in a line."""

    number: int
    title: str
    parts: tuple[tuple[int, float], ...]
    made_of: str
    labels: str


@dataclass(frozen=True)
class Part:
    """A component of a song. width: of its bar in percent; compared: its share next to what is usual."""

    number: int
    short: str
    width: float
    compared: str


@dataclass(frozen=True)
class SimilarSong:
    """A song like the one shown; page: the number of its own; terms of the cosine: (component, whether it has a
    page, what it adds in words).
    """

    title: str
    page: int | None
    cosine: str
    labels: str
    terms: tuple[tuple[int, bool, str], ...]


def pages(report: Report) -> list[Page]:
    """songs.html and one page for each song of the sample."""
    known = {component.number: component for component in report.components}
    items = [item(song) for song in sorted(report.songs, key=lambda song: song.name)]
    listed = Page("songs.html", "Songs", "songs.html", "songs.html", {"songs": items})
    return [listed, *(_song(song, known, report.usage) for song in report.songs)]


def item(song: Song) -> ListedSong:
    """A song in a list."""
    told = ", ".join(f"component {number} {percent(share)}" for number, share in song.parts[:3])
    return ListedSong(song.number, song_title(song), song.parts, f"Made of {told}", _in_line(song.labels))


def _song(song: Song, known: Mapping[int, Component], usage: np.ndarray) -> Page:
    largest = max((share for _, share in song.parts), default=1.0)
    view = {
        "song": song,
        "title": song_title(song),
        "folder": folder_of(song.name),
        "timeline": timeline.view(song, known),
        "song_parts": [
            Part(n, known[n].name, round(100 * share / largest, 1), _compared(share, float(usage[n])))
            for n, share in song.parts[:LISTED_PARTS]
        ],
        "similar": [_similar(other, known) for other in song.similar],
        "departures": _departures(song, known, usage),
        "departs": _departs(song, known),
    }
    return Page(song_path(song.number), song_title(song), "songs.html", "song.html", view)


def _departures(song: Song, known: Mapping[int, Component], usage: np.ndarray) -> list[DepartureRow]:
    if not song.departures:
        return []
    parts = song.departures.parts
    return [
        DepartureRow(
            part.component,
            known[part.component].name if part.component in known else None,
            percent(part.share),
            round(100 * part.share / parts[0].share, 1),
            _compared(float(song.shares[part.component]), float(usage[part.component])),
            _how(part, float(song.shares[part.component])),
        )
        for part in parts
    ]


def _how(part: Departure, share: float) -> str:
    return ", ".join(part.words) or ("hardly there" if share < TRACE else "not sure")


def _departs(song: Song, known: Mapping[int, Component]) -> str:
    """The component that moves a song away most, in a sentence; "" where none is known."""
    if not song.departures or not song.departures.parts:
        return ""
    first = song.departures.parts[0]
    called = f" ({known[first.component].name})" if first.component in known else ""
    how = (
        f"; around it its slices are {listed(list(first.words))} than the component itself"
        if first.words
        else ""
    )
    return (
        f"Component {first.component}{called} moves it away from other songs most, by {percent(first.share)} of its "
        f"distance from the mean of {song.departures.n_songs:,} songs{how}."
    )


def _compared(share: float, usual: float) -> str:
    ratio = share / max(usual, 1e-9)
    usually = (
        f"{ratio:.0f} times the usual" if ratio >= 1.5 else "as usual" if ratio > 0.67 else "less than usual"
    )
    return f"{percent(share)}, {usually}"


def _similar(other: Similar, known: Mapping[int, Component]) -> SimilarSong:
    terms = tuple((term.component, term.component in known, _added(term)) for term in other.terms)
    return SimilarSong(
        song_title(other.name), other.page, f"{other.cosine:.2f}", _in_line(other.labels), terms
    )


def _added(term: Term) -> str:
    both = "" if term.more is None else ", both more" if term.more else ", both less"
    return f"{term.cosine:.2f}{both}"


def _in_line(labels: tuple[str, ...]) -> str:
    return ", ".join(map(said, labels[:4]))
