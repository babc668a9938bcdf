"""The page that says what the model was given, and which files it could not use."""

from collections import Counter
from dataclasses import dataclass

from evaluation.figures.geometry import Bar, Columns, bars, columns
from evaluation.report.records import Histogram, LabelColumn, Report
from evaluation.report.template import Page
from evaluation.report.wording import duration

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
class Counted:
    """A list of bars; rest: what it leaves out, in words."""

    title: str
    bars: tuple[Bar, ...]
    rest: str = ""


def page(report: Report) -> Page:
    """corpus.html: formats, durations, labels, and the files set aside."""
    corpus = report.corpus
    parts = (
        ("Formats", corpus.formats),
        ("Sample rates", corpus.sample_rates),
        ("Channels", corpus.channels),
    )
    files = corpus.quarantined
    view = {
        "corpus": corpus,
        **_durations(corpus.durations),
        "sources": [Counted(title, bars(counts)) for title, counts in parts if counts],
        "labels": [_label_column(column) for column in corpus.labels],
        "files": [(file, _reason(file.reason)) for file in files[:LISTED_FILES]],
        "reasons": [(_reason(r), n) for r, n in Counter(file.reason for file in files).most_common()],
        "n_listed": LISTED_FILES if len(files) > LISTED_FILES else None,
    }
    return Page("corpus.html", "Corpus", "corpus.html", "corpus.html", view)


def _reason(reason: str) -> str:
    """In words; one of an extractor of another version stays as it is."""
    return REASONS.get(reason, reason)


def _durations(histogram: Histogram) -> dict[str, Columns | str]:
    ends = (duration(histogram.edges[0]), duration(histogram.edges[-1]))
    top = max(range(len(histogram.counts)), key=histogram.counts.__getitem__)
    middle = f"{duration(histogram.edges[top])} to {duration(histogram.edges[top + 1])}"
    text = f"Most songs ({histogram.counts[top]:,}) last {middle}."
    return {
        "histogram": columns(histogram.counts, ends, f"Histogram of durations. {text}"),
        "most_last": text,
    }


def _label_column(column: LabelColumn) -> Counted:
    more = len(column.counts) - LISTED_LABELS
    rest = [f"and {more} more labels"] if more > 0 else []
    rest += [f"{column.unlabelled:,} songs without a label"] if column.unlabelled else []
    return Counted(column.name, bars(column.counts[:LISTED_LABELS]), "; ".join(rest))
