"""`python -m jobs.gc`: what under a root nobody reads any more, and on demand its end.

Kept are the newest snapshots of every tree and corpus, those that were the newest some time within `--older-than`,
their shards and tables, the tables of songs that models were trained on, and the checkpoint that is a finished model.
Everything else of trees, models and scores goes once it is older than that: superseded shards, snapshots, tables and
checkpoints, moments of songs that no snapshot and no model has, answers that no score consists of, data that lost the
race for a commit, and temporary files of writers that died. A run that takes up an old
commit writes it again, so that it is young. `--older-than` must be longer than any run takes.
"""

import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra import cli, models
from infra.checkpoints import Checkpoints
from infra.config import load
from infra.errors import ConfigError
from infra.ledger import Snapshot, Tree
from infra.local import TEMPORARY, Entry
from infra.progress import Progress
from infra.storage import Store
from jobs.evaluate import cells_in_use

log = logging.getLogger(__name__)

KINDS = ("features", "vectors")
UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0}
SNAPSHOT, COMMIT, DATA, TABLE, MOMENTS, CHECKPOINT, ANSWER, LEFT = (
    "superseded snapshot",
    "superseded shard: its commit",
    "superseded shard or orphan: its data",
    "table of a superseded snapshot",
    "moments of a superseded snapshot",
    "checkpoint of a finished training",
    "answer of a superseded score",
    "left by a writer that died",
)
# A stop in between leaves nothing that names what is gone.
ORDER = (SNAPSHOT, COMMIT, DATA, TABLE, MOMENTS, CHECKPOINT, ANSWER, LEFT)


@dataclass(frozen=True)
class Garbage:
    """An object that nobody reads, and why."""

    path: str
    bytes: int
    reason: str


def run(root: str, older_than: float, keep: int = 1, delete: bool = False) -> list[Garbage]:
    """Find what nobody reads and was written `older_than` seconds ago or before; delete it if asked to.

    keep: snapshots of each tree and corpus, the newest. Raises ConfigError if the root holds no corpus.
    """
    store = Store(root)
    if not store.names("corpus"):
        raise ConfigError(f"root {store.root}: holds no corpus")
    if keep < 1:
        raise ConfigError(f"--keep {keep}: expected 1 or more")
    found = sorted(garbage(store, older_than, keep), key=lambda item: (ORDER.index(item.reason), item.path))
    if delete:
        with Progress(len(found), "objects", "gc") as progress:
            for item in found:
                store.delete(item.path)
                progress.advance()
    return found


def garbage(store: Store, older_than: float, keep: int) -> Iterator[Garbage]:
    """What can go, in no order."""
    trained_on = songs_of_models(store)
    below: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in store.walk(""):
        if entry.path.rpartition("/")[2].startswith(TEMPORARY):
            if entry.age > older_than:
                yield Garbage(entry.path, entry.bytes, LEFT)
        else:
            kind, _, rest = entry.path.partition("/")
            below[kind, rest.partition("/")[0]].append(entry)
    for (kind, name), entries in below.items():
        if kind in KINDS:
            yield from of_tree(Tree(store, f"{kind}/{name}"), entries, older_than, keep, trained_on)
        elif kind == "models":
            yield from of_model(store, name, entries, older_than)
        elif (kind, name) == ("scores", "cells") and (used := cells_in_use(store)) is not None:
            for entry in entries:
                if entry.age > older_than and entry.path not in used:
                    yield Garbage(entry.path, entry.bytes, ANSWER)


def songs_of_models(store: Store) -> set[str]:
    """Names of the tables of songs that models were trained on."""
    finals = (models.find(store, name) for name in store.names("models"))
    return {final.provenance["songs"] for final in finals if final and "songs" in final.provenance}


def of_tree(
    tree: Tree, entries: Sequence[Entry], older_than: float, keep: int, trained_on: set[str]
) -> Iterator[Garbage]:
    """Of features or vectors. Where no corpus has a snapshot yet, a first run is under way or was stopped: nothing."""
    living = [
        snapshot
        for corpus in tree.store.names(f"{tree.prefix}/snapshots")
        for snapshot in living_snapshots(tree, corpus, entries, older_than, keep)
    ]
    if not living:
        return
    kept = {f"{tree.prefix}/snapshots/{corpus}/{snapshot.number}.json" for corpus, snapshot in living}
    tables = {path for _, snapshot in living for path in (snapshot.songs, snapshot.quarantine)}
    shards = {item["shard"]: item["path"] for _, snapshot in living for item in snapshot.shards}
    data = {*shards.values()}
    songs = {*trained_on, *(path.rpartition("/")[2] for path in tables)}
    gone = {
        key
        for key in tree.store.names(f"{tree.prefix}/moments")
        if _songs_of(tree, key) not in {None, *songs}
    }
    old = [entry for entry in entries if entry.age > older_than]
    young = {
        _stem(entry.path) for entry in entries if _in(tree, entry, "commits") and entry.age <= older_than
    }
    for entry in old:
        name = entry.path.rpartition("/")[2]
        if _in(tree, entry, "snapshots"):
            if name.endswith(".json") and entry.path not in kept:
                yield Garbage(entry.path, entry.bytes, SNAPSHOT)
            elif name.endswith(".parquet") and entry.path not in tables and name not in trained_on:
                yield Garbage(entry.path, entry.bytes, TABLE)
        elif _in(tree, entry, "commits") and _stem(entry.path) not in shards:
            yield Garbage(entry.path, entry.bytes, COMMIT)
        elif _in(tree, entry, "data") and entry.path not in data and _shard(entry.path) not in young:
            yield Garbage(entry.path, entry.bytes, DATA)
        elif (
            _in(tree, entry, "moments")
            and entry.path.removeprefix(f"{tree.prefix}/moments/").split("/")[0] in gone
        ):
            yield Garbage(entry.path, entry.bytes, MOMENTS)


def _songs_of(tree: Tree, key: str) -> str | None:
    """Name of the table of songs that moments are of; None where they do not say or are not whole."""
    found = Checkpoints(tree.store, f"{tree.prefix}/moments/{key}").load()
    return found[2].get("songs") if found else None


def living_snapshots(
    tree: Tree, corpus: str, entries: Sequence[Entry], older_than: float, keep: int
) -> list[tuple[str, Snapshot]]:
    """The newest `keep` of a corpus, and those that were the newest some time within the last `older_than` seconds."""
    start = f"{tree.prefix}/snapshots/{corpus}/"
    ages = {
        int(_stem(entry.path)): entry.age
        for entry in entries
        if entry.path.startswith(start) and re.fullmatch(r"\d+\.json", entry.path.removeprefix(start))
    }
    numbers = sorted(ages, reverse=True)
    living = numbers[:keep] + [
        number
        for newer, number in pairwise(numbers)
        if ages[newer] <= older_than and number not in numbers[:keep]
    ]
    return [(corpus, tree.read_snapshot(corpus, number)) for number in living]


def of_model(store: Store, name: str, entries: Sequence[Entry], older_than: float) -> Iterator[Garbage]:
    """Checkpoints of a finished training but the one that is the model; of another nothing, it can continue."""
    final = models.find(store, name)
    if final is None:
        return
    for entry in entries:
        step = re.search(r"/step-(\d+)[\d-]*\.(json|safetensors)$", entry.path)
        if step and int(step[1]) != final.step and entry.age > older_than:
            yield Garbage(entry.path, entry.bytes, CHECKPOINT)


def _in(tree: Tree, entry: Entry, folder: str) -> bool:
    return entry.path.startswith(f"{tree.prefix}/{folder}/")


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]


def _shard(path: str) -> str:
    return path.split("/")[-2]


def seconds_of(text: str) -> float:
    """Seconds of a duration such as 90m, 12h or 7d. Raises ConfigError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text)
    if not found:
        raise ConfigError(f"--older-than {text!r}: expected a number and m, h or d, as in 12h or 7d")
    return float(found[1]) * UNITS[found[2]]


def show(found: Sequence[Garbage], deleted: bool) -> None:
    """Print what was found by reason, with an example of each."""
    sums: dict[str, list[Garbage]] = defaultdict(list)
    for item in found:
        sums[item.reason].append(item)
    table = Table("what", "objects", "MB", "for example", title="deleted" if deleted else "would be deleted")
    for reason, items in sums.items():
        megabytes = f"{sum(item.bytes for item in items) / 1e6:.1f}"
        table.add_row(reason, str(len(items)), megabytes, items[0].path)
    Console(highlight=False, markup=False, width=140).print(table)
    if found and not deleted:
        print("nothing was deleted; --delete does it")
    elif not found:
        print("nothing to do")


def main(
    root: cli.Root = None,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Younger things stay: 90m, 12h, 7d.")
    ] = "7d",
    keep: Annotated[int, typer.Option("--keep", metavar="N", help="Snapshots of each corpus that stay.")] = 1,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; otherwise it is only listed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    config: cli.ConfigFile = None,
    set_: cli.Set = None,
) -> None:
    """List what nobody under a root reads any more; delete it with --delete."""
    resolved = load(config, tuple(set_ or ()), root=root)
    found = run(resolved.root, seconds_of(older_than), keep, delete)
    if as_json:
        for item in found:
            print(
                json.dumps({"path": item.path, "bytes": item.bytes, "reason": item.reason, "deleted": delete})
            )
    else:
        show(found, delete)


if __name__ == "__main__":
    cli.run(main)
