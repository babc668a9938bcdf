"""`python -m jobs.report`: one HTML page about a model: what it found, what it knows, how it learnt, from what."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.component_map import Spot, bhattacharyya, plane, spread
from evaluation.interpret import carrying, usage
from evaluation.page import Epoch, Report, inputs_of, render
from evaluation.page_components import Card
from infra import cli, models
from infra.config import Config, load
from infra.errors import StorageError
from infra.runs import now
from infra.storage import Store
from jobs.evaluate import read_summary, summary_path
from jobs.evaluate_inputs import Inputs, find_inputs
from jobs.model import component_gaussians, load_model, require_features
from jobs.report_components import component_cards, count_songs
from jobs.report_corpus import describe_corpus, read_labels
from jobs.specification import require_frames

log = logging.getLogger(__name__)

PATH = "report/index.html"


@dataclass(frozen=True)
class Reported:
    """Where the page is, the model it is about, and whether this call made it."""

    uri: str
    model: str
    made: bool


def run(config: Config, model: str | None = None) -> Reported:
    """Make the page, unless the one that is there is about the same model, scores and settings."""
    store = Store(config.root)
    inputs = find_inputs(store, config.corpus, model)
    scored = read_summary(store, summary_path(inputs.model))
    settings = {"report": config.report.model_dump(mode="json"), "scores": scored[2] if scored else None}
    key = inputs.digest(settings)
    uri = store.uri(PATH)
    if store.exists(PATH) and inputs_of(store.read(PATH)) == key:
        log.info("report: %s is up to date, nothing to do", uri)
        return Reported(uri, inputs.model, False)
    store.write(PATH, render(build(config, inputs, key)))
    log.info("report: %s", uri)
    return Reported(uri, inputs.model, True)


def build(config: Config, inputs: Inputs, key: str) -> Report:
    """Everything the page shows."""
    spec = require_frames(config.extract)
    model = load_model(inputs.store, inputs.model)
    require_features(model, inputs.feature_prefix.rpartition("/")[2])
    labels = read_labels(inputs.tracks)
    counted = count_songs(inputs, labels)
    cards = component_cards(inputs, model, counted, labels, spec, config.report)
    summaries, notes, _ = read_summary(inputs.store, summary_path(inputs.model)) or ([], [], "")
    return Report(
        model=inputs.model,
        made=now()[:16].replace("T", " "),
        inputs=key,
        corpus=describe_corpus(inputs, labels),
        epochs=read_history(inputs.store, inputs.model),
        summaries=tuple(summaries),
        notes=tuple(notes),
        usage=usage(counted),
        cards=cards,
        spots=component_map(inputs, usage(counted), cards),
    )


def component_map(inputs: Inputs, share: np.ndarray, cards: Sequence[Card]) -> tuple[Spot, ...]:
    """The components that carry 99 % of the frames, on a plane by how much their densities overlap."""
    drawn = np.argsort(-share, kind="stable")[: carrying(share)]
    mean, covariance = component_gaussians(inputs.store, inputs.model)
    places = spread(plane(np.log1p(bhattacharyya(mean[drawn], covariance[drawn]))))
    words = {card.number: ", ".join(lift.label for lift in card.labels) for card in cards}
    return tuple(
        Spot(int(k), float(x), float(y), float(share[k]), words.get(int(k), ""), int(k) in words)
        for k, (x, y) in zip(drawn, places, strict=True)
    )


def read_history(store: Store, model: str) -> tuple[Epoch, ...]:
    """The epochs of the training run, () where it left no history."""
    path = f"{models.prefix(model)}/history.json"
    try:
        rows = json.loads(store.read(path))
        step = models.choose(store, model).step
        return tuple(
            Epoch(row["epoch"], row["bound"], row["heldout"], row["components"], row["step"] == step)
            for row in rows
        )
    except FileNotFoundError:
        return ()
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise StorageError(f"{store.uri(path)}: not a training history ({error!r})") from error


def main(
    root: cli.Root = None,
    config: cli.ConfigFile = None,
    set_: cli.Set = None,
    corpus: cli.Corpus = None,
    model: cli.Model = None,
    dry_run: cli.DryRun = False,
) -> None:
    """Make one HTML page about a model: scores, training, and components to listen to."""
    resolved = load(config, tuple(set_ or ()), root=root, corpus=corpus)
    if dry_run:
        inputs = find_inputs(Store(resolved.root), resolved.corpus, model)
        print(f"report: {inputs.store.uri(PATH)} about model {inputs.model}, {inputs.vectors.n_songs} songs")
        return
    print(run(resolved, model).uri)


if __name__ == "__main__":
    cli.run(main, "report")
