"""The first page: what this is, where to begin."""

from collections.abc import Sequence

from evaluation.comparison.cells import CHANCE, Summary
from evaluation.interpretation.tally import carrying, effective_number
from evaluation.report import components as page_map
from evaluation.report import scores as page_scores
from evaluation.report import songs as page_songs
from evaluation.report.corpus import duration
from evaluation.report.frame import Page, strip
from evaluation.report.markup import Html, html, join
from evaluation.report.records import Report

FIRST = 6  # components and songs to begin with


def page(report: Report) -> Page:
    """index.html."""
    body = html(
        '{}<figure>{}<figcaption>{}</figcaption></figure>{}{}{}',
        _head(report),
        strip([(c.number, c.share) for c in report.components], f"Share of each component. {_used(report)}"),
        _used(report), _components(report), _songs(report), _more(report),
    )  # fmt: skip
    return Page("index.html", f"What the model heard in {report.corpus.name}", "index.html", body)


def _head(report: Report) -> Html:
    corpus = report.corpus
    tiles = [
        ("Songs", f"{corpus.n_songs:,}"),
        ("Music", duration(corpus.seconds)),
        ("Components in use", f"{carrying(report.usage)}"),
        ("Files set aside", f"{len(corpus.quarantined):,}"),
    ]
    return html(
        '<header class="title"><h1>What the model heard</h1><p class="lead">{}</p><dl class="tiles">{}</dl></header>',
        _sentence(report), join(html("<div><dt>{}</dt><dd>{}</dd></div>", name, value) for name, value in tiles),
    )  # fmt: skip


def _sentence(report: Report) -> str:
    start = (
        f"A computer model, an HDPGMM, listened to {duration(report.corpus.seconds)} of music without being told "
        f"anything about it, and sorted what it heard into {carrying(report.usage)} recurring kinds of sound."
    )
    plain = [
        s
        for s in report.summaries
        if s.representation.startswith(page_scores.OURS) and s.metric in page_scores.PLAIN_METRICS
    ]
    if not plain:
        return start
    best = max((s for s in plain if s.task == plain[0].task), key=lambda s: s.mean)
    return f"{start} {page_scores.in_words(best, _chance_of(best, report.summaries))}"


def _chance_of(row: Summary, summaries: Sequence[Summary]) -> float | None:
    same = [s for s in summaries if (s.representation, s.task, s.metric) == (CHANCE, row.task, row.metric)]
    return same[0].mean if same else None


def _used(report: Report) -> str:
    return (
        f"All the music, component by component. {len(report.usage)} components were offered to the model; "
        f"{carrying(report.usage)} of them explain 99 % of everything heard. It is as diverse as "
        f"{effective_number(report.usage):.1f} components used equally."
    )


def _components(report: Report) -> Html:
    cards = join(page_map.card(c, report.corpus.n_songs) for c in report.components[:FIRST])
    return html(
        "<section><h2>The sounds</h2>{}"
        '<ul class="cards">{}</ul><p class="turn"><a href="components.html">All {} on a map →</a></p></section>',
        EXPLANATION, cards, len(report.components),
    )  # fmt: skip


EXPLANATION = Html(
    "<p>The model listens to each song in slices of a fraction of a second and sorts the slices by how they sound. "
    "A <b>component</b> is one recurring kind of sound it came up with on its own: perhaps a hissing cymbal, a low "
    "bass note, a sung vowel, strings swelling. A song is then described by how much of each it contains. "
    "These are the most used. Play them, and open one to learn what it is.</p>"
)


def _songs(report: Report) -> Html:
    if not report.songs:
        return Html("")
    items = join(page_songs.item(song) for song in report.songs[:FIRST])
    return html(
        "<section><h2>The songs</h2><p>On a song's page you can listen along and see which components come and go.</p>"
        '<ul class="songs">{}</ul><p class="turn"><a href="songs.html">All {} sampled songs →</a></p></section>',
        items, len(report.songs),
    )  # fmt: skip


def _more(report: Report) -> Html:
    return html(
        '<section><h2>Behind it</h2><ul class="ways"><li><a href="scores.html">Scores</a> How much the model knows '
        "about the labels it never saw, next to simpler models, and how it learnt.</li><li>"
        '<a href="corpus.html">Corpus</a> '
        "What it was given: {} files, and which of them could not be used.</li></ul></section>",
        f"{report.corpus.n_tracks:,}",
    )
