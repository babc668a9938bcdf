"""`python -m jobs.compact`: small and half-empty shards of features become full ones, and so do their vectors.

Incremental runs leave a small shard each, and songs that went leave holes. The rows move as they are; readers keep the
snapshot they have, later ones get the new one, and the old shards lie there until `jobs.gc`. Nothing is computed again.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from infra import cli
from infra.config import Config, load
from infra.errors import Incomplete, StorageError
from infra.ledger import Commit, Snapshot, Tree, quarantine_table, songs_table
from infra.packing import row_groups
from infra.progress import Progress
from infra.runs import RunFolder
from infra.songs import read_quarantine, read_songs
from infra.storage import Store
from jobs import represent
from jobs.compact_plan import Merged, Plan, plan
from jobs.represent_plan import vectors_shard
from jobs.representer import ROW_GROUP_ROWS
from jobs.train import training_snapshot

pc: Any = pyarrow.compute
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compacted:
    """Shards of features before and after, songs whose rows moved, and the models whose vectors moved with them."""

    before: int
    after: int
    songs: int
    models: tuple[str, ...]


def run(config: Config) -> Compacted:
    """Compact the newest snapshot of a corpus' features, and the vectors of every model that has them all.

    Raises Incomplete where a new snapshot came meanwhile, StorageError where a shard cannot be read.
    """
    store = Store(config.root)
    tree, snapshot, todo = prepare(config)
    if not todo.merged:
        log.info("compact: %d shards of features, nothing to do", len(snapshot.shards))
        return Compacted(len(snapshot.shards), len(snapshot.shards), 0, ())
    carried = vector_trees(store, config.corpus, snapshot, tree)
    with RunFolder(store, f"runs/compact-{config.corpus}") as folder:
        folder.begin(config.model_dump(mode="json"))
        commits = []
        with Progress(sum(part.inputs for part in todo.merged), "tracks", "compact") as progress:
            for part in todo.merged:
                commit = merge(tree, part, config.extract.row_group_bytes)
                for vectors, known in carried:
                    carry(vectors, known, commit)
                commits.append(commit)
                progress.advance(part.inputs)
        after = publish(tree, config.corpus, snapshot, todo, commits)
        names = tuple(vectors.prefix.rpartition("/")[2] for vectors, _ in carried)
        for name in names:
            represent.run(config, name)  # publishes: every shard has a commit
        result = Compacted(
            len(snapshot.shards), len(after.shards), sum(part.songs.num_rows for part in todo.merged), names
        )
        folder.summary(
            {"before": result.before, "after": result.after, "songs": result.songs, "models": list(names)}
        )
    log.info(
        "compact: %d shards became %d; python -m jobs.gc deletes the old ones in time",
        result.before,
        result.after,
    )
    return result


def prepare(config: Config) -> tuple[Tree, Snapshot, Plan]:
    """The newest snapshot of the corpus' features and what is to be done to it."""
    store = Store(config.root)
    snapshot, mark = training_snapshot(config, store)
    songs, quarantine = read_songs(store, snapshot), read_quarantine(store, snapshot)
    return Tree(store, f"features/{mark}"), snapshot, plan(snapshot, songs, quarantine, mark, config.extract)


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
    for path in songs["path"].unique().to_pylist():
        places = pc.indices_nonzero(pc.equal(songs["path"], path)).to_pylist()
        wanted = songs.take(places)
        try:
            with store.open(path) as source, pq.ParquetFile(source) as file:
                table, starts = file.read(), _starts(file)
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise StorageError(f"{store.uri(path)}: {error}") from error
        index = [
            starts[group] + row
            for group, row in zip(wanted["row_group"].to_pylist(), wanted["row"].to_pylist(), strict=True)
        ]
        found = table.take(pa.array(index, pa.int64()))
        if not found["track_id"].equals(wanted["track_id"]) or not found["version"].equals(wanted["version"]):
            raise StorageError(f"{store.uri(path)}: its rows are not the songs that the snapshot says")
        rows += [(place, found.slice(i, 1)) for i, place in enumerate(places)]
    return pa.concat_tables([row for _, row in sorted(rows, key=lambda item: item[0])]).combine_chunks()


def publish(tree: Tree, corpus: str, snapshot: Snapshot, todo: Plan, commits: Sequence[Commit]) -> Snapshot:
    """The snapshot in which the merged shards stand for those they replace."""
    gone = pa.array(todo.replaced, pa.string())
    songs, quarantine = read_songs(tree.store, snapshot), read_quarantine(tree.store, snapshot)
    kept = [table.filter(pc.invert(pc.is_in(table["shard"], gone))) for table in (songs, quarantine)]
    tables = [
        pa.concat_tables([old, new]).sort_by("track_id").combine_chunks()
        for old, new in zip(kept, (songs_table(commits), quarantine_table(commits)), strict=True)
    ]
    references = [item for item in snapshot.shards if item["shard"] not in set(todo.replaced)]
    references += [commit.reference() for commit in commits]
    if tables[0].num_rows != songs.num_rows or tables[1].num_rows != quarantine.num_rows:
        raise Incomplete("compaction would lose songs; run python -m jobs.audit")
    return tree.publish(corpus, references, *tables, after=snapshot.number)


def vector_trees(store: Store, corpus: str, features: Snapshot, tree: Tree) -> list[tuple[Tree, pa.Table]]:
    """Trees of vectors that cover all songs of these features, each with its songs."""
    wanted = represent.living(features, read_songs(store, features))
    found = []
    for name in store.names("vectors"):
        vectors = Tree(store, f"vectors/{name}")
        latest = vectors.latest(corpus)
        if latest is None or vectors.read_spec()["fingerprint"] != tree.prefix.rpartition("/")[2]:
            continue
        songs = read_songs(store, latest)
        if not represent.missing(wanted, represent.Known(songs, latest.shards)):
            found.append((vectors, songs))
    return found


def carry(vectors: Tree, known: pa.Table, features: Commit) -> None:
    """Commit the vectors of a merged shard of features, out of those that there are. Does nothing if they are there."""
    name = vectors_shard(features.reference())
    if not features.tracks or vectors.committed([name]):
        vectors.renew([name] if features.tracks else [])
        return
    wanted = [placed.track_id for placed in features.tracks]
    place = dict(zip(known["track_id"].to_pylist(), range(known.num_rows), strict=True))
    table = gather(vectors.store, known.take(pa.array([place[track] for track in wanted], pa.int64())))
    rows = table.num_rows
    vectors.commit(
        name, table, [], rows, [min(ROW_GROUP_ROWS, rows - i) for i in range(0, rows, ROW_GROUP_ROWS)]
    )


def _starts(file: pq.ParquetFile) -> list[int]:
    starts, total = [], 0
    for group in range(file.num_row_groups):
        starts.append(total)
        total += file.metadata.row_group(group).num_rows
    return starts


def _row_bytes(table: pa.Table) -> list[int]:
    total = max(table.nbytes, 1)
    frames = table["n_frames"].to_pylist()
    return [max(1, total * n // max(sum(frames), 1)) for n in frames]


def main(
    root: cli.Root = None,
    config: cli.ConfigFile = None,
    set_: cli.Set = None,
    corpus: cli.Corpus = None,
    dry_run: cli.DryRun = False,
) -> None:
    """Pack small and half-empty shards of features and vectors into full ones; nothing is computed again."""
    resolved = load(config, tuple(set_ or ()), root=root, corpus=corpus)
    if dry_run:
        _, snapshot, todo = prepare(resolved)
        print(
            f"compact: {len(todo.replaced)} of {len(snapshot.shards)} shards would become {len(todo.merged)}"
        )
        return
    run(resolved)


if __name__ == "__main__":
    cli.run(main, "extract")
