"""The documents say what is there."""

import ast
import re
from pathlib import Path

from tests.code_map import PACKAGES, PAGE, page
from tests.places import REPOSITORY

DOCUMENTS = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
MOST_FILES = 16  # Python files in a folder; one-line modules that keep a command's name do not count


def test_the_map_of_the_code_is_the_code() -> None:
    assert PAGE.read_text() == page(), "run python -m tests.code_map"


def test_every_file_that_a_document_names_is_there() -> None:
    named = re.compile(r"`((?:docs|findings|tests|" + "|".join(PACKAGES) + r")/[\w./-]*)`")
    lost = [
        f"{document.name}: {path}"
        for document in DOCUMENTS
        for path in named.findall(document.read_text())
        if not (REPOSITORY / path).exists()
    ]
    assert lost == []


def test_no_folder_has_too_many_files() -> None:
    counts = {
        folder: sum(not _is_one_line(path) for path in folder.glob("*.py"))
        for package in PACKAGES
        for folder in (REPOSITORY / package).rglob("*")
        if folder.is_dir()
    }
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES} == {}


def _is_one_line(path: Path) -> bool:
    """Whether a module does nothing but run what it imports, or is empty but for words."""
    tree = ast.parse(path.read_text())
    return not any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign) for node in tree.body)
