"""The grid of scores as work: who answers which question, done as Ray tasks, kept as one file of cells each.

Cells lie under `scores/cells/` by a digest of all they depend on, so that an evaluation continues where it was stopped,
and models share the simple ones' cells.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from ray.exceptions import RayTaskError

from evaluation.comparison.cells import Cell, Difference, Summary
from evaluation.comparison.questions import Question
from infra.code import digest_of_code
from infra.config import Config
from infra.progress import Progress
from infra.root import layout
from infra.root.schemas import CELLS, DIFFERENCES, GRID, SUMMARIES, table_of
from infra.storage.parquet import decode, encode
from infra.storage.store import Store
from infra.workers.cluster import connect
from infra.workers.metrics import Metrics
from jobs.evaluate.inputs import Inputs
from jobs.evaluate.sources import Source, load_vectors

# What computes a cell, vectors apart: a cell of other code is computed again.
CODE = (
    *("evaluation.baselines", "evaluation.comparison", "evaluation.probing", "evaluation.recommendation"),
    *("jobs.evaluate", "hdpgmm.kinds"),
)
DESCRIBED = {
    "cells_total": "cells of the table of scores answered since the command began",
    "cells_waiting": "cells that are not answered yet",
}
SCHEMAS: dict[type[Any], pa.Schema] = {Cell: CELLS, Summary: SUMMARIES, Difference: DIFFERENCES}


@dataclass(frozen=True)
class Work:
    """A question and who answers it: a source of vectors, or the name of a row that knows no vector."""

    question: Question
    who: Source | str

    @property
    def path(self) -> str:
        """Where its cells are kept, relative to the root; changes with everything they depend on."""
        who = [self.who] if isinstance(self.who, str) else [self.who.representation, *self.who.key]
        parts = json.dumps([digest_of_code(*CODE), self.question.digest, self.question.name, *who])
        return layout.cell(hashlib.sha256(parts.encode()).hexdigest()[:24])


def answer(config: Config, inputs: Inputs, grid: Sequence[Work]) -> tuple[list[Cell], int]:
    """The cells of the grid in its order, and how many of its works this call did; each is stored when it is done."""
    store = inputs.store
    # Read at once: one of long ago that no score names may be gone a moment later (jobs.gc).
    found = {work.path: _kept_cells(store, work.path) for work in grid}
    missing = [work for work in grid if found[work.path] is None]
    if missing:
        sources = [work.who for work in missing if isinstance(work.who, Source)]
        wanted = sorted({song for work in missing for song in work.question.songs})
        vectors = load_vectors(sources, inputs, wanted, config.evaluate) if sources else {}
        with connect(config.ray), Progress(len(missing), "cells", "evaluate") as progress:
            metrics = Metrics("evaluate", inputs.model, DESCRIBED)
            for work, cells in _score_all(missing, wanted, vectors):
                store.write(work.path, encode_rows(Cell, cells, {}))
                found[work.path] = cells
                progress.advance()
                metrics.add(cells_total=1)
                metrics.set(cells_waiting=progress.total - progress.done)
    return [_named(cell, work) for work in grid for cell in found[work.path] or ()], len(missing)


def _score_all(
    works: Sequence[Work], wanted: Sequence[str], vectors: Mapping[tuple[str, int], np.ndarray]
) -> Iterator[tuple[Work, list[Cell]]]:
    """Every work as a Ray task, as they end."""
    index = {track: row for row, track in enumerate(wanted)}
    score: Any = ray.remote(num_cpus=1)(_score)
    score_without: Any = ray.remote(num_cpus=1)(_score_without)
    shared: dict[str, Any] = {}
    pending: dict[Any, Work] = {}
    for work in works:
        question = shared.setdefault(work.question.name, ray.put(work.question))
        if isinstance(work.who, str):
            pending[score_without.remote(work.who, question)] = work
        else:
            x = vectors[work.who.representation, work.who.seed]
            rows = [index[song] for song in work.question.songs]
            pending[score.remote(work.who.representation, x[rows], question)] = work
    while pending:
        (ready,), _ = ray.wait(list(pending), num_returns=1)
        try:
            yield pending.pop(ready), ray.get(ready)
        except RayTaskError as error:
            raise error.as_instanceof_cause() from None


def _score(name: str, x: np.ndarray, question: Question) -> list[Cell]:
    return question.score(name, x)


def _score_without(name: str, question: Question) -> list[Cell]:
    return question.score_without(name)


def _named(cell: Cell, work: Work) -> Cell:
    return (
        cell
        if isinstance(work.who, str)
        else replace(
            cell,
            seed=work.who.seed,
            ours=work.who.model is not None,
            simple=work.who.baseline is not None,
        )
    )


def _kept_cells(store: Store, path: str) -> list[Cell] | None:
    try:
        return decode_rows(Cell, decode(store.read(path)))
    except FileNotFoundError:
        return None


def encode_grid(cells: Sequence[Cell], about: Mapping[bytes, bytes]) -> bytes:
    """One row per representation, task, metric, split, seed and repeat."""
    columns = [name for name in GRID.names if name in CELLS.names]
    rows = [
        {**{name: getattr(cell, name) for name in columns}, "repeat": repeat, "value": _null(value)}
        for cell in cells
        for repeat, value in enumerate(cell.values)
    ]
    table = table_of(GRID, rows).replace_schema_metadata(dict(about))
    return encode(table, [len(rows)] if rows else [])


def encode_rows(record: type[Any], rows: Sequence[Any], about: Mapping[bytes, bytes]) -> bytes:
    """Records of one dataclass of SCHEMAS as a Parquet table, one column per field."""
    records = [{name: _null(value) for name, value in asdict(row).items()} for row in rows]
    table = table_of(SCHEMAS[record], records)
    return encode(table.replace_schema_metadata(dict(about)), [len(rows)] if rows else [])


def decode_rows(record: type[Any], table: pa.Table) -> list[Any]:
    """The records of `encode_rows`."""
    kinds = {field.name: field.type for field in fields(record)}
    return [
        record(**{name: _nan(value, kinds[name]) for name, value in row.items()}) for row in table.to_pylist()
    ]


def _null(value: Any) -> Any:
    """What cannot be measured is null in a table and nan in memory."""
    if isinstance(value, tuple):
        return [_null(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _nan(value: Any, kind: Any) -> Any:
    if isinstance(value, list):
        return tuple(math.nan if item is None else item for item in value)
    return math.nan if value is None and kind is float else value
