"""The report: a folder of pages that needs nothing else and opens from disk or from any web server."""

import json
import re
from collections.abc import Iterator
from importlib.resources import files

from evaluation.report import component, components, corpus, overview, scores, songs
from evaluation.report.paths import (
    INDEX,
    PARTS,
    component_path,
    segment_path,
    song_audio_path,
    song_path,
    study_path,
)
from evaluation.report.records import Report
from evaluation.report.template import rendered
from evaluation.report.wording import said, song_title

__all__ = ["INDEX", "inputs_of", "model_of", "render", "search_index"]


def render(report: Report) -> Iterator[tuple[str, bytes]]:
    """(path below the folder, content) of every file, index.html last: it is what makes the others count."""
    yield from _sounds(report)
    yield "page.css", f"{_static('page.css')}\n{components.colours(report.components)}\n".encode()
    yield "page.js", _static("page.js").encode()
    yield "search.js", search_index(report)
    for number, study in enumerate(report.studies):
        yield study_path(number), study.figure
    pages = [components.page(report), *component.pages(report), *songs.pages(report)]
    for page in [*pages, scores.page(report), corpus.page(report), overview.page(report)]:
        yield page.path, rendered(page, report)


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
    for item in report.components:
        words = ", ".join(said(lift.label) for lift in item.labels) or item.name
        found.append(["Component", f"Component {item.number}", words, component_path(item.number)])
    for song in report.songs:
        words = ", ".join([*map(said, song.labels), song.name])
        found.append(["Song", song_title(song), words, song_path(song.number)])
    return f"const SEARCH = {json.dumps(found)};\n".encode()


def _sounds(report: Report) -> Iterator[tuple[str, bytes]]:
    for item in report.components:
        for i, segment in enumerate(item.segments):
            if segment.mp3 is not None:
                yield segment_path(item.number, i), segment.mp3
    for song in report.songs:
        if song.timeline.mp3 is not None:
            yield song_audio_path(song.number), song.timeline.mp3


def _static(name: str) -> str:
    return files("evaluation.report").joinpath("static", name).read_text()
