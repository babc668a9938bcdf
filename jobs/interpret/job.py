"""`python -m jobs.interpret`: what components go with, whether that holds on other songs, what classes are made of."""

import json
import logging
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.baselines import with_shares
from features.spec import columns
from infra.config import Config
from infra.root import layout
from infra.root.journal import replace_files
from infra.root.runs import RunFolder
from infra.root.schemas import ASSOCIATIONS, CLASSES, components, table_of
from infra.storage.parquet import encode
from infra.storage.store import Store
from jobs.evaluate.inputs import Inputs, find_inputs
from jobs.evaluate.labels import read_labels
from jobs.interpret.tables import associations, check, class_rows, component_rows, few_songs_mass, gather

CODE = (
    *("evaluation.interpretation", "evaluation.baselines", "evaluation.probing"),
    *("jobs.interpret", "jobs.evaluate", "jobs.represent.model"),
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Interpreted:
    """The model whose tables are there, and their summary."""

    model: str
    summary: dict[str, Any]

    @property
    def folder(self) -> str:
        """Where they lie, relative to the root."""
        return layout.interpretation(self.model)


def run(config: Config, model: str | None = None) -> Interpreted:
    """Write the tables of a model under interpretation/, unless they are there.

    Raises ConfigError where the track list has no labels with songs enough, Incomplete while another run is at it.
    """
    store = Store(config.root)
    inputs = find_inputs(store, config.corpus, model)
    name = inputs.model
    summary = _known(config, inputs)
    if summary is None:
        with RunFolder(store, layout.run("interpret", name), f"the interpretation of model {name}") as record:
            record.begin(config.model_dump(mode="json"))
            inputs = find_inputs(store, config.corpus, name)  # as it is now that nobody else is at it
            summary = _known(config, inputs)
            if summary is None:
                summary, files = _interpret(config, inputs)
                replace_files(store, files, record.lease.fence)
            record.summary(summary)
    return Interpreted(name, summary)


def plan_text(config: Config, model: str | None = None) -> str:
    """What --dry-run prints."""
    inputs = find_inputs(Store(config.root), config.corpus, model)
    songs = gather(inputs, read_labels(inputs.tracks), config.interpret)
    return f"interpret: model {inputs.model}, {len(songs.ids)} songs, {len(songs.members)} labels"


def _known(config: Config, inputs: Inputs) -> dict[str, Any] | None:
    """The summary of tables that are there, of the same inputs and settings."""
    try:
        summary = json.loads(inputs.store.read(layout.interpretation_summary(inputs.model)))
    except FileNotFoundError:
        return None
    if summary.get("key") != _key(config, inputs):
        return None
    log.info(
        "interpret: %s is up to date, nothing to do", inputs.store.uri(layout.interpretation(inputs.model))
    )
    return summary


def _key(config: Config, inputs: Inputs) -> str:
    settings = config.evaluate
    others = {
        "units": [baseline.key for baseline in with_shares(settings.model_dump())],
        "seed": settings.seed,  # of the frames that they are fitted on
        "min_count": settings.min_count,  # of the classes
    }
    return inputs.digest(config.interpret.model_dump(mode="json"), others, code=CODE)


def _interpret(config: Config, inputs: Inputs) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
    """The summary, and paths and contents of all files, the summary's last."""
    labels = read_labels(inputs.tracks)
    songs = gather(inputs, labels, config.interpret)
    checked = check(config, inputs, songs)
    tables = {
        layout.ASSOCIATIONS: table_of(
            ASSOCIATIONS, [asdict(row) for row in associations(songs, labels, config.interpret)]
        ),
        layout.COMPONENTS: table_of(
            components(columns(inputs.specification)),
            component_rows(config, inputs, songs, labels, checked[0]),
        ),
        layout.CLASSES: table_of(CLASSES, class_rows(config, inputs)),
    }
    summary = {
        "key": _key(config, inputs),
        "songs": len(songs.ids),
        "few_songs_mass": few_songs_mass(songs),
        "units": [one.row() for one in checked],
    }
    files = [
        (
            layout.interpretation_table(inputs.model, name),
            encode(table, [table.num_rows] * bool(table.num_rows)),
        )
        for name, table in tables.items()
    ]
    return summary, [
        *files,
        (layout.interpretation_summary(inputs.model), json.dumps(summary, indent=1).encode()),
    ]
