"""The page of one component: what is component 17?"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from evaluation.figures.html import bars, dots
from evaluation.interpretation.lift import Lift
from evaluation.interpretation.tally import SPREAD
from evaluation.report.frame import (
    Page,
    badge,
    chips,
    clock,
    component_link,
    component_path,
    in_short,
    percent,
    player,
    said,
    segment_path,
    song_path,
    song_title,
    words_of,
)
from evaluation.report.markup import Html, html, join
from evaluation.report.records import Component, Report, Segment, Song, Trait

MOST_LIFTS = 10
LEAST_LIFTS = 4
TRACE = 2  # the first bin of SPREAD from which a song counts as having the component: 1 %


def pages(report: Report) -> list[Page]:
    """One page for each component shown."""
    known = {component.number: component for component in report.components}
    songs = {song.number: song for song in report.songs}
    made = []
    for i, component in enumerate(report.components):
        before = report.components[i - 1] if i else None
        after = report.components[i + 1] if i + 1 < len(report.components) else None
        body = join(
            [
                _head(component, i, report),
                _listen(component),
                _sound(component.traits),
                _labels(component, report.corpus.n_songs),
                _usage(component, songs),
                _nearest(component, known),
                _neighbours(before, after),
            ]
        )
        title = f"Component {component.number}: {in_short(component)}"
        made.append(Page(component_path(component.number), title, "components.html", body))
    return made


def sentence(component: Component, n_songs: int) -> str:
    """A component in one or two plain sentences."""
    words = words_of(component)
    sound = (
        f"It sounds {_listed(words)} than the other sounds here"
        if words
        else "It is of ordinary loudness, brightness and attack"
    )
    have = sum(component.spread[TRACE:])
    traces = f"{have:,} of {n_songs:,} songs contain more than a trace of it"
    where = f"makes up {percent(component.share)} of the music, and {traces}"
    goes = ""
    if component.labels:
        goes = f" It goes with {_listed([said(item.label) for item in component.labels[:3]])}."
    return f"{sound}, {where}.{goes}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def remark(component: Component, n_songs: int) -> str:
    """A component in a line: how it sounds, how much of it there is."""
    words = ", ".join(words_of(component))
    sound = f"{words[0].upper()}{words[1:]}. " if words else ""
    return f"{sound}{percent(component.share)} of the music, in {sum(component.spread[TRACE:]):,} of {n_songs:,} songs."


def _head(component: Component, rank: int, report: Report) -> Html:
    return html(
        '<header class="title"><p class="crumb"><a href="../components.html">Components</a> · number {} of {} '
        "by use</p><h1>{}<span>Component {}</span></h1><p class=\"lead\">{}</p></header>",
        rank + 1, len(report.components), badge(component.number), component.number,
        sentence(component, report.corpus.n_songs),
    )  # fmt: skip


def _listen(component: Component) -> Html:
    if not component.segments:
        return html(
            '<section><h2>Listen</h2><p class="soft">No song uses it enough to listen to.</p></section>'
        )
    items = join(segment(component.number, i, item) for i, item in enumerate(component.segments))
    return html(
        "<section><h2>Listen</h2><p>The places where this sound is purest, in different songs. What do they have in "
        'common?</p><ul class="listen">{}</ul></section>',
        items,
    )


def segment(number: int, index: int, item: Segment) -> Html:
    """A place to listen to, as an item of a list."""
    folder, _, name = item.song.rpartition("/")
    where = f"{clock(item.start_seconds, True)} to {clock(item.stop_seconds, True)}, {percent(item.share)} this sound"
    title = html("<bdi>{}</bdi>", name)
    if item.page is not None:
        title = html('<a href="../{}">{}</a>', song_path(item.page), title)
    sound = (
        html('<span class="where">Cannot be played: {}</span>', item.problem)
        if item.mp3 is None
        else player(f"../{segment_path(number, index)}", f"Component {number}: {name}")
    )
    origin = html('<div class="where"><bdi>{}</bdi></div>', folder) if folder else ""
    return html(
        '<li>{}<div><div class="song">{}</div>{}<div class="where">{}</div>{}</div></li>',
        sound, title, origin, where, chips(item.labels[:4]),
    )  # fmt: skip


def _sound(traits: Sequence[Trait]) -> Html:
    if not traits:
        return Html("")
    rows = join(
        html('<div><dt>{}</dt><dd class="meter" aria-hidden="true"><i style="left:{}%;width:{}%"></i></dd>'
             '<dd>{}</dd></div>', trait.name, *_meter(trait.deviation), trait.words)
        for trait in traits
    )  # fmt: skip
    return html(
        "<section><h2>How it sounds</h2><p>Compared with the other sounds of the songs searched for examples.</p>"
        '<dl class="traits">{}</dl></section>',
        rows,
    )


def _meter(deviation: float) -> tuple[float, float]:
    """Left end and width in percent of a bar from the middle, full at one and a half standard deviations."""
    reach = 50 * max(-1.0, min(1.0, deviation / 1.5))
    return round(50 + min(reach, 0.0), 1), round(abs(reach), 1)


def _labels(component: Component, n_songs: int) -> Html:
    if not component.lifts:
        return html(
            '<section><h2>What it goes with</h2><p class="soft">There are no labels to compare with.</p></section>'
        )
    standing = {item.label for item in component.labels}
    shown = sorted(component.lifts, key=lambda item: item.label not in standing)
    if len(shown) > MOST_LIFTS + LEAST_LIFTS:
        shown = [*shown[:MOST_LIFTS], *shown[-LEAST_LIFTS:]]
    rows = [_lift_row(item, item.label in standing) for item in shown]
    first = shown[0]
    about = f"Most: {said(first.label)}, {first.lift:.1f} times ({first.low:.1f} to {first.high:.1f})."
    none = "" if standing else " None stands out here: every bar reaches down to 1."
    left_out = len(component.lifts) - len(shown)
    rest = f" {left_out} labels in between are not shown." if left_out else ""
    return html(
        "<section><h2>What it goes with</h2><p>The model never saw a label. The dot says how many times as much of "
        "this sound the songs with a label contain, compared with all {} songs; 1 is as usual. The bar is the range "
        "that other songs of the same kind would leave plausible (95&nbsp;%).{}</p>{}"
        '<p class="small soft">Labels that few songs have are held back towards 1. Intervals take songs as '
        "independent.{}</p></section>",
        f"{n_songs:,}", none, dots(rows, 1.0, 1, f"Lift of labels with intervals. {about}"), rest,
    )  # fmt: skip


def _lift_row(item: Lift, stands_out: bool) -> tuple[str, float, float, float, str]:
    high = item.high if item.high < float("inf") else item.lift
    return f"{said(item.label)} ({item.n_songs:,})", item.lift, item.low, high, "ours" if stands_out else ""


def _usage(component: Component, songs: Mapping[int, Song]) -> Html:
    edges = [100 * edge for edge in SPREAD]
    names = [f"under {edges[0]:g} %"]
    names += [f"{a:g} to {b:g} %" for a, b in pairwise(edges)] + [f"over {edges[-1]:g} %"]
    rich = join(
        html('<li><a href="../{}"><bdi>{}</bdi></a> <span class="soft">{}</span></li>', song_path(number),
             song_title(songs[number]), percent(share))
        for number, share in component.songs
    )  # fmt: skip
    heard = (
        html('<div><h3>Songs here with much of it</h3><ol class="plain">{}</ol></div>', rich)
        if rich
        else Html("")
    )
    return html(
        '<section><h2>Where it occurs</h2><div class="panels"><div><h3>Songs by how much of it they contain</h3>{}'
        "</div>{}</div></section>",
        bars(list(zip(names, component.spread, strict=True))), heard,
    )  # fmt: skip


def _nearest(component: Component, known: Mapping[int, Component]) -> Html:
    if not component.nearest:
        return Html("")
    items = join(
        html('<li>{}<span class="soft small">{}</span></li>', component_link(number, "../", in_short(known[number])),
             f"distance {distance:.1f}")
        for number, distance in component.nearest
    )  # fmt: skip
    return html(
        '<section><h2>Sounds like it</h2><p>The components nearest to this one.</p><ul class="near">{}</ul>'
        '<p class="small soft">Nearness is the Bhattacharyya distance of the two Gaussians, means and covariances, '
        "in nats: 0 would be the same sound.</p></section>",
        items,
    )


def _neighbours(before: Component | None, after: Component | None) -> Html:
    links = [
        html('<a rel="{}" href="../{}">{}</a>', rel, component_path(other.number), words.format(other.number))
        for rel, words, other in (
            ("prev", "← Component {}, more used", before),
            ("next", "Component {}, less used →", after),
        )
        if other is not None
    ]
    return html('<p class="turn">{}</p>', join(links, " "))
