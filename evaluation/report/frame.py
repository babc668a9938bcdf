"""What all pages share: the head, the way around, the search box, and how things are called.

Pages load a style sheet, two scripts and sounds from their own folder and nothing else; the content security policy
forbids the rest, and scripts inside a page, so that a hostile file name has nothing to gain.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from evaluation.report.markup import Html, html, join
from evaluation.report.records import Component, Report, Song

# 'self' means the folder of the page under file:// too, in Chromium and Firefox.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; media-src 'self' blob:; "
    "connect-src 'self'; img-src 'self' data:; form-action 'none'; base-uri 'none'"
)
PARTS = (
    ("index.html", "Overview"),
    ("components.html", "Components"),
    ("songs.html", "Songs"),
    ("scores.html", "Scores"),
    ("corpus.html", "Corpus"),
)


@dataclass(frozen=True)
class Page:
    """A page to be framed: its path below report/, its title, its part of PARTS, and what is in it."""

    path: str
    title: str
    part: str
    body: Html

    @property
    def up(self) -> str:
        """From the page to the folder of all pages."""
        return "../" * self.path.count("/")


def framed(page: Page, report: Report) -> bytes:
    """A whole page as UTF-8 bytes."""
    made = html(
        '<!doctype html>\n<html lang="en" data-up="{up}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="{policy}"><meta name="referrer" content="no-referrer">'
        '<meta name="hdpgmm-inputs" content="{inputs}"><meta name="color-scheme" content="light dark">'
        '<title>{title}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="{up}page.css">'
        '<script defer src="{up}search.js"></script><script defer src="{up}page.js"></script></head><body>'
        '<a class="skip" href="#content">Skip to the content</a>{nav}<main class="page" id="content">{body}</main>'
        '<footer class="page small soft">Model {model}, corpus {corpus}. Made {made} UTC by hdpgmm. '
        "These pages load nothing from anywhere else.</footer></body></html>\n",
        up=page.up, policy=POLICY, inputs=report.inputs, title=page.title, nav=_nav(page), body=page.body,
        model=report.model, corpus=report.corpus.name, made=report.made,
    )  # fmt: skip
    return made.encode("utf-8", errors="replace")


def _nav(page: Page) -> Html:
    here = Html(' aria-current="true"')
    links = join(
        html('<li><a href="{}{}"{}>{}</a></li>', page.up, path, here if path == page.part else "", title)
        for path, title in PARTS
    )
    return html(
        '<nav aria-label="Pages"><div class="bar"><ul>{}</ul><div class="search" role="search" hidden>'
        '<input id="search" type="search" placeholder="Search" aria-label="Search components, labels and songs" '
        'autocomplete="off" spellcheck="false" role="combobox" aria-expanded="false" aria-controls="found" '
        'aria-autocomplete="list"><ul id="found" role="listbox" aria-label="Found" hidden></ul></div></div></nav>',
        links,
    )


def component_path(number: int) -> str:
    return f"component/{number}.html"


def song_path(number: int) -> str:
    return f"song/{number}.html"


def segment_path(number: int, index: int) -> str:
    return f"audio/component-{number}-{index + 1}.mp3"


def song_audio_path(number: int) -> str:
    return f"audio/song-{number}.mp3"


def badge(number: int) -> Html:
    """A component's number on its colour."""
    return html('<span class="badge k k{}">{}</span>', number, number)


def component_link(number: int, up: str, text: str = "") -> Html:
    """A component's badge and a few words, as a link."""
    words = html(" <bdi>{}</bdi>", text) if text else ""
    name = "" if text else html(' aria-label="Component {}"', number)
    return html(
        '<a class="component" href="{}{}"{}>{}{}</a>', up, component_path(number), name, badge(number), words
    )


def strip(parts: Iterable[tuple[int, float]], description: str) -> Html:
    """Components side by side in their colours, each as wide as its share; what is missing to 1 stays empty."""
    drawn = join(
        html('<i class="k k{}" style="width:{}%"></i>', number, round(100 * share, 2))
        for number, share in parts
    )
    return html('<div class="strip" role="img" aria-label="{}">{}</div>', description, drawn)


def said(label: str) -> str:
    """A label as people say it: bossa_nova is bossa nova."""
    return label.replace("_", " ").strip() or label


def in_short(component: Component) -> str:
    """A component in a few words: the labels it goes with, or else how it sounds."""
    if component.labels:
        return ", ".join(said(item.label) for item in component.labels[:2])
    return ", ".join(words_of(component)[:2]) or "an ordinary sound"


def words_of(component: Component) -> list[str]:
    """How a component differs from other sounds: "much louder", "darker"."""
    return [trait.words for trait in component.traits if trait.words != "as usual"]


def song_title(song: Song | str) -> str:
    """The last part of a song's name, which is a path."""
    return (song if isinstance(song, str) else song.name).rpartition("/")[2]


def player(path: str, label: str) -> Html:
    """A sound to play. page.js makes it one button; without scripts it is the browser's own player."""
    return html(
        '<span class="player"><audio controls preload="none" src="{}" aria-label="{}"></audio></span>',
        path,
        label,
    )


def chips(labels: tuple[str, ...]) -> Html:
    """Labels in a row."""
    if not labels:
        return Html("")
    return html(
        '<ul class="chips">{}</ul>', join(html("<li><bdi>{}</bdi></li>", said(label)) for label in labels)
    )


def clock(seconds: float, tenths: bool = False) -> str:
    """Seconds as 1:05, or 1:05.3."""
    return (
        f"{int(seconds) // 60}:{seconds % 60:04.1f}"
        if tenths
        else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    )


def percent(share: float) -> str:
    """A share as people write it: 12 %, 3.4 %, under 0.1 %."""
    if share >= 0.1:
        return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
    return (
        f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
        if share >= 0.001 or share <= 0
        else "under 0.1\N{NO-BREAK SPACE}%"
    )
