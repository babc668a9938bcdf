"""The report: a folder of pages that needs nothing else and opens from disk or from any web server."""

import json
import re
from collections.abc import Iterator
from importlib.resources import files

from evaluation.report import (
    component as page_component,
)
from evaluation.report import (
    components as page_map,
)
from evaluation.report import (
    corpus as page_corpus,
)
from evaluation.report import (
    overview as page_overview,
)
from evaluation.report import (
    scores as page_scores,
)
from evaluation.report import (
    songs as page_songs,
)
from evaluation.report import (
    studies as page_studies,
)
from evaluation.report import (
    training as page_training,
)
from evaluation.report.frame import (
    PARTS,
    Page,
    component_path,
    framed,
    in_short,
    said,
    segment_path,
    song_audio_path,
    song_path,
    song_title,
)
from evaluation.report.markup import html, join
from evaluation.report.records import Report

INDEX = "index.html"


def render(report: Report) -> Iterator[tuple[str, bytes]]:
    """(path below the folder, content) of every file, index.html last: it is what makes the others count."""
    yield from _sounds(report)
    yield "page.css", f"{_own('page.css')}\n{page_map.colours(report.components)}\n".encode()
    yield "page.js", _own("page.js").encode()
    yield "search.js", search_index(report)
    for number, study in enumerate(report.studies):
        yield page_studies.study_path(number), study.figure
    pages = [page_map.page(report), *page_component.pages(report), *page_songs.pages(report)]
    for page in [*pages, _scores(report), _corpus(report), page_overview.page(report)]:
        yield page.path, framed(page, report)


def inputs_of(page: bytes) -> str | None:
    """The digest of what a page was made from, None if it is no page of ours."""
    found = re.search(rb'<meta name="hdpgmm-inputs" content="([^"]*)">', page[:4096])
    return found[1].decode() if found else None


def model_of(page: bytes) -> str | None:
    """The model that a page is about, None if it is no page of ours."""
    found = re.search(rb'<footer class="page small soft">Model ([^,<]*), corpus ', page)
    return found[1].decode() if found else None


def search_index(report: Report) -> bytes:
    """What the search box finds, as a script, because pages on a disk may not fetch: [kind, title, words, path]."""
    found = [["Page", title, "", path] for path, title in PARTS]
    for component in report.components:
        words = ", ".join(said(item.label) for item in component.labels) or in_short(component)
        found.append(["Component", f"Component {component.number}", words, component_path(component.number)])
    for song in report.songs:
        words = ", ".join([*map(said, song.labels), song.name])
        found.append(["Song", song_title(song), words, song_path(song.number)])
    return f"const SEARCH = {json.dumps(found)};\n".encode()


def _sounds(report: Report) -> Iterator[tuple[str, bytes]]:
    for component in report.components:
        for i, segment in enumerate(component.segments):
            if segment.mp3 is not None:
                yield segment_path(component.number, i), segment.mp3
    for song in report.songs:
        if song.timeline.mp3 is not None:
            yield song_audio_path(song.number), song.timeline.mp3


def _scores(report: Report) -> Page:
    body = html(
        '<header class="title"><h1>Scores</h1></header>{}{}',
        page_scores.section(report.summaries, report.notes),
        join([page_studies.section(report.studies), page_training.section(report.epochs)]),
    )
    return Page("scores.html", "Scores", "scores.html", body)


def _corpus(report: Report) -> Page:
    body = html('<header class="title"><h1>Corpus</h1></header>{}', page_corpus.section(report.corpus))
    return Page("corpus.html", "Corpus", "corpus.html", body)


def _own(name: str) -> str:
    return files("evaluation.report").joinpath("static", name).read_text()
