"""The part of the page that says what the model was given, and which files it could not use."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.figures.html import bars, columns
from evaluation.report.markup import Html, html, join

LISTED_LABELS = 20
LISTED_FILES = 200
REASONS = {
    "EMPTY": "the file is empty",
    "NOT_AUDIO": "not audio",
    "TRUNCATED": "cut off: the file is shorter than it says",
    "TOO_SHORT": "too short",
    "TOO_LONG": "too long",
    "SILENT": "silence only",
    "NON_FINITE": "values that are not numbers",
    "DECODE_ERROR": "cannot be decoded",
    "CRASH": "crashes the decoder",
    "TIMEOUT": "takes too long",
    "OOM": "needs too much memory",
    "MISSING": "the file has gone",
    "TOO_LARGE": "the file is larger than allowed",
    "SIZE_MISMATCH": "the file changed while it was read",
}


@dataclass(frozen=True)
class LabelColumn:
    """What a column of the label file says: songs per label, most frequent first."""

    name: str
    counts: tuple[tuple[str, int], ...]
    unlabelled: int


@dataclass(frozen=True)
class Quarantined:
    """A file that was set aside."""

    name: str
    reason: str
    message: str


@dataclass(frozen=True)
class Histogram:
    """Songs per duration: counts[i] last from edges[i] to edges[i + 1] seconds."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Corpus:
    """The songs behind everything on the page."""

    name: str
    n_tracks: int
    n_songs: int
    seconds: float
    formats: tuple[tuple[str, int], ...]
    sample_rates: tuple[tuple[str, int], ...]
    channels: tuple[tuple[str, int], ...]
    durations: Histogram
    labels: tuple[LabelColumn, ...]
    quarantined: tuple[Quarantined, ...]


def section(corpus: Corpus) -> Html:
    """Formats, durations, labels, and the files set aside."""
    return html(
        '<section id="corpus"><h2>What it was given</h2><p>{} files, {} of them usable: {} of music.</p>'
        '<div class="panels">{}{}</div>{}{}</section>',
        f"{corpus.n_tracks:,}", f"{corpus.n_songs:,}", duration(corpus.seconds), _durations(corpus.durations),
        _formats(corpus), _labels(corpus.labels), _quarantine(corpus.quarantined),
    )  # fmt: skip


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"


def _durations(histogram: Histogram) -> Html:
    ends = (duration(histogram.edges[0]), duration(histogram.edges[-1]))
    top = max(range(len(histogram.counts)), key=histogram.counts.__getitem__)
    middle = f"{duration(histogram.edges[top])} to {duration(histogram.edges[top + 1])}"
    text = f"Most songs ({histogram.counts[top]:,}) last {middle}."
    return html(
        "<figure><h3>How long the songs are</h3>{}<figcaption>{}</figcaption></figure>",
        columns(histogram.counts, len(histogram.counts), ends, f"Histogram of durations. {text}"), text,
    )  # fmt: skip


def _formats(corpus: Corpus) -> Html:
    parts = (
        ("Formats", corpus.formats),
        ("Sample rates", corpus.sample_rates),
        ("Channels", corpus.channels),
    )
    return html(
        "<div>{}</div>",
        join(
            html("<figure><h3>{}</h3>{}</figure>", title, bars(counts)) for title, counts in parts if counts
        ),
    )


def _labels(labels: Sequence[LabelColumn]) -> Html:
    return html('<div class="panels">{}</div>', join(_label_column(column) for column in labels))


def _label_column(column: LabelColumn) -> Html:
    more = len(column.counts) - LISTED_LABELS
    rest = [f"and {more} more labels"] if more > 0 else []
    rest += [f"{column.unlabelled:,} songs without a label"] if column.unlabelled else []
    return html(
        "<figure><h3><bdi>{}</bdi></h3>{}<figcaption>{}</figcaption></figure>",
        column.name, bars(column.counts[:LISTED_LABELS]), "; ".join(rest),
    )  # fmt: skip


def _quarantine(files: Sequence[Quarantined]) -> Html:
    if not files:
        return html("<p class='small soft' style='margin-top:2rem'>Every file could be used.</p>")
    counts = Counter(file.reason for file in files).most_common()
    rows = join(
        html('<tr><th scope="row"><bdi>{}</bdi></th><td>{}</td><td class="soft">{}</td></tr>', file.name,
             REASONS.get(file.reason, file.reason), file.message)
        for file in files[:LISTED_FILES]
    )  # fmt: skip
    rest = f" The first {LISTED_FILES} are listed." if len(files) > LISTED_FILES else ""
    return html(
        '<h3 style="margin-top:2rem">Files set aside</h3><p class="small soft">{}.{}</p>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Files set aside"><table><thead><tr>'
        '<th scope="col">File</th><th scope="col">Why</th><th scope="col">Details</th></tr></thead>'
        "<tbody>{}</tbody></table></div>",
        "; ".join(f"{REASONS.get(reason, reason)} ({n:,})" for reason, n in counts), rest, rows,
    )  # fmt: skip
