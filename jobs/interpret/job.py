"""`python -m jobs.interpret`: what components go with, whether that holds on other songs, what classes are made of."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from infra import cli
from infra.config import Config, InterpretConfig, load
from infra.root.journal import replace_files
from infra.root.runs import RunFolder
from infra.storage.parquet import decode, encode
from infra.storage.store import Store
from jobs.evaluate.inputs import Inputs, find_inputs
from jobs.evaluate.labels import read_labels
from jobs.interpret.tables import associations, check, class_rows, component_rows, gather

log = logging.getLogger(__name__)


def run(config: Config, model: str | None = None) -> str:
    """Write the tables of a model under interpretation/, unless they are there, and print them; where they are.

    Raises ConfigError where the track list has no labels with songs enough, Incomplete while another run is at it.
    """
    store = Store(config.root)
    inputs = find_inputs(store, config.corpus, model)
    name = inputs.model
    summary = _known(config, inputs)
    if summary is None:
        with RunFolder(store, f"runs/interpret-{name}", f"the interpretation of model {name}") as record:
            record.begin(config.model_dump(mode="json"))
            inputs = find_inputs(store, config.corpus, name)  # as it is now that nobody else is at it
            summary = _known(config, inputs)
            if summary is None:
                summary, files = _interpret(config, inputs)
                replace_files(store, files, record.lease.fence)
            record.summary(summary)
    show(store, _folder(name), summary, config.interpret)
    return _folder(name)


def _folder(model: str) -> str:
    return f"interpretation/{model}"


def _known(config: Config, inputs: Inputs) -> dict[str, Any] | None:
    """The summary of tables that are there, of the same inputs and settings."""
    folder = _folder(inputs.model)
    try:
        summary = json.loads(inputs.store.read(f"{folder}/summary.json"))
    except FileNotFoundError:
        return None
    if summary.get("key") != _key(config, inputs):
        return None
    log.info("interpret: %s is up to date, nothing to do", inputs.store.uri(folder))
    return summary


def _key(config: Config, inputs: Inputs) -> str:
    return inputs.digest(config.interpret.model_dump(mode="json"), {"codewords": config.evaluate.codewords})


def _interpret(config: Config, inputs: Inputs) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
    """The summary, and paths and contents of all files, the summary's last."""
    labels = read_labels(inputs.tracks)
    songs = gather(inputs, labels, config.interpret)
    checked = check(config, inputs, songs)
    tables = {
        "associations": [asdict(row) for row in associations(songs, labels, config.interpret)],
        "components": component_rows(config, inputs, songs, labels, checked[0]),
        "classes": class_rows(config, inputs),
    }
    summary = {
        "key": _key(config, inputs),
        "songs": len(songs.ids),
        "units": [one.row() for one in checked],
    }
    folder = _folder(inputs.model)
    files = [(f"{folder}/{name}.parquet", _encoded(rows)) for name, rows in tables.items()]
    return summary, [*files, (f"{folder}/summary.json", json.dumps(summary, indent=1).encode())]


def _encoded(rows: Sequence[dict[str, Any]]) -> bytes:
    table = pa.Table.from_pylist(list(rows))
    return encode(table, [table.num_rows] if rows else [])


def show(store: Store, folder: str, summary: dict[str, Any], config: InterpretConfig) -> None:
    """The most used components with what they go with, then how well names hold."""
    components = decode(store.read(f"{folder}/components.parquet")).to_pylist()
    found = decode(store.read(f"{folder}/associations.parquet")).to_pylist()
    table = Table(title="Components, most used first: labels by NPMI (lift [95 %], p)", title_justify="left")
    for head in ("component", "of all frames", "goes with", "AUROC on other songs"):
        table.add_column(head)
    for row in sorted(components, key=lambda row: -row["share"])[: config.shown]:
        mine = [one for one in found if one["component"] == row["component"] and one["p"] <= 0.05][:3]
        words = "\n".join(
            f"{o['label']} {o['lift']:.1f} [{o['low']:.1f}, {o['high']:.1f}], {o['p']:.3f}" for o in mine
        )
        auroc = ", ".join(f"{v:.2f} ({n})" for v, n in zip(row["heldout_auroc"], row["names"], strict=False))
        table.add_row(
            str(row["component"]), f"{100 * row['share']:.1f} %", words or "nothing in particular", auroc
        )
    console = Console(highlight=False, width=120)
    console.print(table)
    for one in summary["units"]:
        console.print(
            f"{one['units']}: of the {one['checked']} most used {one['names_hold']} name a label that holds on other "
            f"songs (shuffled {one['names_hold_shuffled']}); "
            f"AUROC {one['auroc']:.3f} (shuffled {one['auroc_shuffled']:.3f}), NPMI {one['coherence']:.3f} "
            f"({one['coherence_shuffled']:.3f}), diversity {one['diversity']:.2f}"
        )


def main(
    root: cli.Root = None,
    config: cli.ConfigFile = None,
    set_: cli.Set = None,
    corpus: cli.Corpus = None,
    model: cli.Model = None,
    dry_run: cli.DryRun = False,
) -> None:
    """What components go with, and whether that holds on other songs."""
    resolved = load(config, tuple(set_ or ()), root=root, corpus=corpus)
    if dry_run:
        inputs = find_inputs(Store(resolved.root), resolved.corpus, model)
        songs = gather(inputs, read_labels(inputs.tracks), resolved.interpret)
        print(f"interpret: model {inputs.model}, {len(songs.ids)} songs, {len(songs.members)} labels")
        return
    print(run(resolved, model))
