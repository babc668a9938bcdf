"""docs/code.md: every module with the first sentence of its docstring. `python -m tests.code_map` writes it."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.places import REPOSITORY

PACKAGES = {
    "features": "audio bytes to frames: pure functions (numpy, numba, soundfile, soxr, PyAV, librosa, torch)",
    "hdpgmm": "the model as pure functions (torch and numpy alone)",
    "infra": "storage, the ledger, readers of people's files, workers, configuration (ray, pyarrow, s3fs, pydantic)",
    "evaluation": "probes, comparison models, interpretation, pages, the composed corpus (numpy, scikit-learn)",
    "jobs": "the commands: a folder a stage, which compose the four libraries",
}
PAGE = REPOSITORY / "docs/code.md"


def page() -> str:
    """The page as it should be."""
    parts = [
        "# The code, file by file",
        "",
        "Written by `python -m tests.code_map` from the modules' docstrings.",
        "",
    ]
    for package, about in PACKAGES.items():
        parts += [f"## `{package}/`: {about}", ""]
        for folder, files in _folders(REPOSITORY / package):
            name = folder.relative_to(REPOSITORY).as_posix()
            parts += [
                f"**`{name}/`**{_said(folder / '__init__.py', ': ')}",
                "",
                "| file | what it is |",
                "|---|---|",
            ]
            parts += [f"| `{file.name}` | {_said(file)} |" for file in files] + [""]
    return "\n".join(parts)


def _folders(package: Path) -> Iterator[tuple[Path, list[Path]]]:
    for folder in sorted({path.parent for path in package.rglob("*.py")}):
        files = [
            path for path in sorted(folder.glob("*.py")) if path.name not in ("__init__.py", "__main__.py")
        ]
        if files:
            yield folder, files


def _said(file: Path, before: str = "") -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    first = " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")
    return before + first if first else ""


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
