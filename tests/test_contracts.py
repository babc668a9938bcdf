"""What only the contract modules may spell: where things lie under a root, and the columns of its tables."""

import ast
from collections.abc import Callable
from dataclasses import fields

import pyarrow as pa
import pytest

from evaluation.comparison.cells import Cell, Difference, Summary
from evaluation.interpretation.association import Association
from infra.root import schemas
from infra.workers.isolate import Extracted
from tests.contracts import (
    UNDER_A_ROOT,
    Found,
    columns_named,
    columns_of_tracks,
    folders_named,
    paths_handed,
    paths_made,
    sources,
)

Rule = Callable[[ast.AST], Found]


def places(rule: Rule, *folders: str) -> list[str]:
    return [f"{name}:{line}: {text}" for name, tree in sources(*folders) for line, text in rule(tree)]


def test_paths_under_a_root_are_made_in_one_place():
    assert places(folders_named, "infra", "jobs", "evaluation") == []
    assert places(paths_made, *UNDER_A_ROOT) == []
    assert places(paths_handed, "infra/root", "infra/datasets", "infra/workers", "jobs") == []


def test_columns_of_tables_are_named_in_one_place():
    """But for people's files, whose columns are called anything, and messages between processes."""
    assert places(columns_named, "infra/root", "infra/storage", "infra/workers", "jobs") == []
    assert places(columns_of_tracks, "infra/datasets") == []


PATHS = (
    (folders_named, 'f"models/{run}/final.json"'),
    (folders_named, '"corpus/x/tracks.parquet"'),
    (folders_named, 'f"{tree}/snapshots/{c}"'),
    (paths_made, 'f"{folder}/table.parquet"'),
    (paths_made, 'f"{layout.RUNS}/{name}"'),
    (paths_made, 'f"{self.prefix}/index"'),
    (paths_made, 'f"{start}{number}.json"'),
    (paths_made, 'path = folder + "/about.json"'),
    (paths_made, '"/".join([folder, name])'),
    (paths_made, '"%s/lease" % path'),
    (paths_made, "posixpath.join(folder, name)"),
    (paths_made, "os.path.join(folder, name)"),
    (paths_made, "str(PurePosixPath(folder, name))"),
    (paths_made, '"{}/{}".format(folder, name)'),
    (paths_made, 'name.removesuffix(".json")'),
    (paths_made, 'FILES = "files.json"'),
    (paths_handed, 'store.names("vectors")'),
    (paths_handed, 'tree.store.read(prefix + "x")'),
    (paths_handed, 'self.store.exists(f"{prefix}-about")'),
    (paths_handed, 'layout.model(name, "index")'),
    (paths_handed, 'layout.scores(model, "summary")'),
)
COLUMNS = (
    (columns_named, 'table["track_id"]'),
    (columns_named, 'row["reason"]'),
    (columns_named, "example['message']"),
    (columns_named, 'songs.select([TRACK_ID, VERSION, "path"])'),
    (columns_named, 'file.read(columns=[TRACK_ID, "frames"])'),
    (columns_named, 'tracks.append_column("group", groups)'),
    (columns_named, 'pa.schema([("stage", pa.string())])'),
    (columns_named, 'table.schema.get_field_index("bytes")'),
    (columns_named, 'pa.field("row", pa.int32())'),
    (columns_named, 'pa.table({"decoder": names})'),
    (columns_named, '{TRACK_ID: track, "attempts": 1}'),
    (columns_named, 'known = "group" in tracks.column_names'),
    (columns_named, 'FACTS = ("duration_seconds", x)'),
    (columns_named, '{"log_likelihood": numbers}'),
    (columns_named, 'vector_tables(store, vectors, ["responsibility"])'),
    (columns_named, 'as_matrix(table["soft_sqrt"])'),
    (columns_of_tracks, 'tracks["track_id"]'),
    (columns_of_tracks, 'tracks.append_column("group", groups)'),
)
FINE = (
    (folders_named, 'say(f"{n} models, {m} runs")'),
    (paths_made, 'f"/proc/{pid}/stat"'),
    (paths_made, 'f"tcp://{host}:{port}"'),
    (paths_made, 'pc.ends_with(names, "/" + track)'),
    (paths_made, 'f"{uri}: has no spec.json; delete it"'),
    (paths_handed, "store.read(layout.final(name))"),
    (paths_handed, 'layout.run("train", name)'),
    (paths_handed, "store.write(path, data)"),
    (columns_named, 'log.info("the reason")'),
    (columns_named, 'answer["reason"]'),
    (columns_named, '{"path": item.path, "bytes": item.bytes}'),
    (columns_of_tracks, 'table["track_id"]'),
)


@pytest.mark.parametrize(("rule", "line"), [*PATHS, *COLUMNS])
def test_the_rules_find_what_they_are_for(rule: Rule, line: str):
    assert len([*rule(ast.parse(line))]) == 1


@pytest.mark.parametrize(("rule", "line"), FINE)
def test_the_rules_leave_what_is_neither(rule: Rule, line: str):
    assert [*rule(ast.parse(line))] == []


@pytest.mark.parametrize(
    ("record", "schema"),
    [
        (Cell, schemas.CELLS),
        (Summary, schemas.SUMMARIES),
        (Difference, schemas.DIFFERENCES),
        (Association, schemas.ASSOCIATIONS),
    ],
)
def test_schemas_have_the_fields_of_the_records_that_are_their_rows(record: type, schema: pa.Schema):
    types = {str: "string", bool: "bool", int: "int", float: "double", tuple[float, ...]: "list<"}
    assert [field.name for field in fields(record)] == schema.names
    for field, column in zip(fields(record), schema, strict=True):
        assert str(column.type).startswith(types[field.type])  # pyright: ignore


def test_what_is_known_of_a_file_is_what_an_extraction_says():
    assert {field.name for field in fields(Extracted)} == {"frames", *schemas.SOURCE_FACTS.names}


def test_a_row_has_the_columns_of_its_schema():
    row = {"task": "style", "class": "a", "component": 0, "weight": 1.0}
    assert schemas.table_of(schemas.CLASSES, [row]).to_pylist() == [row]
    for wrong in ({**row, "more": 1}, {"task": "style"}):
        with pytest.raises(ValueError, match="other columns than its schema"):
            schemas.table_of(schemas.CLASSES, [row, wrong])
    assert schemas.table_of(schemas.CLASSES, []).schema == schemas.CLASSES
