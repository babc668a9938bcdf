"""`python -m jobs.sweep`: a study of settings: models for each point and seed, their scores as a table and a figure.

Every model is an ordinary one under models/, so a study that was stopped continues, and two studies share models.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infra.config import Config
from infra.root import layout
from infra.root.runs import RunFolder
from infra.storage.store import Store
from infra.workers.cluster import shared_ray
from jobs.evaluate import job as evaluate
from jobs.represent import job as represent
from jobs.sweep.plan import Point, table_rows
from jobs.sweep.studies import write_study
from jobs.train import job as train

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Swept:
    """The folder of the study, relative to the root, its rows, and the address of its figure."""

    folder: str
    rows: list[dict[str, Any]]
    figure: str


def run(points: Sequence[tuple[Point, Sequence[Config]]], name: str) -> Swept:
    """Train, represent and score the models of every point, one configuration a seed.

    Raises what the jobs raise. `points` are of one root.
    """
    store = Store(points[0][1][0].root)
    text = json.dumps([[str(point), len(configs)] for point, configs in points])
    study = f"{name.replace(' ', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    folder = layout.study(study)
    rows: list[dict[str, Any]] = []
    trained: list[str] = []
    with RunFolder(store, layout.run(layout.STUDIES, study), f"study {name!r}") as record, shared_ray():
        record.begin({"name": name, "points": [str(point) for point, _ in points]})
        for number, (point, configs) in enumerate(points, 1):
            log.info("sweep: %d of %d: %s, %d seeds", number, len(points), point, len(configs))
            names = [train.run(config).run for config in configs]
            for config, model in zip(configs, names, strict=True):
                represent.run(config, model)
            scored = evaluate.run(configs[-1], names[-1])
            rows += table_rows(point, scored.summaries, _about(store, names))
            record.event("point", settings=str(point), models=names)
            trained += names
            about = {"name": name, "corpus": points[0][1][0].corpus, "models": trained}
            write_study(store, folder, rows, about, record.lease.fence)
        record.summary({"points": len(points), "table": store.uri(layout.study_table(folder))})
    return Swept(folder, rows, store.uri(layout.study_figure(folder)))


def _about(store: Store, names: Sequence[str]) -> dict[str, float]:
    """Means over the models of a point: components that carry 99 %, held-out score, updates and epochs of the model."""
    found = [json.loads(store.read(layout.model_summary(name)))["epoch"] for name in names]
    keys = {"components": "components", "heldout": "heldout", "updates": "step", "epochs": "epoch"}
    values = {name: [np.nan if row[key] is None else row[key] for row in found] for name, key in keys.items()}
    return {name: float(np.mean(value)) for name, value in values.items()}
