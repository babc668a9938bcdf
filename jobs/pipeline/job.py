"""`python -m jobs.pipeline`: from a folder of audio to song vectors, scores and a report; does what is missing.

With --incremental a model is kept while few songs are new to it: what is new gets vectors of the model that there is.
"""

import logging
from typing import Annotated

import typer

from infra import cli
from infra.config import Config, load
from infra.root.runs import RunFolder
from infra.storage.store import Store
from infra.workers.cluster import lasting
from jobs.evaluate import job as evaluate
from jobs.extract import job as extract
from jobs.extract.specification import require_frames
from jobs.index import job as index
from jobs.pipeline.incremental import find_kept
from jobs.report import job as report
from jobs.represent import job as represent
from jobs.train import job as train

log = logging.getLogger(__name__)

Incremental = Annotated[
    bool,
    typer.Option(
        "--incremental", help="Keep the model while less than pipeline.retrain_share of the songs is new."
    ),
]
Retrain = Annotated[bool, typer.Option("--retrain", help="Train on the corpus as it is now, in any case.")]


def run(config: Config, incremental: bool = False, retrain: bool = False) -> str:
    """Run every job in turn, with one Ray for all that need it; where the report is.

    incremental: keep the model while few songs are new to it, unless `retrain`. Raises Incomplete while another
    pipeline of the same corpus and root is under way, and what the jobs raise.
    """
    require_frames(config.extract)
    store = Store(config.root)
    store.check()
    what = f"the pipeline of corpus {config.corpus}"
    with RunFolder(store, f"runs/pipeline-{config.corpus}", what) as folder, lasting():
        folder.begin(config.model_dump(mode="json"))
        for job in (index, extract):
            folder.lease.check()
            folder.event(job.__name__, result=repr(job.run(config)))
        model = choose_model(config) if incremental and not retrain else train.run(config).run
        for job in (represent, evaluate, report):
            folder.lease.check()
            folder.event(job.__name__, result=repr(job.run(config, model)))
        folder.summary({"model": model, "report": store.uri("report/index.html")})
    return store.uri("report/index.html")


def choose_model(config: Config) -> str:
    """The model to go on with: the one that there is, or one trained now because too many songs are new to it."""
    kept, limit = find_kept(config), config.pipeline.retrain_share
    if kept is None:
        return train.run(config).run
    about = f"{kept.new_songs} of {kept.songs} songs are new to model {kept.run}"
    if kept.new_share >= limit:
        log.info(
            "pipeline: %s (%.0f %%, pipeline.retrain_share is %.0f %%)",
            about,
            100 * kept.new_share,
            100 * limit,
        )
        return train.run(config).run
    log.info("pipeline: %s, it is kept", about)
    return kept.run


def main(
    root: cli.Root = None,
    music: cli.Music = None,
    labels: cli.Labels = None,
    config: cli.ConfigFile = None,
    set_: cli.Set = None,
    corpus: cli.Corpus = None,
    incremental: Incremental = False,
    retrain: Retrain = False,
    dry_run: cli.DryRun = False,
) -> None:
    """Index, extract, train, represent, evaluate and report. Run again, it does only what is missing."""
    resolved = load(config, tuple(set_ or ()), root=root, music=music, labels_file=labels, corpus=corpus)
    if dry_run:
        print(index.plan_text(resolved))
        return
    run(resolved, incremental, retrain)
