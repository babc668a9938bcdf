"""`python -m jobs.pipeline`: from a folder of audio to song vectors, scores and a report; does what is missing."""

import logging

from infra import cli
from infra.cluster import lasting
from infra.config import Config, load
from infra.runs import RunFolder
from infra.storage import Store
from jobs import evaluate, extract, index, report, represent, train
from jobs.specification import require_frames

log = logging.getLogger(__name__)


def run(config: Config) -> str:
    """Run every job in turn, with one Ray for all that need it; where the report is."""
    require_frames(config.extract)
    store = Store(config.root)
    store.check()
    with lasting(), RunFolder(store, f"runs/pipeline-{config.corpus}") as folder:
        folder.begin(config.model_dump(mode="json"))
        for job in (index, extract):
            folder.event(job.__name__, result=repr(job.run(config)))
        model = train.run(config).run
        for job in (represent, evaluate, report):
            folder.event(job.__name__, result=repr(job.run(config, model)))
        folder.summary({"model": model, "report": store.uri("report/index.html")})
    return store.uri("report/index.html")


def main(
    root: cli.Root = None,
    music: cli.Music = None,
    labels: cli.Labels = None,
    config: cli.ConfigFile = None,
    set_: cli.Set = None,
    corpus: cli.Corpus = None,
    dry_run: cli.DryRun = False,
) -> None:
    """Index, extract, train, represent, evaluate and report. Run again, it does only what is missing."""
    resolved = load(config, tuple(set_ or ()), root=root, music=music, labels_file=labels, corpus=corpus)
    if dry_run:
        print(index.plan_text(resolved))
        return
    run(resolved)


if __name__ == "__main__":
    cli.run(main, "labels", "extract", "train", "represent", "evaluate", "taste", "report", "ray")
