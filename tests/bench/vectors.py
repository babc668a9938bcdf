"""`python -m tests.bench.vectors --music ../shared/music --labels ../shared/music/labels.csv`: are our vectors ahead?

Features, `--seeds` models, vectors and probes by the jobs and their defaults, artists never on both sides; beside them
the comparison models of `jobs.evaluate` and G1 with correlations (means, deviations, correlations of all pairs of
features). The recommended kind of vectors is fixed beforehand (`hdpgmm.kinds.RECOMMENDED`). Margins are against the
best simple model by its own mean, paired over 2,000 draws of artists, predictions pooled over folds; `low` is the lower
end of 95 %. `few_songs_mass` is the share of all frames of components that fewer than 4 tracks or 3 groups carry, a
track carrying what has 1 % of its frames; `names_hold` is of the 20 most used, as `jobs.interpret` checks them, of the
first seed's model. `--genre`, `--tags` and `--group` name other columns of the labels (`--genre style --tags
instruments --group group` of composed music). Everything lies under `--out`; run again it continues. The last line is
JSON.
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from evaluation.comparison.cells import Cell, Difference, Summary, differences, score_vectors, summarise
from evaluation.interpretation.lift import group_codes
from evaluation.interpretation.tally import carriers
from evaluation.probing.splits import make_splits
from hdpgmm.kinds.responsibility import RESPONSIBILITY
from infra.config import Config, load
from infra.root.schemas import N_FRAMES, TRACK_ID, groups_by_track
from infra.root.songs import read_songs
from infra.storage.store import Store
from infra.workers.cluster import shared_ray
from jobs.evaluate import job as evaluate
from jobs.evaluate.inputs import Inputs, align, find_inputs, make_tasks
from jobs.evaluate.vectors import as_matrix, blocks, songs_of, vector_tables
from jobs.extract import job as extract
from jobs.index import job as index
from jobs.interpret import job as interpret
from jobs.represent import job as represent
from jobs.represent.kinds import recommended_row
from jobs.train import job as train
from tests.bench.quality.unlabelled import cells_of, with_seed

SETTINGS = ("evaluate.bootstrap=2000", "evaluate.codewords=256")
CORRELATED = "G1 with correlations"
ASKED = (("macro f1", "genre", "genre_f1"), ("macro auroc", "tags", "tags_auroc"))  # names in the JSON


def run(config: Config, seeds: Sequence[int], tasks: Sequence[str]) -> dict[str, Any]:
    """All figures."""
    with shared_ray():
        index.run(config)
        extract.run(config)
        models = [train.run(with_seed(config, seed)).run for seed in seeds]
        for model in models:
            represent.run(config, model)
        scored = evaluate.run(config, models[0])
        units = interpret.run(config, models[0]).summary["units"]
    inputs = [find_inputs(Store(config.root), config.corpus, model) for model in models]
    cells = [*cells_of(inputs[0].store, scored.summary), *correlated(inputs[0], config)]
    rows = summarise(cells)
    recommended = recommended_row({row.representation for row in rows})
    assert recommended is not None  # vectors of today have one
    against = differences(cells, recommended)
    show(rows, against)
    held = {one["units"]: one for one in units}
    ours, codebook = held[units[0]["units"]], held[units[1]["units"]]
    return {
        **_figures(rows, against, recommended, tasks),
        "few_songs_mass": float(np.mean([few_songs_mass(one) for one in inputs])),
        "names_hold": ours["names_hold"],
        "names_hold_codebook": codebook["names_hold"],
        "names_hold_shuffled": ours["names_hold_shuffled"],
    }


def correlated(inputs: Inputs, config: Config) -> list[Cell]:
    """The cells of G1 with correlations."""
    songs, settings = read_songs(inputs.store, inputs.features), config.evaluate
    living, _ = align(inputs)
    vectors = {
        track: _moments(frames)
        for block in blocks(inputs.store, songs, living)
        for track, frames in songs_of(block)
    }
    found = []
    for task in make_tasks(inputs.tracks, living, settings.min_count)[0]:
        splits = make_splits(task, settings.repeats, settings.folds, settings.seed)
        x = np.stack([vectors[track] for track in task.songs])
        scored = score_vectors(CORRELATED, x, task, splits, settings.bootstrap, settings.seed)
        found += [replace(cell, simple=True) for cell in scored]
    return found


def _moments(frames: np.ndarray) -> np.ndarray:
    values = frames.astype(np.float64)
    mean, sd = values.mean(0), values.std(0)
    scaled = (values - mean) / np.where(sd > 0.0, sd, 1.0)
    correlations = scaled.T @ scaled / len(values)
    return np.concatenate([mean, sd, correlations[np.triu_indices(len(mean), 1)]])


def few_songs_mass(inputs: Inputs) -> float:
    """Share of all frames that belongs to components with few carriers, see the module."""
    tables = list(vector_tables(inputs.store, inputs.vectors, [RESPONSIBILITY.name]))
    shares = np.concatenate([as_matrix(table[RESPONSIBILITY.name]) for table in tables])
    frames = np.concatenate([table[N_FRAMES].to_numpy() for table in tables])
    of = groups_by_track(inputs.tracks)
    ids = [track for table in tables for track in table[TRACK_ID].to_pylist()]
    mass = frames @ shares
    few = carriers(shares, group_codes([of[track] for track in ids])).few
    return float(mass[few].sum() / mass.sum())


def _figures(
    rows: Sequence[Summary], against: Sequence[Difference], recommended: str, tasks: Sequence[str]
) -> dict[str, float]:
    found: dict[str, float] = {}
    for task, (metric, said, name) in zip(tasks, ASKED, strict=True):
        mine = {
            row.representation: row
            for row in rows
            if (row.task, row.metric.replace("_", " ")) == (task, metric)
        }
        simple = [row for row in mine.values() if row.simple]
        best = max(simple, key=lambda row: row.mean)
        words = max((row for row in simple if row.representation.startswith("VQ")), key=lambda row: row.mean)
        (margin,) = (
            row
            for row in against
            if (row.other, row.task, row.metric) == (best.representation, task, best.metric)
        )
        found |= {name: mine[recommended].mean, f"{name}_vq": words.mean}
        found |= {f"{said}_margin": margin.mean, f"{said}_margin_low": margin.low}
    return found


def show(rows: Sequence[Summary], against: Sequence[Difference]) -> None:
    """Scores, then what the recommended kind is ahead of others."""
    columns = list(dict.fromkeys((row.task, row.metric) for row in rows))
    table = Table("vectors", *(f"{task}\n{metric}" for task, metric in columns), title_justify="left")
    table.title = "mean ± SD between models [95 % interval over groups]; recommended kind less others, paired"
    of = {(row.representation, row.task, row.metric): row for row in rows}
    for name in dict.fromkeys(row.representation for row in rows):
        scores = (of.get((name, *column)) for column in columns)
        table.add_row(
            name, *(f"{s.mean:.3f} ± {s.sd:.3f} [{s.low:.3f}, {s.high:.3f}]" if s else "" for s in scores)
        )
    table.add_section()
    ahead = {(row.other, row.task, row.metric): row for row in against}
    for name in dict.fromkeys(row.other for row in against):
        gains = (ahead.get((name, *column)) for column in columns)
        table.add_row(
            f"less {name}", *(f"{g.mean:+.3f} [{g.low:+.3f}, {g.high:+.3f}]" if g else "" for g in gains)
        )
    Console(highlight=False, width=200).print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.vectors")
    parser.add_argument("--music", required=True)
    parser.add_argument("--labels", required=True)
    parser.add_argument("--out", help="the root; default: a temporary one")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--genre", default="genre", help="the column of one label a track")
    parser.add_argument("--tags", default="tags", help="the column of several")
    parser.add_argument("--group", default="artist", help="the column whose values are on one side")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        config = load(
            None,
            (
                *SETTINGS,
                *(
                    f"labels.single=[{args.genre}]",
                    f"labels.multi=[{args.tags}]",
                    f"labels.group={args.group}",
                ),
                *args.set,
            ),
            root=args.out or temporary,
            music=args.music,
            labels_file=args.labels,
        )
        found = run(config, args.seeds, (args.genre, args.tags))
    print(json.dumps({name: round(value, 4) for name, value in found.items()}))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
