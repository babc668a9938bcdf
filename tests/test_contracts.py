"""What only the contract modules may spell: where things lie under a root, and the columns that tables share."""

import ast
import re
from collections.abc import Iterator

from infra.root import layout, schemas
from tests.places import REPOSITORY

OWNERS = {"infra/root/layout.py", "infra/root/schemas.py"}
SHARED = ("TRACK_ID", "VERSION", "N_FRAMES", "ROW_GROUP", "SHARD", "URI")
FOLDERS = sorted(value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str))
PATH = re.compile(rf"^(?:{'|'.join(FOLDERS)})/")


def sources() -> Iterator[tuple[str, ast.Module]]:
    for package in ("infra", "jobs", "evaluation"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            name = path.relative_to(REPOSITORY).as_posix()
            if name not in OWNERS:
                yield name, ast.parse(path.read_text())


def spelled(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Texts that begin like a path under a root, and folders of one that a listing is asked for."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str() as text) if PATH.match(text):
                yield node.lineno, text
            case ast.JoinedStr(values=parts):
                inner = "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
                if re.search(rf"/(?:{'|'.join(FOLDERS)})(?:/|$)", inner):
                    yield node.lineno, inner
            case ast.Call(
                func=ast.Attribute(attr="names" | "walk"), args=[ast.Constant(value=str() as text), *_]
            ) if text:
                yield node.lineno, text


def test_paths_under_a_root_are_made_in_one_place():
    found = [f"{name}:{line}: {text}" for name, tree in sources() for line, text in spelled(tree)]
    assert found == []


def test_the_rule_finds_what_it_is_for():
    bad = [
        'f"models/{run}/final.json"',
        '"corpus/x/tracks.parquet"',
        'store.names("vectors")',
        'f"{tree}/snapshots/{c}"',
    ]
    assert [len([*spelled(ast.parse(line))]) for line in bad] == [1] * 4
    assert not [*spelled(ast.parse('say(f"{n} models, {m} runs")'))]


COLUMNS = {value for name, value in vars(schemas).items() if name in SHARED}


def named(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Texts that are the name of a column that tables share."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in COLUMNS:
            yield node.lineno, str(node.value)


def test_columns_that_tables_share_are_named_in_one_place():
    """But for people's files, whose columns are called anything, and messages between processes."""
    found = [
        f"{name}:{line}: {text}"
        for name, tree in sources()
        if name.startswith(("jobs/", "infra/root/", "infra/storage/")) and name not in OWNERS
        for line, text in named(tree)
    ]
    assert found == []
