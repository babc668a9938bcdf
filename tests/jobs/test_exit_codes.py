"""The README's table of exit codes against those that the code can end with."""

import ast
import importlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

from ray.job_submission import JobStatus

from infra import cli
from infra.errors import JobError
from jobs.pipeline import submit
from tests.places import REPOSITORY

LAYERS = ("hdpgmm", "features", "evaluation", "infra", "jobs")
ENDS = {"sys.exit", "os._exit", "typer.Exit", "SystemExit", "exit", "quit", "os.abort"}
PYTHONS_OWN = {0, 1, 2}  # the end of main, an exception that nobody caught, a wrong option (typer)
# Where an end's code is no constant: a JobError's own, an interrupt's, and that of a job that was followed.
COMPUTED = {
    ("infra/cli.py", "_complain(f'error: {error}', error.exit_code)"),
    ("infra/cli.py", "_complain(message, INTERRUPTED)"),
    ("jobs/pipeline/submit.py", "code"),
}


def test_every_exit_code_is_in_the_table() -> None:
    codes, signals = table()
    found = PYTHONS_OWN | errors() | written() | submitted()
    assert codes == {code for code in found if code < 128 or code in codes}
    assert {code - 128 for code in found - codes} <= signals


def test_a_code_that_is_computed_is_looked_at() -> None:
    assert {(path, text) for path, text, value in ends() if value is None} == COMPUTED


def table() -> tuple[set[int], range | set[int]]:
    """The codes of the README, and the signals for which it says 128 + n."""
    text = (REPOSITORY / "README.md").read_text()
    part = text.partition("Exit codes:\n\n")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| ([^|]+) \|", part, re.MULTILINE)
    return {int(cell) for cell in cells if cell.isdigit()}, set(range(1, 65)) if "128 + n" in cells else set()


def errors() -> set[int]:
    """Of JobError and all that derive from it, wherever they are."""
    for path in modules():
        if path.stem != "__init__":
            importlib.import_module(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))
    kinds = [JobError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return {kind.exit_code for kind in kinds}


def submitted() -> set[int]:
    """Of a job that was followed: Ray's record has its status and, if it ended by itself, its code or signal."""
    own = [None, 0, -9, -15, *errors(), cli.INTERRUPTED]
    jobs = itertools.product([JobStatus.SUCCEEDED, JobStatus.STOPPED, JobStatus.FAILED], own)
    codes = [submit.exit_code(SimpleNamespace(status=status, driver_exit_code=code)) for status, code in jobs]
    return {*codes, submit.DETACHED, cli.INTERRUPTED}


def written() -> set[int]:
    """Constants that an end is called with, also by a name of the module; and those that a run's summary keeps."""
    return {value for _, _, value in ends() if value is not None}


def ends() -> Iterator[tuple[str, str, int | None]]:
    for path in modules():
        name = str(path.relative_to(REPOSITORY))
        for node in ast.walk(ast.parse(path.read_text())):
            for argument in _codes(node):
                yield name, ast.unparse(argument), _value(argument, name)


def _codes(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ENDS:
        return node.args or [ast.Constant(0)]
    if isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        values = [value for key, value in zip(keys, node.values, strict=True) if key == "exit_code"]
        return [value for value in values if ast.unparse(value) != "error.exit_code"]
    return []


def _value(argument: ast.expr, path: str) -> int | None:
    if isinstance(argument, ast.Constant):
        return argument.value if isinstance(argument.value, int) else 1
    if isinstance(argument, ast.Name):
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        return getattr(module, argument.id, None)
    return 1 if isinstance(argument, ast.JoinedStr) else None


def modules() -> list[Path]:
    return [path for layer in LAYERS for path in sorted((REPOSITORY / layer).rglob("*.py"))]
