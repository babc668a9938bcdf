"""`python -m jobs.evaluate`: what the vectors know about the labels, next to simpler models and to guessing."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from ray.exceptions import RayTaskError
from rich.console import Console
from rich.table import Table

from evaluation.compare import CHANCE, Row, Score, Summary, score_chance, score_majority, score_vectors
from evaluation.splits import Parts, make_splits, published_splits
from evaluation.tasks import Task
from infra import cli
from infra.cluster import connect
from infra.config import Config, EvaluateConfig, load
from infra.progress import Progress
from infra.shards import decode, encode
from infra.storage import Store
from jobs.evaluate_inputs import Inputs, Notes, align, find_inputs, make_tasks, published, testable
from jobs.evaluate_vectors import baseline_vectors, model_vectors
from jobs.split_lists import SplitLists, read_split_lists

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluated:
    """The model, the path of its summary relative to the root, tasks scored, and whether this call computed them."""

    model: str
    summary: str
    tasks: int
    computed: bool


def run(config: Config, model: str | None = None) -> Evaluated:
    """Score the vectors and the simpler models on every label column, unless that is done; prints the table."""
    store = Store(config.root)
    inputs = find_inputs(store, config.corpus, model)
    lists = read_split_lists(config.evaluate.split) if config.evaluate.split else None
    settings = (config.evaluate.model_dump(mode="json"), asdict(lists) if lists else {})
    path, key = summary_path(inputs.model), inputs.digest(*settings)
    done = read_summary(store, path)
    if done is not None and done[2] == key:
        log.info("evaluate: model %s is scored, nothing to do", inputs.model)
        summaries, computed = done[0], False
    else:
        rows, notes = compute(config, inputs, lists)
        summaries, computed = [summary for row in rows for summary in row.summaries], True
        about = {b"hdpgmm": json.dumps({"key": key, "notes": notes}, ensure_ascii=False).encode()}
        scores = [score for row in rows for score in row.scores]
        store.write(f"scores/{inputs.model}/scores.parquet", encode_rows(Score, scores, about))
        store.write(path, encode_rows(Summary, summaries, about))
        for task, note in notes:
            log.info("evaluate: %s: %s", task, note)
    show(summaries)
    return Evaluated(inputs.model, path, len({summary.task for summary in summaries}), computed)


def compute(config: Config, inputs: Inputs, lists: SplitLists | None = None) -> tuple[list[Row], Notes]:
    """All rows of all tasks, chance first, and what was left out; on a published split if there are lists."""
    living, notes = align(inputs)
    parts = None
    if lists:
        parts, more = published(inputs.tracks, living, lists)
        living, notes = living & parts.songs, notes + more
    tasks, more = make_tasks(inputs.tracks, living, config.evaluate.min_count)
    notes += more
    if parts:
        tasks, more = testable(tasks, parts)
        notes += more
    if not tasks:
        return [], notes
    wanted = sorted({song for task in tasks for song in task.songs})
    vectors = {**baseline_vectors(inputs, wanted, config.evaluate), **model_vectors(inputs, wanted)}
    with connect(config.ray):
        return _score_all(tasks, wanted, vectors, config.evaluate, parts), notes


def _score_all(
    tasks: Sequence[Task],
    wanted: Sequence[str],
    vectors: Mapping[str, np.ndarray],
    config: EvaluateConfig,
    parts: Parts | None,
) -> list[Row]:
    """Every model on every task, as Ray tasks; the rows that know nothing first."""
    index = {track: row for row, track in enumerate(wanted)}
    probe: Any = ray.remote(num_cpus=1)(score_vectors)
    pending: list[list[Any]] = []
    for task in tasks:
        splits = (
            published_splits(task, parts)
            if parts
            else make_splits(task, config.repeats, config.folds, config.seed)
        )
        rows = [index[song] for song in task.songs]
        common = (ray.put(task), ray.put(splits), config.bootstrap, config.seed)
        guesses = [score_chance(task, splits, config.seed)]
        guesses.append(score_majority(task, splits, config.bootstrap, config.seed))
        pending.append([*guesses, *(probe.remote(name, x[rows], *common) for name, x in vectors.items())])
    with Progress(sum(map(len, pending)), "rows", "evaluate") as progress:
        return [_wait(row, progress) for task_rows in pending for row in task_rows]


def _wait(row: Any, progress: Progress) -> Row:
    try:
        found: Any = row if isinstance(row, Row) else ray.get(row)
    except RayTaskError as error:
        raise error.as_instanceof_cause() from None
    progress.advance()
    return found


def summary_path(model: str) -> str:
    """Where a model's scores are summarised, relative to the root."""
    return f"scores/{model}/summary.parquet"


def read_summary(store: Store, path: str) -> tuple[list[Summary], Notes, str] | None:
    """Rows, notes and the digest of the inputs; None if there are none yet."""
    try:
        table = decode(store.read(path))
    except FileNotFoundError:
        return None
    about = json.loads((table.schema.metadata or {}).get(b"hdpgmm", b"{}"))
    notes = [(task, note) for task, note in about.get("notes", [])]
    return [Summary(**row) for row in table.to_pylist()], notes, about.get("key", "")


def encode_rows(record: type[Any], rows: Sequence[Any], about: Mapping[bytes, bytes]) -> bytes:
    """Records of one dataclass as a Parquet table, one column per field."""
    types = {str: pa.string(), int: pa.int32(), float: pa.float64()}
    schema = pa.schema([(field.name, types[field.type]) for field in fields(record)])  # pyright: ignore
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=schema)
    return encode(table.replace_schema_metadata(dict(about)), [len(rows)] if rows else [])


def show(summaries: Sequence[Summary]) -> None:
    """Print models as rows, metrics as columns."""
    if not summaries:
        print("no labels to predict, so no scores")
        return
    columns = list(dict.fromkeys((s.task, s.metric) for s in summaries))
    cells = {(s.representation, s.task, s.metric): s for s in summaries}
    table = Table(
        title="Scores: mean ± SD over repeats [95 % interval over test songs]", title_justify="left"
    )
    table.add_column("vectors")
    for task, metric in columns:
        table.add_column(f"{task}\n{metric.replace('_', ' ')}", justify="right")
    for name in dict.fromkeys(s.representation for s in summaries):
        row = [_cell(cells.get((name, *column))) for column in columns]
        table.add_row(name, *row, style="dim" if name == CHANCE else None)
    Console(highlight=False, width=max(100, 28 + 18 * len(columns))).print(table)


def _cell(s: Summary | None) -> str:
    return "" if s is None else f"{s.mean:.3f} ± {s.sd:.3f}\n[{s.low:.3f}, {s.high:.3f}]"


def main(
    root: cli.Root = None,
    config: cli.ConfigFile = None,
    set_: cli.Set = None,
    corpus: cli.Corpus = None,
    model: cli.Model = None,
    dry_run: cli.DryRun = False,
) -> None:
    """Score the song vectors on the labels, next to G1, VQCodebook, chance and majority."""
    resolved = load(config, tuple(set_ or ()), root=root, corpus=corpus)
    if dry_run:
        print(plan_text(resolved, model))
        return
    run(resolved, model)


def plan_text(config: Config, model: str | None = None) -> str:
    """What --dry-run prints."""
    inputs = find_inputs(Store(config.root), config.corpus, model)
    living, _ = align(inputs)
    folds = f"{config.evaluate.repeats} x {config.evaluate.folds} folds"
    if config.evaluate.split:
        parts, _ = published(inputs.tracks, living, read_split_lists(config.evaluate.split))
        living, folds = living & parts.songs, f"split {config.evaluate.split} ({parts})"
    tasks, _ = make_tasks(inputs.tracks, living, config.evaluate.min_count)
    names = ", ".join(f"{task.name} ({len(task.songs)} songs, {len(task.classes)} labels)" for task in tasks)
    return f"evaluate: model {inputs.model}, {folds}, tasks: {names or 'none, no labels'}"


if __name__ == "__main__":
    cli.run(main, "evaluate", "ray")
