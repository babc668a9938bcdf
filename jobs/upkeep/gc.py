"""`python -m jobs.gc`: what under a root nobody reads any more (jobs.upkeep.garbage), and on demand its end.

Runs may be under way beside it, and any process may be paused at any moment and go on much later. What goes:

1. Look: list the root, and write a mark: what is garbage, each object with its version. Wait (`--wait`).
2. Look again. What was written again, or is needed now, is spared. Of what was marked and is still garbage:
3. Take the names of the shards, tables and models (infra.root.taken). From now on no planner uses these names: whoever
   needs the same songs computes them anew under another name, so that a deletion that comes late hits nobody.
4. Fence: take the next number of every corpus of these trees (`Tree.fence`). Who publishes reads the newest number,
   then the names taken, then creates the next number exclusively. Had he read the names before step 3, his number is
   gone and he must read them again; a snapshot that names what was taken is refused. A snapshot that was published
   before the fence is seen by the last look. So of each shard either the snapshot or the deletion wins, never both.
5. Look a last time at these trees and models. A name of which anything was published, written again or renewed is
   given back. The rest is deleted, up to 1,000 objects with one request, commits before their data.

A model that is used again writes a file and then reads the names taken (`models.claim`): either this or the last look
comes first. Marks and names lie under gc/. A run that was stopped is continued by the next: the marks stand, so it
need not wait again, and names that were taken stay taken. Two at once do the same work, each with names of its own.

A listing of 1,000 objects is one request; there are three listings at most, the last one of the trees concerned, and
a request for 1,000 objects deleted, one for a living snapshot and for a model. In memory are the garbage and what
living snapshots name. `--older-than` must be longer than any run takes, or runs end with 4 and begin anew.
"""

import json
import logging
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra import cli
from infra.config import Config
from infra.errors import ConfigError
from infra.progress import Progress, waiting
from infra.root import layout, models
from infra.root.ledger import Tree
from infra.root.taken import give_back, take
from infra.storage.store import Store
from jobs.upkeep.garbage import ORDER, Garbage, look

log = logging.getLogger(__name__)

UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0}
AT_ONCE = 1000  # objects deleted
Key = tuple[str, str]  # path and version


def run(
    root: str, older_than: float, keep: int = 1, delete: bool = False, wait: float = 0.0
) -> list[Garbage]:
    """Find what nobody reads and was written `older_than` seconds ago or before; delete it if asked to.

    keep: snapshots of each tree and corpus, and models of each settings, the newest. wait: seconds between the mark and
    the second look. Returns what was found, or deleted. Raises ConfigError if the root holds no corpus.
    """
    store = Store(root)
    if not store.names(layout.CORPORA):
        raise ConfigError(f"root {store.root}: holds no corpus")
    if keep < 1:
        raise ConfigError(f"--keep {keep}: expected 1 or more")
    return collect(store, older_than, keep, wait) if delete else _sorted(look(store, older_than, keep))


def collect(store: Store, older_than: float, keep: int, wait: float) -> list[Garbage]:
    """Mark, wait, look again, delete; what was deleted."""
    found = _sorted(look(store, older_than, keep))
    marked, marks = mark(store, found, wait)
    if not found:
        store.delete_many(marks)
        return []
    again = [item for item in look(store, older_than, keep) if _key(item) in marked]
    condemned = _sorted(condemn(store, again, older_than, keep))
    with Progress(len(condemned), "objects", "gc") as progress:
        for reason in ORDER:
            paths = [item.path for item in condemned if item.reason == reason]
            for first in range(0, len(paths), AT_ONCE):
                store.delete_many(paths[first : first + AT_ONCE])
                progress.advance(len(paths[first : first + AT_ONCE]))
    store.delete_many(marks)
    return condemned


def mark(store: Store, found: Sequence[Garbage], wait: float) -> tuple[set[Key], list[str]]:
    """Mark what is not marked yet, and wait until all marks are old enough; what is marked, and where the marks are."""
    marks = {entry.path: entry.age for entry in store.walk(layout.marks()) if layout.is_json(entry.path)}
    known = {path: _read(store, path) for path in marks}
    marked = set().union(*known.values())
    fresh = [item for item in found if _key(item) not in marked]
    wanted = {_key(item) for item in found}
    left = max((wait - marks[path] for path, keys in known.items() if keys & wanted), default=0.0)
    if fresh:
        path, left = layout.marks(secrets.token_hex(8)), wait
        store.write(path, json.dumps([_key(item) for item in fresh]).encode())
        marks[path] = 0.0
    if found and left > 0.0:
        with waiting(
            f"gc: {len(found)} objects are marked; waiting {left / 60:.1f} minutes for the second look"
        ):
            time.sleep(left)
    return marked | wanted, list(marks)


def condemn(store: Store, again: Sequence[Garbage], older_than: float, keep: int) -> list[Garbage]:
    """Of what was found garbage twice, that which may go: its names are taken, and nobody came before."""
    names: dict[str, set[str]] = defaultdict(set)
    for item in again:
        if item.name:
            names[item.place].add(item.name)
    records = {place: take(store, place, found) for place, found in names.items()}
    for place in names:
        if place != models.PLACE:
            fence(Tree(store, place))
    last = (
        [item for item in look(store, older_than, keep, names) if item.name in names[item.place]]
        if names
        else []
    )
    same = {_key(item) for item in again}
    spared = {(item.place, item.name) for item in last if _key(item) not in same}
    condemned = [item for item in last if (item.place, item.name) not in spared]
    for place, path in records.items():
        give_back(store, path, {item.name for item in condemned if item.place == place})
    return [*condemned, *(item for item in again if not item.name)]


def fence(tree: Tree) -> None:
    """Of every corpus: also of those that have no snapshot there yet and may be about to publish the first."""
    for corpus in {*tree.store.names(layout.CORPORA), *tree.corpora()}:
        tree.fence(corpus)


def _read(store: Store, path: str) -> set[Key]:
    try:
        return {(item[0], item[1]) for item in json.loads(store.read(path))}
    except FileNotFoundError:
        return set()  # another gc was here


def _key(item: Garbage) -> Key:
    return item.path, item.version


def _sorted(found: Iterable[Garbage]) -> list[Garbage]:
    return sorted(found, key=lambda item: (ORDER.index(item.reason), item.path))


def seconds_of(text: str, option: str = "--older-than") -> float:
    """Seconds of a duration such as 90m, 12h or 7d. Raises ConfigError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text)
    if not found:
        raise ConfigError(f"{option} {text!r}: expected a number and m, h or d, as in 12h or 7d")
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


@cli.command(takes=("root",))
def main(
    config: Config,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Younger things stay: 90m, 12h, 7d.")
    ] = "7d",
    keep: Annotated[
        int,
        typer.Option(
            "--keep", metavar="N", help="Snapshots of each corpus, and models of its settings, that stay."
        ),
    ] = 1,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; otherwise it is only listed.")] = False,
    wait: Annotated[
        str,
        typer.Option("--wait", metavar="TIME", help="With --delete: between the mark and the second look."),
    ] = "10m",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """List what nobody under a root reads any more; delete it with --delete."""
    found = run(config.root, seconds_of(older_than), keep, delete, seconds_of(wait, "--wait"))
    if as_json:
        for item in found:
            print(
                json.dumps({"path": item.path, "bytes": item.bytes, "reason": item.reason, "deleted": delete})
            )
    else:
        show(found, delete)
