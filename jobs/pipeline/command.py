"""`hdpgmm pipeline`."""

from typing import Annotated

import typer

from infra import cli
from infra.config import Config
from jobs.evaluate.table import show
from jobs.index import job as index
from jobs.pipeline.job import run

Incremental = Annotated[
    bool,
    typer.Option(
        "--incremental", help="Keep the model while less than pipeline.retrain_share of the songs is new."
    ),
]
Retrain = Annotated[bool, typer.Option("--retrain", help="Train on the corpus as it is now, in any case.")]
Applied = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="RUN|ROOT",
        help="Train nothing; apply this one: a name under models/, or another root, or ROOT/models/RUN there.",
    ),
]
SECTIONS = (
    *("index", "labels", "extract", "train", "represent"),
    *("evaluate", "recommendation", "pipeline", "report", "similar", "ray"),
)


@cli.command(*SECTIONS, takes=("root", "music", "labels", "corpus"))
def main(
    config: Config,
    incremental: Incremental = False,
    retrain: Retrain = False,
    model: Applied = None,
    dry_run: cli.DryRun = False,
) -> None:
    """Index, extract, train, represent, evaluate and report. Run again, it does only what is missing."""
    if dry_run:
        print(index.plan_text(config))
        return
    ran = run(config, incremental, retrain, model)
    show(ran.evaluated.summaries, ran.evaluated.differences)
    print(ran.report)
