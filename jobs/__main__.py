"""`hdpgmm COMMAND ...`, which is `python -m jobs COMMAND ...`: one command line for all jobs."""

import ast
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from infra import cli

COMMANDS = {
    "index": "jobs.index.command",
    "extract": "jobs.extract.command",
    "pca": "jobs.extract.pca",
    "train": "jobs.train.command",
    "represent": "jobs.represent.command",
    "evaluate": "jobs.evaluate.command",
    "interpret": "jobs.interpret.command",
    "similar": "jobs.similar.command",
    "sweep": "jobs.sweep.command",
    "report": "jobs.report.command",
    "pipeline": "jobs.pipeline.command",
    "submit": "jobs.pipeline.submit",
    "status": "jobs.upkeep.status",
    "audit": "jobs.upkeep.audit",
    "compact": "jobs.upkeep.compact",
    "gc": "jobs.upkeep.gc",
    "files": "jobs.upkeep.files",
    "compose": "jobs.compose",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name. Only that one is imported, for some bring torch and Ray with them."""
    words = [*sys.argv[1:]] if arguments is None else arguments
    asked = next((word for word in words if not word.startswith("-")), None)
    commands = {
        name: import_module(module).main if name == asked else _named_only(module)
        for name, module in COMMANDS.items()
    }
    cli.run(cli.application(commands), words)


def _named_only(module: str) -> Callable[..., None]:
    """A command that is not asked for, with its help, which is read out of its file."""

    def named() -> None:
        raise AssertionError(f"{module} is not the command that was asked for")

    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text())
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    named.__doc__ = ast.get_docstring(found[0])
    return named


if __name__ == "__main__":
    main()
