"""`python -m jobs.sweep`: a study of settings: models for each point and seed, their scores as a table and a figure.

Every model is an ordinary one under models/, so a study that was stopped continues, and two studies share models.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from evaluation.report.scores import OURS
from infra import cli
from infra.config import Config, load
from infra.root import models
from infra.root.runs import RunFolder
from infra.storage.store import Store
from infra.workers.cluster import lasting
from jobs.evaluate import job as evaluate
from jobs.represent import job as represent
from jobs.sweep.plan import Point, points_of, table_rows, with_seed
from jobs.sweep.studies import FOLDER, write_study
from jobs.train import job as train

log = logging.getLogger(__name__)


def run(points: Sequence[tuple[Point, Sequence[Config]]], name: str) -> str:
    """Train, represent and score the models of every point, one configuration a seed; where the table is.

    Raises what the jobs raise. `points` are of one root.
    """
    store = Store(points[0][1][0].root)
    text = json.dumps([[str(point), len(configs)] for point, configs in points])
    folder = f"{FOLDER}/{name.replace(' ', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    rows: list[dict[str, Any]] = []
    trained: list[str] = []
    with RunFolder(store, f"runs/{folder.replace('/', '-')}", f"study {name!r}") as record, lasting():
        record.begin({"name": name, "points": [str(point) for point, _ in points]})
        for number, (point, configs) in enumerate(points, 1):
            log.info("sweep: %d of %d: %s, %d seeds", number, len(points), point, len(configs))
            names = [train.run(config).run for config in configs]
            for config, model in zip(configs, names, strict=True):
                represent.run(config, model)
            _, scored, _ = evaluate.score(configs[-1], names[-1])
            rows += table_rows(point, scored, _about(store, names))
            record.event("point", settings=str(point), models=names)
            trained += names
            about = {"name": name, "corpus": points[0][1][0].corpus, "models": trained}
            write_study(store, folder, rows, about, record.lease.fence)
        record.summary({"points": len(points), "table": store.uri(f"{folder}/table.parquet")})
    show(rows)
    print(store.uri(f"{folder}/sweep.png"))
    return folder


def _about(store: Store, names: Sequence[str]) -> dict[str, float]:
    """Means over the models of a point: components that carry 99 %, held-out score, updates and epochs of the model."""
    found = [json.loads(store.read(f"{models.prefix(name)}/summary.json"))["epoch"] for name in names]
    keys = {"components": "components", "heldout": "heldout", "updates": "step", "epochs": "epoch"}
    values = {name: [np.nan if row[key] is None else row[key] for row in found] for name, key in keys.items()}
    return {name: float(np.mean(value)) for name, value in values.items()}


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """A row for each point and representation of ours, a column for each task; the simple ones once."""
    columns = list(dict.fromkeys((row["task"], row["metric"]) for row in rows))
    table = Table(title="mean ± SD between models [95 % interval]", title_justify="left")
    for head in ("setting", "", "vectors", "components", "updates", "held-out"):
        table.add_column(head, no_wrap=True)
    for task, metric in columns:
        table.add_column(f"{task}\n{metric.replace('_', ' ')}", justify="right")
    seen = set()
    for row in rows:
        name = row["representation"]
        key = (name, row["settings"]) if name.startswith(OURS) else (name, "")
        if key in seen:
            continue
        seen.add(key)
        cells = {
            (r["task"], r["metric"]): r
            for r in rows
            if (r["representation"], r["settings"]) == (name, row["settings"])
        }
        learnt = ("", "", "", "", "")
        if name.startswith(OURS):
            learnt = (
                row["x"],
                row["series"],
                f"{row['components']:.0f}",
                f"{row['updates']:.0f}",
                f"{row['heldout']:.2f}",
            )
        table.add_row(*learnt[:2], name, *learnt[2:], *(_cell(cells.get(column)) for column in columns))
    Console(highlight=False, width=max(120, 100 + 18 * len(columns))).print(table)


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    sd = "" if np.isnan(row["sd"]) else f" ± {row['sd']:.3f}"
    return f"{row['mean']:.3f}{sd}\n[{row['low']:.3f}, {row['high']:.3f}]"


def main(
    study: Annotated[
        str | None,
        typer.Option("--study", metavar="NAME", help="The paper's: regularisation or corpus-size."),
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option("--over", metavar="SECTION.KEY=V,V", help="Values of a setting; may be repeated."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Models trained at each point.")] = 3,
    root: cli.Root = None,
    config: cli.ConfigFile = None,
    set_: cli.Set = None,
    corpus: cli.Corpus = None,
    dry_run: cli.DryRun = False,
) -> None:
    """Train, represent and score models along settings; a table and a figure with intervals."""
    base = load(config, tuple(set_ or ()), root=root, corpus=corpus)
    snapshot, _ = train.training_snapshot(base, Store(base.root))
    name, points = points_of(study, over or [], snapshot.n_songs, base.train.epochs)
    asked: list[tuple[Point, list[Config]]] = [
        (
            point,
            [
                load(config, (*(set_ or ()), *with_seed(point, seed)), root=root, corpus=corpus)
                for seed in range(base.train.seed, base.train.seed + seeds)
            ],
        )
        for point in points
    ]
    if dry_run:
        print(f"sweep: {name}: {len(points)} points of {seeds} models on {snapshot.n_songs} songs")
        for point, configs in asked:
            print(f"  {point}: {train.plan_text(configs[0])}")
        return
    run(asked, name)
