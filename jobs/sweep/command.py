"""`hdpgmm sweep`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from infra import cli
from infra.config import Config, changed
from infra.storage.store import Store
from jobs.sweep.job import run
from jobs.sweep.plan import Point, points_of, with_seed
from jobs.train import job as train

Study = Annotated[
    str | None,
    typer.Option("--study", metavar="NAME", help="The paper's: regularisation or corpus-size."),
]
Over = Annotated[
    list[str] | None,
    typer.Option("--over", metavar="SECTION.KEY=V,V", help="Values of a setting; may be repeated."),
]
Seeds = Annotated[int, typer.Option("--seeds", min=1, help="Models trained at each point.")]


@cli.command("train", "represent", "evaluate", "recommendation", "ray")
def main(
    config: Config, study: Study = None, over: Over = None, seeds: Seeds = 3, dry_run: cli.DryRun = False
) -> None:
    """Train, represent and score models along settings; a table and a figure with intervals."""
    snapshot, _ = train.training_snapshot(config, Store(config.root))
    name, points = points_of(study, over or [], snapshot.n_songs, config.train.epochs)
    numbers = range(config.train.seed, config.train.seed + seeds)
    asked: list[tuple[Point, list[Config]]] = [
        (point, [changed(config, *with_seed(point, seed)) for seed in numbers]) for point in points
    ]
    if dry_run:
        print(f"sweep: {name}: {len(points)} points of {seeds} models on {snapshot.n_songs} songs")
        for point, configs in asked:
            print(f"  {point}: {train.plan_text(configs[0])}")
        return
    found = run(asked, name)
    show(found.rows)
    print(found.figure)


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
        key = (name, row["settings"]) if row["ours"] else (name, "")
        if key in seen:
            continue
        seen.add(key)
        cells = {
            (r["task"], r["metric"]): r
            for r in rows
            if (r["representation"], r["settings"]) == (name, row["settings"])
        }
        learnt = ("", "", "", "", "")
        if row["ours"]:
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
