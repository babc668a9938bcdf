"""The first page: what this is, where to begin."""

from evaluation.interpretation.tally import carrying, effective_number
from evaluation.report import components, scores, songs
from evaluation.report.metrics import registered
from evaluation.report.paths import INDEX
from evaluation.report.records import Report
from evaluation.report.template import Page
from evaluation.report.wording import duration

FIRST = 6  # components and songs to begin with


def page(report: Report) -> Page:
    """index.html."""
    view = {
        "used": _used(report),
        "shares": [(c.number, c.share) for c in report.components],
        "sentence": _sentence(report),
        "n_used": carrying(report.usage),
        "cards": [components.card(c, report.corpus.n_songs) for c in report.components[:FIRST]],
        "songs": [songs.item(song) for song in report.songs[:FIRST]],
    }
    return Page(INDEX, f"What the model heard in {report.corpus.name}", INDEX, "overview.html", view)


def _sentence(report: Report) -> str:
    seconds, kinds = duration(report.corpus.seconds), carrying(report.usage)
    start = (
        f"A computer model, an HDPGMM, listened to {seconds} of music without being told "
        f"anything about it, and sorted what it heard into {kinds} recurring kinds of sound."
    )
    if report.trained_in:
        start = (
            f"A computer model, an HDPGMM, that had listened to other music without being told anything about it "
            f"({report.trained_in}) sorted {seconds} of this music into {kinds} recurring kinds of sound."
        )
    plain = [
        row
        for row in report.summaries
        if row.ours and row.representation == report.recommended and registered(row.metric).sentence
    ]
    return f"{start} {scores.in_words(plain[0], report)}" if plain else start


def _used(report: Report) -> str:
    return (
        f"All the music, component by component. {len(report.usage)} components were offered to the model; "
        f"{carrying(report.usage)} of them explain 99 % of everything heard. It is as diverse as "
        f"{effective_number(report.usage):.1f} components used equally."
    )
