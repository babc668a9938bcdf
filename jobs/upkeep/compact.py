"""`python -m jobs.compact`: small and half-empty shards of features become full ones, and so do their vectors.

Incremental runs leave a small shard each, and songs that went leave holes. The rows move as they are; readers keep the
snapshot they have, later ones get the new one, and the old shards lie there until `jobs.gc`. Nothing is computed again.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from infra import cli
from infra.config import Config
from infra.errors import Incomplete, StorageError
from infra.progress import Progress
from infra.root import layout, models
from infra.root.journal import Fence
from infra.root.ledger import Tree
from infra.root.records import Commit, Snapshot, quarantine_table, songs_table
from infra.root.runs import RunFolder
from infra.root.schemas import N_FRAMES, PATH, ROW, ROW_GROUP, SHARD, TRACK_ID, VERSION
from infra.root.songs import read_quarantine, read_songs
from infra.root.taken import taken, unused
from infra.storage.store import Store
from jobs.extract.packing import row_groups
from jobs.represent import job as represent
from jobs.represent.plan import vectors_shard
from jobs.represent.worker import ROW_GROUP_ROWS
from jobs.train.job import training_snapshot
from jobs.upkeep.compact_plan import Merged, Plan, plan

pc: Any = pyarrow.compute
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compacted:
    """Shards of features before and after, songs whose rows moved, and the models whose vectors moved with them."""

    before: int
    after: int
    songs: int
    models: tuple[str, ...]


@dataclass(frozen=True)
class Work:
    """A snapshot of features with its tables, and what is to be done to it."""

    tree: Tree
    snapshot: Snapshot
    songs: pa.Table
    quarantine: pa.Table
    todo: Plan


@dataclass(frozen=True)
class Carried:
    """A tree of vectors of all songs: their rows (schema SONGS), and the place of each track among them.

    gone: the names there that `jobs.gc` has taken.
    """

    tree: Tree
    songs: pa.Table
    place: dict[str, int]
    gone: frozenset[str]

    @property
    def model(self) -> str:
        return layout.name_of(self.tree.prefix)


def run(config: Config) -> Compacted:
    """Compact the newest snapshot of a corpus' features, and the vectors of every model that has them all.

    Raises Incomplete where a new snapshot came meanwhile, StorageError where a shard cannot be read.
    """
    store = Store(config.root)
    training_snapshot(config, store)
    with RunFolder(
        store, layout.run("compact", config.corpus), f"the compaction of corpus {config.corpus}"
    ) as folder:
        work = prepare(config)
        before, todo = len(work.snapshot.shards), work.todo
        if not todo.merged:
            log.info("compact: %d shards of features, nothing to do", before)
            return Compacted(before, before, 0, ())
        carried = vector_trees(config.corpus, work)
        folder.begin(config.model_dump(mode="json"))
        commits = []
        with Progress(sum(part.inputs for part in todo.merged), "tracks", "compact") as progress:
            for part in todo.merged:
                commit = merge(work.tree, part, config.extract.row_group_bytes)
                for vectors in carried:
                    carry(vectors, commit)
                commits.append(commit)
                progress.advance(part.inputs)
        after = publish(config.corpus, work, commits, folder.lease.fence)
        names = tuple(vectors.model for vectors in carried)
        for name in names:
            represent.run(config, name)  # publishes: every shard has a commit
        moved = sum(part.songs.num_rows for part in todo.merged)
        result = Compacted(before, len(after.shards), moved, names)
        folder.summary({"before": before, "after": result.after, "songs": moved, "models": list(names)})
    log.info(
        "compact: %d shards became %d; python -m jobs.gc deletes the old ones in time", before, result.after
    )
    return result


def prepare(config: Config) -> Work:
    """The newest snapshot of the corpus' features and what is to be done to it."""
    store = Store(config.root)
    snapshot, fingerprint = training_snapshot(config, store)
    songs, quarantine = read_songs(store, snapshot), read_quarantine(store, snapshot)
    tree = Tree(store, layout.features(fingerprint))
    todo = plan(snapshot, songs, quarantine, fingerprint, config.extract)
    gone = tree.taken(snapshot)
    merged = tuple(replace(part, name=unused(part.name, gone)) for part in todo.merged)
    return Work(tree, snapshot, songs, quarantine, Plan(todo.replaced, merged))


def merge(tree: Tree, part: Merged, row_group_bytes: int) -> Commit:
    """Commit a shard with the rows of others, in the order of its tracks. Does nothing if it is there."""
    found = tree.read_commits([part.name]).get(part.name)
    if found is not None:
        tree.renew([part.name])
        return found
    table = gather(tree.store, part.songs)
    sizes = row_groups(_row_bytes(table), row_group_bytes) if table.num_rows else []
    return tree.commit(part.name, table, part.quarantined, part.inputs, sizes)


def gather(store: Store, songs: pa.Table) -> pa.Table:
    """The rows of these songs (schema SONGS), all columns, in their order. In memory: they and one shard.

    Raises StorageError where a shard is missing or does not hold the songs that the table says.
    """
    rows: list[tuple[int, pa.Table]] = []
    for path in songs[PATH].unique().to_pylist():
        places = pc.indices_nonzero(pc.equal(songs[PATH], path)).to_pylist()
        wanted = songs.take(places)
        try:
            with store.open(path) as source, pq.ParquetFile(source) as file:
                table, starts = file.read(), _starts(file)
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise StorageError(f"{store.uri(path)}: {error}") from error
        index = [
            starts[group] + row
            for group, row in zip(wanted[ROW_GROUP].to_pylist(), wanted[ROW].to_pylist(), strict=True)
        ]
        found = table.take(pa.array(index, pa.int64()))
        if not found[TRACK_ID].equals(wanted[TRACK_ID]) or not found[VERSION].equals(wanted[VERSION]):
            raise StorageError(f"{store.uri(path)}: its rows are not the songs that the snapshot says")
        rows += [(place, found.slice(i, 1)) for i, place in enumerate(places)]
    return pa.concat_tables([row for _, row in sorted(rows, key=lambda item: item[0])]).combine_chunks()


def publish(corpus: str, work: Work, commits: Sequence[Commit], fence: Fence) -> Snapshot:
    """The snapshot in which the merged shards stand for those they replace."""
    gone = pa.array(work.todo.replaced, pa.string())
    before, new = (work.songs, work.quarantine), (songs_table(commits), quarantine_table(commits))
    kept = [table.filter(pc.invert(pc.is_in(table[SHARD], gone))) for table in before]
    tables = [
        pa.concat_tables([old, more]).sort_by(TRACK_ID).combine_chunks()
        for old, more in zip(kept, new, strict=True)
    ]
    references = [item for item in work.snapshot.shards if item.shard not in set(work.todo.replaced)]
    references += [commit.reference() for commit in commits]
    if any(table.num_rows != old.num_rows for table, old in zip(tables, before, strict=True)):
        raise Incomplete("compaction would lose songs; run python -m jobs.audit")
    return work.tree.publish(corpus, references, *tables, after=work.snapshot.number, fence=fence)


def vector_trees(corpus: str, work: Work) -> list[Carried]:
    """Trees of vectors that cover all songs of these features."""
    store, found = work.tree.store, []
    gone = taken(store, models.PLACE)
    for name in store.names(layout.VECTORS):
        if name in gone:
            continue
        vectors = Tree(store, layout.vectors(name))
        latest = vectors.latest(corpus)
        if latest is None or vectors.read_spec()["fingerprint"] != layout.name_of(work.tree.prefix):
            continue
        songs, names = read_songs(store, latest), vectors.taken(latest)
        wanted = represent.living(work.snapshot, work.songs, names)
        if not represent.missing(wanted, represent.Known(songs, latest.shards)):
            place = dict(zip(songs[TRACK_ID].to_pylist(), range(songs.num_rows), strict=True))
            found.append(Carried(vectors, songs, place, names))
    return found


def carry(vectors: Carried, features: Commit) -> None:
    """Commit the vectors of a merged shard of features, out of those that there are. Does nothing if they are there."""
    name, tree = vectors_shard(features.reference(), vectors.gone), vectors.tree
    if not features.tracks:
        return
    if tree.committed([name]):
        tree.renew([name])
        return
    rows = pa.array([vectors.place[placed.track_id] for placed in features.tracks], pa.int64())
    table = gather(tree.store, vectors.songs.take(rows))
    sizes = [min(ROW_GROUP_ROWS, table.num_rows - i) for i in range(0, table.num_rows, ROW_GROUP_ROWS)]
    tree.commit(name, table, [], table.num_rows, sizes)


def _starts(file: pq.ParquetFile) -> list[int]:
    starts, total = [], 0
    for group in range(file.num_row_groups):
        starts.append(total)
        total += file.metadata.row_group(group).num_rows
    return starts


def _row_bytes(table: pa.Table) -> list[int]:
    total = max(table.nbytes, 1)
    frames = table[N_FRAMES].to_pylist()
    return [max(1, total * n // max(sum(frames), 1)) for n in frames]


@cli.command("extract")
def main(config: Config, dry_run: cli.DryRun = False) -> None:
    """Pack small and half-empty shards of features and vectors into full ones; nothing is computed again."""
    if dry_run:
        work = prepare(config)
        replaced, total = len(work.todo.replaced), len(work.snapshot.shards)
        print(f"compact: {replaced} of {total} shards would become {len(work.todo.merged)}")
        return
    run(config)
