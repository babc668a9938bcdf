"""The templates: what they are given is text, what they do not know is an error, all of them are in the wheel."""

import html
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import evaluation.report
from evaluation.report.template import environment

FOLDER = Path(evaluation.report.__file__).parent


@pytest.mark.parametrize("text", ["<b>", '"', "'", "&", "{}", "{{ 7 }}", "&lt;"])
def test_whatever_is_given_is_escaped(text: str):
    made = environment().from_string("<i title='{{ text }}'>{{ text }}</i>").render(text=text)
    inside = made.removeprefix("<i title='").removesuffix("</i>")
    assert inside.count(">") == inside.count("'") == 1
    assert html.unescape(made) == f"<i title='{text}'>{text}</i>"


@pytest.mark.parametrize("name", ["badge", "strip", "player", "chips", "component_link"])
def test_what_a_macro_is_given_is_escaped_once(name: str):
    evil = "<b>&amp;'\""
    given = {
        "badge": (evil,),
        "strip": ([(evil, 0.5)], evil),
        "player": (evil, evil),
        "chips": ((evil,),),
        "component_link": (1, evil, evil),
    }[name]
    made = str(getattr(environment().get_template("parts.html").module, name)(*given))
    assert "<b>" not in made
    assert evil in html.unescape(made)


def test_a_name_that_is_not_known_is_an_error():
    with pytest.raises(UndefinedError, match="nobody"):
        environment().from_string("{{ nobody }}").render()
    with pytest.raises(UndefinedError, match="nothing"):
        environment().from_string("{{ thing.nothing }}").render(thing=object())


def test_no_template_switches_escaping_off_and_python_holds_no_tags():
    for path in FOLDER.glob("templates/*"):
        assert "safe" not in path.read_text().replace("'unsafe-inline'", ""), path
        assert "autoescape" not in path.read_text(), path
    for path in [*FOLDER.glob("*.py"), *FOLDER.parent.glob("figures/*.py")]:
        lines = [line for line in path.read_text().splitlines() if "</" in line or "Markup" in line]
        assert lines == [], path


def test_templates_and_styles_are_part_of_the_package():
    project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["evaluation.report"]
    files = [path for path in FOLDER.rglob("*") if path.is_file() and path.suffix in (".html", ".css", ".js")]
    assert len(files) >= 12
    for path in files:
        assert any(fnmatch(path.relative_to(FOLDER).as_posix(), pattern) for pattern in patterns), path
