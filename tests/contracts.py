"""What only the contract modules may spell, found in the source: paths under a root, and columns of its tables."""

import ast
import re
from collections.abc import Iterable, Iterator

from infra.root import layout, schemas
from jobs.represent.kinds import STORED
from tests.places import REPOSITORY

Found = Iterator[tuple[int, str]]  # line, and what is spelled there

OWNERS = ("infra/root/layout.py", "infra/root/schemas.py")
UNDER_A_ROOT = ("infra/root/", "jobs/")  # whose texts with a slash are paths under a root, or begin with one


def named(*names: str) -> set[str]:
    return {getattr(schemas, name) for name in names}


# Columns whose names are nothing else, wherever they are, and those that are words: found where a table is asked.
WORDS = named(*("BYTES", "GROUP", "PATH", "ROW", "FRAMES", "STAGE", "REASON", "MESSAGE", "ATTEMPTS"))
WORDS |= named(*("SAMPLE_RATE", "CHANNELS", "DECODER", "FALLBACK"))
COLUMNS = named(*("TRACK_ID", "VERSION", "URI", "SHARD", "ROW_GROUP", "N_FRAMES", "FIRST_SEEN", "LAST_SEEN"))
COLUMNS |= named(*("DURATION", "MISSING", "LOG_LIKELIHOOD", "TOP_COMPONENTS", "TOP_SHARES"))
KIND_COLUMNS = {*STORED}
CONSTANTS = {name for name, value in vars(schemas).items() if name.isupper() and isinstance(value, str)}
RECORDS = {"answer", "spec"}  # JSON of another process and of a specification, which are no rows
ASKING = {
    "read",
    "read_row_group",
    "iter_batches",
    "read_table",
    "select",
    "column",
    "field",
    "drop",
    "drop_columns",
}
ASKING |= {
    "append_column",
    "add_column",
    "set_column",
    "get_field_index",
    "sort_by",
    "rename_columns",
    "schema",
}
ASKING |= {"read_columns", "from_pydict", "from_arrays", "group_by", "table"}

TABLES = {layout.SONGS, layout.QUARANTINE, layout.SUMMARY, layout.GRID, layout.DIFFERENCES}
TABLES |= {layout.ASSOCIATIONS, layout.COMPONENTS, layout.CLASSES}
FOLDERS = [value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)]
FOLDERS = sorted(re.escape(value) for value in FOLDERS if "." not in value and value not in TABLES)
PATH = re.compile(rf"^(?:{'|'.join(FOLDERS)})/")
FILE = re.compile(r"[\w/-]*\.(?:json|jsonl|parquet|safetensors|faiss|png)")
STORED = {
    "uri",
    "read",
    "write",
    "create",
    "stage",
    "move",
    "exists",
    "size",
    "names",
    "walk",
    "delete",
    "open",
    "digest",
}


def sources(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            name = path.relative_to(REPOSITORY).as_posix()
            if not name.startswith(OWNERS):
                yield name, ast.parse(path.read_text())


def folders_named(tree: ast.AST) -> Found:
    """Texts that begin like a path under a root or have a folder of one inside, in any module."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str() as text) if PATH.match(text):
                yield node.lineno, text
            case ast.JoinedStr():
                text = pattern(node)
                if re.search(rf"/(?:{'|'.join(FOLDERS)})(?:/|$)", text.replace(HOLE, "")):
                    yield node.lineno, text


HOLE = "\0"


def pattern(node: ast.AST) -> str:
    """The text that an expression makes, with a HOLE for each value that is put in."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(pattern, parts))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return pattern(left) + pattern(right)
        case ast.BinOp(left=ast.Constant(value=str() as text), op=ast.Mod()):
            return re.sub(r"%[\d.]*[a-z]", HOLE, text)
        case ast.Call(func=ast.Attribute(attr="format", value=ast.Constant(value=str() as text))):
            return re.sub(r"\{[^}]*\}", HOLE, text)
        case ast.Call(func=ast.Attribute(attr="join", value=ast.Constant(value=str() as text))):
            return HOLE + text + HOLE
        case ast.Call(
            func=ast.Attribute(attr="join", value=ast.Name(id="posixpath") | ast.Attribute(attr="path"))
        ):
            return f"{HOLE}/{HOLE}"
        case ast.Call(func=ast.Name(id="PurePosixPath"), args=[_, _, *_]):
            return f"{HOLE}/{HOLE}"
    return HOLE


def paths_made(tree: ast.AST) -> Found:
    """Of modules about a root: texts that put a name behind a slash or before one, or end like a file's name.

    Absolute paths and addresses are not of a root, and no sentence has a slash beside what is put into it.
    """
    inside = {part for node in ast.walk(tree) for part in _parts(node)}
    for node in ast.walk(tree):
        if node in inside or not isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp | ast.Call):
            continue
        text = pattern(node)
        if re.match(r"/|\w+://", text):
            continue
        if f"{HOLE}/" in text or f"/{HOLE}" in text or FILE.fullmatch(text.replace(HOLE, "")):
            yield node.lineno, text.replace(HOLE, "*")


def _parts(node: ast.AST) -> Iterable[ast.AST]:
    """What `pattern` has looked at within an expression; a value that is put in is an expression of its own."""
    match node:
        case ast.JoinedStr(values=parts):
            return [part for part in parts if isinstance(part, ast.Constant)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [left, right]
        case ast.BinOp(left=ast.Constant() as left, op=ast.Mod()):
            return [left]
        case ast.Call(func=ast.Attribute(attr="format" | "join", value=ast.Constant() as text)):
            return [text]
    return []


def paths_handed(tree: ast.AST) -> Found:
    """Texts spelled in a call of a store, and in one of the functions of layout, but for the names of jobs."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="layout"), attr=function), args=args):
                texts = args if function != "run" else args[1:]
            case ast.Call(func=ast.Attribute(value=owner, attr=method), args=args) if (
                method in STORED and re.search(r"store$", ast.unparse(owner).lower())
            ):
                texts = args
            case _:
                continue
        for text in texts:
            found = pattern(text).replace(HOLE, "*")
            if found.strip("*"):
                yield node.lineno, found


def columns_named(tree: ast.AST) -> Found:
    """Names of columns: COLUMNS and KIND_COLUMNS anywhere, WORDS where a table or a row of one is asked or made."""
    anywhere = COLUMNS | KIND_COLUMNS
    asked = {id(node) for node in ast.walk(tree) for name in _asked(node) for node in ast.walk(name)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str() as text) if text in anywhere or (
                text in WORDS and id(node) in asked
            ):
                yield node.lineno, text


def columns_of_tracks(tree: ast.AST) -> Found:
    """In modules about people's tables: columns of a table called `tracks`, which is a track list of ours."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=ast.Name(id="tracks"), slice=ast.Constant(value=str() as text)):
                names = [text]
            case ast.Call(func=ast.Attribute(value=ast.Name(id="tracks")), args=args):
                names = [arg.value for arg in args if isinstance(arg, ast.Constant)]
            case _:
                continue
        yield from ((node.lineno, str(name)) for name in names if name in COLUMNS | WORDS)


def _asked(node: ast.AST) -> list[ast.expr]:
    """The expressions of a node that are names of columns."""
    match node:
        case ast.Subscript(value=ast.Name(id=name)) if name in RECORDS:
            return []
        case ast.Subscript(slice=ast.Constant() as name):
            return [name]
        case ast.Call(func=ast.Attribute(attr=method) | ast.Name(id=method), args=args, keywords=keywords):
            columns = [word.value for word in keywords if word.arg in ("columns", "names", "schema")]
            literal = [arg for arg in args if isinstance(arg, ast.Constant | ast.List | ast.Tuple | ast.Dict)]
            return [*columns, *(literal if method in ASKING else ())]
        case ast.Dict(keys=keys) if any(isinstance(key, ast.Name) and key.id in CONSTANTS for key in keys):
            return [key for key in keys if key is not None]
        case ast.Compare(left=left, comparators=[ast.Attribute(attr="column_names" | "names")]):
            return [left]
    return []
