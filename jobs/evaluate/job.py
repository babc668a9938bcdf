"""`python -m jobs.evaluate`: what vectors know about labels, numbers and plays, next to simpler models and guessing."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from evaluation.comparison.cells import Difference, Summary, differences, summarise
from infra.config import Config
from infra.root import layout
from infra.root.journal import Fence, replace_files
from infra.root.runs import RunFolder
from infra.storage.parquet import decode
from infra.storage.store import Store
from jobs.evaluate.grid import CODE, Work, answer, decode_rows, encode_grid, encode_rows
from jobs.evaluate.inputs import Inputs, Notes, find_inputs
from jobs.evaluate.questions import find_questions, given
from jobs.evaluate.sources import find_family, find_sources
from jobs.represent.kinds import recommended_row

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluated:
    """The model, the path of its summary relative to the root, tasks scored, how many cells this call computed; the
    rows, and what the recommended kind is ahead of the others.
    """

    model: str
    summary: str
    tasks: int
    computed: int
    summaries: tuple[Summary, ...] = field(repr=False)
    differences: tuple[Difference, ...] = field(repr=False)


def run(config: Config, model: str | None = None) -> Evaluated:
    """Score the vectors and the simpler models on every task, as far as that is not done.

    Raises Incomplete while another run scores the same model.
    """
    store = Store(config.root)
    inputs = find_inputs(store, config.corpus, model)
    known, name = _known(config, inputs), inputs.model
    if known is not None:
        return known
    with RunFolder(store, layout.run("evaluate", name), f"scoring model {name}") as folder:
        folder.begin(config.model_dump(mode="json"))
        inputs = find_inputs(store, config.corpus, name)  # as it is now that nobody else is at it
        found = _known(config, inputs) or _score(config, inputs, folder.lease.fence)
        folder.summary({"model": name, "tasks": found.tasks, "computed": found.computed})
    return found


def _known(config: Config, inputs: Inputs) -> Evaluated | None:
    """What was scored before, with the same inputs and settings."""
    path = layout.scores(inputs.model, layout.SUMMARY)
    done = read_summary(inputs.store, path)
    if done is None or done[2] != _key(config, [member for _, member in find_family(inputs)[0]]):
        return None
    log.info("evaluate: model %s is scored, nothing to do", inputs.model)
    tasks = len({summary.task for summary in done[0]})
    differences = tuple(read_differences(inputs.store, inputs.model))
    return Evaluated(inputs.model, path, tasks, 0, tuple(done[0]), differences)


def _score(config: Config, inputs: Inputs, fence: Fence) -> Evaluated:
    family, notes = find_family(inputs)
    path, key = layout.scores(inputs.model, layout.SUMMARY), _key(config, [member for _, member in family])
    questions, more = find_questions(config, inputs)
    grid = [
        Work(question, who)
        for question in questions
        for who in (*question.without_vectors, *find_sources(family, config.evaluate))
    ]
    cells, computed = answer(config, inputs, grid)
    summaries = summarise(cells)
    recommended = recommended_row({row.representation for row in summaries if row.ours})
    against = differences(cells, recommended)
    notes += more
    kept = [work.path for work in grid]  # what `jobs.gc` leaves there
    features = inputs.specification.to_json()
    told = {"key": key, "notes": notes, "cells": kept, "features": features}
    about = {b"hdpgmm": json.dumps(told, ensure_ascii=False).encode()}
    files = [
        (layout.scores(inputs.model, layout.GRID), encode_grid(cells, about)),
        (layout.scores(inputs.model, layout.DIFFERENCES), encode_rows(Difference, against, about)),
        (path, encode_rows(Summary, summaries, about)),
    ]
    replace_files(inputs.store, files, fence)
    for task, note in notes:
        log.info("evaluate: %s: %s", task, note)
    return Evaluated(inputs.model, path, len(questions), computed, tuple(summaries), tuple(against))


def _key(config: Config, family: Sequence[Inputs]) -> str:
    """Changes with anything the table depends on."""
    settings = (
        config.evaluate.model_dump(mode="json"),
        config.recommendation.model_dump(mode="json"),
        given(config),
    )
    parts = [member.digest(*settings, code=CODE) for member in family]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def read_differences(store: Store, model: str) -> list[Difference]:
    """What the recommended kind is ahead of the others; nothing where there are no scores yet."""
    try:
        return decode_rows(Difference, decode(store.read(layout.scores(model, layout.DIFFERENCES))))
    except FileNotFoundError:
        return []


def read_summary(store: Store, path: str) -> tuple[list[Summary], Notes, str] | None:
    """Rows, notes and the digest of the inputs; None if there are none yet."""
    try:
        table = decode(store.read(path))
    except FileNotFoundError:
        return None
    about = _about_of(table)
    notes = [(task, note) for task, note in about.get("notes", [])]
    return decode_rows(Summary, table), notes, about.get("key", "")


def _about_of(table: pa.Table) -> dict[str, Any]:
    return json.loads((table.schema.metadata or {}).get(b"hdpgmm", b"{}"))


def cells_in_use(store: Store) -> set[str] | None:
    """Paths of the kept cells that the scores under a root consist of; None where some scores do not say."""
    found: set[str] = set()
    for path in (
        layout.scores(name, layout.SUMMARY) for name in store.names(layout.SCORES) if name != layout.CELLS
    ):
        if store.exists(path):
            about = _about_of(decode(store.read(path)))
            if "cells" not in about:
                return None
            found.update(about["cells"])
    return found


def plan_text(config: Config, model: str | None = None) -> str:
    """What --dry-run prints."""
    inputs = find_inputs(Store(config.root), config.corpus, model)
    family, _ = find_family(inputs)
    questions, notes = find_questions(config, inputs)
    folds = f"{config.evaluate.repeats} x {config.evaluate.folds} folds"
    if config.evaluate.split:
        folds = f"split {config.evaluate.split}"
    names = ", ".join(f"{question.name} ({question.about})" for question in questions)
    seeds = f" and {len(family) - 1} of other seeds" if len(family) > 1 else ""
    plan = f"evaluate: model {inputs.model}{seeds}, {folds}, tasks: {names or 'none, no labels'}"
    return "\n".join([plan, *(f"  {task}: {note}" for task, note in notes)])
