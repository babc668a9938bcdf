"""From what a page shows to its bytes, by Jinja2 and the templates beside this file.

Whatever a template is given is escaped, so that a file name, a label or a message never becomes a tag; a name that a
template does not know is an error. Pages load a style sheet, two scripts and sounds from their own folder and nothing
else: the content security policy in base.html forbids the rest, and scripts inside a page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from evaluation.report import paths, wording
from evaluation.report.records import Report


@dataclass(frozen=True)
class Page:
    """A page: its path below report/, its title, its entry of the navigation, its template and what that is given."""

    path: str
    title: str
    part: str
    template: str
    view: Mapping[str, Any]

    @property
    def up(self) -> str:
        """From the page to the folder of all pages."""
        return "../" * self.path.count("/")


@cache
def environment() -> Environment:
    """The templates, and the words and paths that all of them use."""
    made = Environment(
        loader=PackageLoader("evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    said = (wording.said, wording.clock, wording.duration, wording.percent, wording.thousands)
    made.filters.update({function.__name__: function for function in said})
    places = (paths.component_path, paths.song_path, paths.song_audio_path, paths.study_path)
    made.globals.update({function.__name__: function for function in places}, parts=paths.PARTS)
    return made


def rendered(page: Page, report: Report) -> bytes:
    """A whole page as UTF-8 bytes."""
    made = environment().get_template(page.template).render(page=page, report=report, **page.view)
    return made.encode("utf-8", errors="replace")
