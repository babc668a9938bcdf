"""`python -m tests.bench.quality.unlabelled`: does music without labels help the vectors of music with labels?

Models are trained on the labelled corpus alone (`labelled`), on music without labels alone (`unlabelled`), and on
`both`, one for each of `--seeds`; each gives the labelled songs vectors, which probes are asked about, groups (artists)
never on both sides. Printed are the scores of every kind of vector by what its model was trained on, and what training
on other music changes, with paired 95 % intervals: the same resamples of groups for all. The last line is all of it as
JSON. Everything lies under `--out`, one root with three corpora, the third made of the shards of the two; run again it
continues.

    python -m tests.bench.quality.unlabelled --music ../shared/music --labels ../shared/music/labels.csv \\
        --more /tmp/dm --out /tmp/unlabelled --set 'labels.single=[genre]' --set 'labels.multi=[tags]'

`/work/shared/tools/debian-music /tmp/dm` fetches the soundtracks of games that the README's figures are of.
"""

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from evaluation.comparison.cells import Cell, Difference, Summary, differences, summarise
from infra.config import Config, load
from infra.root import layout
from infra.root.ledger import Tree
from infra.root.records import Snapshot
from infra.root.schemas import TRACK_ID
from infra.root.songs import read_quarantine, read_songs
from infra.storage.parquet import decode
from infra.storage.store import Store
from infra.workers.cluster import shared_ray
from jobs.evaluate import job as evaluate
from jobs.evaluate.grid import decode_rows
from jobs.extract import job as extract
from jobs.index import job as index
from jobs.represent import job as represent
from jobs.train import job as train

LABELLED, UNLABELLED, BOTH = "labelled", "unlabelled", "both"
CORPORA = (LABELLED, UNLABELLED, BOTH)
SETTINGS = ("evaluate.bootstrap=2000",)
Cells = Mapping[str, Sequence[Cell]]  # of the models trained on each corpus


def prepare(args: argparse.Namespace) -> dict[str, Config]:
    """Features of the three corpora; a configuration for each."""
    settings = (*SETTINGS, *args.set)
    common: dict[str, Any] = {"root": args.out}
    configs = {
        LABELLED: load(None, settings, **common, corpus=LABELLED, music=args.music, labels_file=args.labels),
        UNLABELLED: load(None, settings, **common, corpus=UNLABELLED, music=args.more),
        BOTH: load(None, settings, **common, corpus=BOTH),
    }
    for config in (configs[LABELLED], configs[UNLABELLED]):
        index.run(config)
        extract.run(config)
    _, fingerprint = train.training_snapshot(configs[LABELLED], Store(args.out))
    join(Tree(Store(args.out), layout.features(fingerprint)), (LABELLED, UNLABELLED), BOTH)
    return configs


def join(tree: Tree, corpora: Sequence[str], name: str) -> Snapshot:
    """A corpus of the songs of others, which have other names, without a copy of any."""
    parts = [snapshot for corpus in corpora if (snapshot := tree.latest(corpus)) is not None]
    songs, quarantine = (
        pa.concat_tables([read(tree.store, part) for part in parts]).sort_by(TRACK_ID)
        for read in (read_songs, read_quarantine)
    )
    if len(set(songs[TRACK_ID].to_pylist())) < songs.num_rows:
        raise SystemExit(f"a track of {' and '.join(corpora)} has the same name")
    shards = {shard.shard: shard for part in parts for shard in part.shards}
    return tree.publish(name, shards.values(), songs, quarantine)


def measure(configs: Mapping[str, Config], seeds: Sequence[int]) -> dict[str, list[Cell]]:
    """Train, represent and score; the cells of the songs with labels by what the models were trained on."""
    found = {}
    for name in CORPORA:
        models = [train.run(with_seed(configs[name], seed)).run for seed in seeds]
        for model in models:
            represent.run(configs[LABELLED], model)
        scored = evaluate.run(configs[LABELLED], models[0])
        found[name] = cells_of(Store(configs[LABELLED].root), scored.summary)
    return found


def with_seed(config: Config, seed: int) -> Config:
    """The same configuration with another seed of the training."""
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})


def cells_of(store: Store, summary: str) -> list[Cell]:
    """The cells that scores consist of, the model's own marked as such."""
    table = decode(store.read(summary))
    rows = decode_rows(Summary, table)
    ours, simple = ({row.representation for row in rows if getattr(row, flag)} for flag in ("ours", "simple"))
    paths = json.loads(table.schema.metadata[b"hdpgmm"])["cells"]
    cells = [cell for path in paths for cell in decode_rows(Cell, decode(store.read(path)))]
    return [
        replace(cell, ours=cell.representation in ours, simple=cell.representation in simple)
        for cell in cells
    ]


def rows_of(cells: Cells) -> list[tuple[str, Summary]]:
    """What each was trained on, and its scores; comparison models once, trained on nothing."""
    simple = [cell for cell in cells[LABELLED] if not cell.ours]
    parts = [("", simple), *((name, [cell for cell in cells[name] if cell.ours]) for name in CORPORA)]
    return [(name, row) for name, part in parts for row in summarise(part)]


def changes(cells: Cells) -> list[tuple[str, str, Difference]]:
    """(trained on, instead of, what that changes) of each kind of vector, task and metric, paired."""
    found = []
    for new, old in ((UNLABELLED, LABELLED), (BOTH, LABELLED), (BOTH, UNLABELLED)):
        for name in dict.fromkeys(cell.representation for cell in cells[new] if cell.ours):
            mine, other = (
                [cell for cell in cells[corpus] if cell.representation == name] for corpus in (new, old)
            )
            both = [*mine, *(replace(cell, representation=old, ours=False) for cell in other)]
            rows = differences(both, name)
            found += [(new, old, row) for row in rows]
    return found


def show(cells: Cells, about: Mapping[str, str]) -> None:
    """Both tables, for people."""
    rows = rows_of(cells)
    columns = list(dict.fromkeys((row.task, row.metric) for _, row in rows))
    scores = Table(
        "trained on", "vectors", *(f"{task}\n{metric}" for task, metric in columns), title_justify="left"
    )
    scores.title = "mean ± SD [95 % interval over groups]"
    values = {(name, row.representation, row.task, row.metric): row for name, row in rows}
    for name, kind in dict.fromkeys((name, row.representation) for name, row in rows):
        scores.add_row(about.get(name, ""), kind, *(_score(values.get((name, kind, *c))) for c in columns))
    paired = Table("trained on", "instead of", "vectors", *(f"{task}\n{metric}" for task, metric in columns))
    differ = {(new, old, row.representation, row.task, row.metric): row for new, old, row in changes(cells)}
    for key in dict.fromkeys(key[:3] for key in differ):
        paired.add_row(*key, *(_change(differ.get((*key, *column))) for column in columns))
    console = Console(highlight=False, width=200)
    console.print(scores)
    console.print(paired)


def _score(row: Summary | None) -> str:
    return f"{row.mean:.3f} ± {row.sd:.3f} [{row.low:.3f}, {row.high:.3f}]" if row else ""


def _change(row: Difference | None) -> str:
    return f"{row.mean:+.3f} [{row.low:+.3f}, {row.high:+.3f}]" if row else ""


def describe(configs: Mapping[str, Config]) -> dict[str, str]:
    """Songs and hours of each corpus."""
    told = {}
    for name, config in configs.items():
        snapshot, fingerprint = train.training_snapshot(config, Store(config.root))
        spec = Tree(Store(config.root), layout.features(fingerprint)).read_spec()
        hours = snapshot.n_frames * spec["hop_length"] / spec["sample_rate"] / 3600
        told[name] = f"{name}: {snapshot.n_songs} songs, {hours:.1f} h"
    return told


def main() -> None:
    """Run it, see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--music", required=True, help="music with labels")
    parser.add_argument("--labels", required=True, help="their table")
    parser.add_argument("--more", required=True, help="music without")
    parser.add_argument("--out", required=True, help="the root")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    args = parser.parse_args()
    with shared_ray():
        configs = prepare(args)
        cells = measure(configs, args.seeds)
    show(cells, describe(configs))
    scores = [{"trained_on": name, **asdict(row)} for name, row in rows_of(cells)]
    paired = [{"trained_on": new, "instead_of": old, **asdict(row)} for new, old, row in changes(cells)]
    print(json.dumps({"scores": scores, "changes": paired}))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
