"""`python -m jobs.pipeline`: from a folder of audio to song vectors, scores and a report; does what is missing.

With --incremental a model is kept while few songs are new to it: what is new gets vectors of the model that there is.
With --model nothing is trained: a model of this root, or of another one, is applied.
"""

import logging
from dataclasses import dataclass
from typing import TypeVar

from infra.config import Config
from infra.errors import ConfigError
from infra.root import layout
from infra.root.imported import locate
from infra.root.runs import RunFolder
from infra.storage.store import Store
from infra.workers.cluster import shared_ray
from jobs.evaluate import job as evaluate
from jobs.evaluate.job import Evaluated
from jobs.extract import job as extract
from jobs.extract.specification import require_frames
from jobs.index import job as index
from jobs.pipeline.incremental import find_kept
from jobs.report import job as report
from jobs.represent import job as represent
from jobs.represent.model import require_features
from jobs.train import job as train

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ran:
    """The model, its scores, and the address of the report's first page."""

    model: str
    evaluated: Evaluated
    report: str


def run(config: Config, incremental: bool = False, retrain: bool = False, model: str | None = None) -> Ran:
    """Run every job in turn, with one Ray for all that need it.

    incremental: keep the model while few songs are new to it, unless `retrain`. model: take this one, of the root or at
    an address (infra.root.imported), and train none. Raises Incomplete while another pipeline of the same corpus and
    root is under way, and what the jobs raise.
    """
    spec = require_frames(config.extract)
    store = Store(config.root)
    store.check()
    if model is not None:
        if incremental or retrain:
            raise ConfigError(
                "--model: nothing is trained with a model given; leave out --incremental and --retrain"
            )
        found = locate(store, model)
        require_features(found.final, spec)
        model = found.address
    what = f"the pipeline of corpus {config.corpus}"
    with RunFolder(store, layout.run("pipeline", config.corpus), what) as folder, shared_ray():
        folder.begin(config.model_dump(mode="json"))

        def ended(job: str, result: T) -> T:
            folder.event(job, result=repr(result))
            folder.lease.check()
            return result

        ended("index", index.run(config))
        ended("extract", extract.run(config))
        if model is None:
            model = choose_model(config) if incremental and not retrain else train.run(config).run
            ended("train", model)
        model = ended("represent", represent.run(config, model)).model
        evaluated = ended("evaluate", evaluate.run(config, model))
        reported = ended("report", report.run(config, model))
        folder.summary({"model": model, "report": reported.uri})
    return Ran(model, evaluated, reported.uri)


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
