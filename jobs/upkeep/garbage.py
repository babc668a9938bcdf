"""What under a root nobody reads any more, by age and by who reads it.

Kept are the newest snapshots of every tree and corpus, those that were the newest some time within `--older-than` or
that a training under way reads, their shards and tables, the tables of songs that models were trained on, and the
checkpoint that is a finished model. Everything else of trees, models and scores is garbage once it is older than that.
One listing, an object at a time: in memory are what living snapshots name, and the garbage.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

from infra.root import layout, models
from infra.root.checkpoints import Checkpoints
from infra.root.ledger import LONGEST_FENCE, Tree, trees
from infra.root.records import Snapshot
from infra.storage.local import TEMPORARY, Entry
from infra.storage.store import Store
from jobs.evaluate.job import cells_in_use
from jobs.upkeep.superseded import Model, belongings, read_models, superseded

HALF_WRITTEN_SECONDS = 3600.0  # a temporary file lives for moments
MODEL, MADE, SNAPSHOT, COMMIT, DATA, TABLE, MOMENTS, CHECKPOINT, CELL, LEFT = (
    "superseded model",
    "made with a superseded model",
    "superseded snapshot",
    "superseded shard: its commit",
    "superseded shard or orphan: its data",
    "table of a superseded snapshot",
    "moments of a superseded snapshot",
    "checkpoint of a finished training",
    "kept cell of a superseded score",
    "left by a writer that died",
)
# A stop in between leaves nothing that names what is gone.
ORDER = (MODEL, MADE, SNAPSHOT, COMMIT, DATA, TABLE, MOMENTS, CHECKPOINT, CELL, LEFT)


@dataclass(frozen=True, slots=True)
class Garbage:
    """An object that nobody reads, and why.

    Where `name` is not empty, it has to be taken in `place` (infra.root.taken) before the object may go.
    """

    path: str
    bytes: int
    reason: str
    version: str = ""
    place: str = ""
    name: str = ""


@dataclass(frozen=True)
class Songs:
    """Names of tables of songs: those that models were trained on, and those that trainings under way read."""

    trained: frozenset[str]
    reading: frozenset[str]


@dataclass(frozen=True)
class Living:
    """What the living snapshots of a tree name: shards, and paths of data, tables and of the snapshots themselves."""

    shards: frozenset[str]
    paths: frozenset[str]
    songs: frozenset[str]


def look(
    store: Store, older_than: float, keep: int, places: Collection[str] | None = None
) -> Iterator[Garbage]:
    """All garbage, in no order; or that in these places only, of which names can be taken."""
    known = read_models(store)
    songs = Songs(
        frozenset(model.songs for model in known),
        frozenset(m.songs for m in known if m.final is None and m.youngest <= older_than),
    )
    gone = dict(belongings(store, superseded(store, known, older_than, keep), older_than))
    for kind in layout.TREES:
        for tree in trees(store, kind):
            mine = kind == layout.FEATURES or layout.name_of(tree.prefix) not in gone
            if mine and (places is None or tree.prefix in places):
                yield from of_tree(tree, older_than, keep, songs)
    if places is None or models.PLACE in places:
        for name, entries in gone.items():
            for entry in entries:
                reason = MODEL if layout.is_below(layout.MODELS, entry.path) else MADE
                yield Garbage(entry.path, entry.bytes, reason, entry.version, models.PLACE, name)
    if places is None:
        yield from elsewhere(store, older_than, known, gone)


def of_tree(tree: Tree, older_than: float, keep: int, songs: Songs) -> Iterator[Garbage]:
    """Of features or vectors. Where no corpus has a snapshot yet, a first run is under way or was stopped: nothing."""
    living = find_living(tree, older_than, keep, songs)
    gone = _gone_moments(tree, songs.trained | living.songs)
    young: set[str] = set()
    orphans: list[Entry] = []
    for entry in tree.store.walk(tree.prefix):
        folder = layout.below(tree.prefix, entry.path).partition("/")[0]
        if _is_temporary(entry):
            yield from _left(entry, older_than)
        elif folder == layout.COMMITS and entry.age <= older_than:
            young.add(layout.stem(entry.path))
        elif entry.age <= older_than or not living.paths or entry.path in living.paths:
            continue
        elif folder == layout.DATA:
            orphans.append(entry)
        else:
            yield from _of_record(tree, entry, living, songs.trained, gone)
    for entry in orphans:
        shard = layout.shard_of(entry.path)
        if shard in living.shards:  # of data that lost the race for a commit, which stays
            yield Garbage(*entry[:2], DATA, entry.version)
        elif shard not in young:
            yield Garbage(*entry[:2], DATA, entry.version, tree.prefix, shard)


def _of_record(
    tree: Tree, entry: Entry, living: Living, trained: Collection[str], gone: Collection[str]
) -> Iterator[Garbage]:
    """Of an old commit, snapshot, table or file of moments that no living snapshot names."""
    folder, _, name = layout.below(tree.prefix, entry.path).partition("/")
    file = layout.name_of(name)
    if folder == layout.COMMITS and layout.stem(file) not in living.shards:
        yield Garbage(*entry[:2], COMMIT, entry.version, tree.prefix, layout.stem(file))
    elif folder == layout.SNAPSHOTS and layout.is_json(file):
        yield Garbage(*entry[:2], SNAPSHOT, entry.version)
    elif folder == layout.SNAPSHOTS and layout.is_table(file) and file not in trained:
        yield Garbage(*entry[:2], TABLE, entry.version, tree.prefix, file)
    elif folder == layout.MOMENTS and name.partition("/")[0] in gone:
        yield Garbage(*entry[:2], MOMENTS, entry.version)


def find_living(tree: Tree, older_than: float, keep: int, songs: Songs) -> Living:
    """What must stay of a tree."""
    shards: set[str] = set()
    paths: set[str] = set()
    names: set[str] = set()
    highest: set[str] = set()
    for corpus in tree.corpora():
        folder = tree.snapshot_files(corpus)
        written = {
            int(layout.stem(entry.path)): entry
            for entry in tree.store.walk(folder)
            if layout.is_snapshot(layout.below(folder, entry.path))
        }
        for snapshot in living_snapshots(tree, corpus, written, older_than, keep, songs.reading):
            shards.update(item.shard for item in snapshot.shards)
            paths.update(item.path for item in snapshot.shards)
            paths |= {snapshot.songs, snapshot.quarantine, tree.snapshot_path(corpus, snapshot.number)}
            names.add(layout.name_of(snapshot.songs))
        highest |= {
            tree.snapshot_path(corpus, number) for number in [*sorted(written)][-1:]
        }  # a snapshot or a fence
    return Living(frozenset(shards), frozenset(paths | highest if paths else ()), frozenset(names))


def living_snapshots(
    tree: Tree,
    corpus: str,
    written: dict[int, Entry],
    older_than: float,
    keep: int,
    reading: Collection[str],
) -> Iterator[Snapshot]:
    """The newest `keep` of a corpus, those that were the newest some time within the last `older_than` seconds, and
    those whose songs a training under way is reading."""
    newest = tree.latest(corpus)
    if newest is None:
        return
    yield newest
    numbers = sorted(
        (
            number
            for number, entry in written.items()
            if entry.bytes > LONGEST_FENCE and number < newest.number
        ),
        reverse=True,
    )
    for place, (newer, number) in enumerate(pairwise([newest.number, *numbers]), 1):
        late = place < keep or newer not in written or written[newer].age <= older_than
        if late or reading:
            snapshot = _read(tree, corpus, number)
            if snapshot and (late or layout.name_of(snapshot.songs) in reading):
                yield snapshot


def _read(tree: Tree, corpus: str, number: int) -> Snapshot | None:
    try:
        return tree.read_snapshot(corpus, number)
    except FileNotFoundError:
        return None  # another gc was here


def _gone_moments(tree: Tree, songs: Collection[str]) -> set[str]:
    """Of songs that no snapshot and no model has; not those that do not say of which, or are not whole."""
    found = {
        key: Checkpoints(tree.store, layout.moments(tree.prefix, key)).load()
        for key in tree.store.names(layout.moments(tree.prefix))
    }
    return {key for key, kept in found.items() if kept and kept[2].get("songs") not in (None, *songs)}


def elsewhere(
    store: Store, older_than: float, known: Collection[Model], gone: Collection[str]
) -> Iterator[Garbage]:
    """Outside of trees: checkpoints of finished trainings, cells of no score, what dead writers have left."""
    steps = {model.name: model.final.step for model in known if model.final}
    used = cells_in_use(store)
    for kind in store.names(""):
        for entry in store.walk(kind) if kind not in layout.TREES else ():
            name = entry.path.split("/")[1] if "/" in entry.path else ""
            if _is_temporary(entry):
                yield from _left(entry, older_than)
            elif entry.age <= older_than or (kind in layout.OF_MODELS and name in gone):
                continue
            elif kind == layout.MODELS and name in steps:
                if layout.checkpoint_step(entry.path) not in (None, steps[name]):
                    yield Garbage(*entry[:2], CHECKPOINT, entry.version)
            elif (
                (kind, name) == (layout.SCORES, layout.CELLS) and used is not None and entry.path not in used
            ):
                yield Garbage(*entry[:2], CELL, entry.version)


def _left(entry: Entry, older_than: float) -> Iterator[Garbage]:
    if entry.age > max(older_than, HALF_WRITTEN_SECONDS):
        yield Garbage(*entry[:2], LEFT, entry.version)


def _is_temporary(entry: Entry) -> bool:
    return layout.name_of(entry.path).startswith(TEMPORARY)
