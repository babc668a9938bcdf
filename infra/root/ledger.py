"""The commit protocol: data first under its digest, then one exclusive create that makes it count.

A tree is one table cut into shards, `features/<fingerprint>` or `vectors/<model>`:

    spec.json                        what the values mean; another content is another tree
    data/<shard>/<sha256>.parquet    one row per song; without a commit it does not exist for anybody
    commits/<shard>.json             created exclusively; rows + quarantined = inputs
    snapshots/<corpus>/<n>.json      created exclusively; readers read snapshots only

Jobs publish snapshots under the token of their lease (infra.root.journal). Shards need none: whoever commits a shard,
however late, commits the same rows of the same tracks under a name that says which they are, and only if nobody has;
and it shows to nobody before a snapshot lists it.

`jobs.gc` first takes the names of shards and tables (`taken`), then the next number of every corpus, with a record that
says which snapshot is still the newest. Who publishes has read the newest number, then the names taken: had gc
not yet taken one of them then, it takes the number away, and who publishes must look again.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from infra.errors import ConfigError, Incomplete
from infra.root import layout
from infra.root.journal import Effect, Fence, make_visible
from infra.root.records import (
    COMMIT,
    SNAPSHOT,
    Commit,
    Quarantined,
    ShardFile,
    Snapshot,
    as_json,
    from_json,
    placed,
)
from infra.root.schemas import N_FRAMES
from infra.root.taken import taken, unused
from infra.storage.parquet import encode
from infra.storage.store import Store

PARALLEL_READS = 16
LISTED_FROM = 256
RENEW_SECONDS = 86_400.0

_STILL = b'{"still": '  # begins a record that is no snapshot but names the one that still is the newest
LONGEST_FENCE = 64  # bytes; a snapshot has more


class Tree:
    """A table under `prefix` of a store, written by commits and read by snapshots."""

    def __init__(self, store: Store, prefix: str) -> None:
        self.store = store
        self.prefix = prefix

    def write_spec(self, spec: Mapping[str, Any]) -> None:
        """Declare what the values mean. Raises ConfigError if the tree already means something else."""
        wanted = json.loads(as_json(spec))
        if not self.store.create(layout.spec(self.prefix), as_json(spec)) and self.read_spec() != wanted:
            raise ConfigError(
                f"{self.store.uri(self.prefix)}: has another specification (spec.json); delete it to compute it again"
            )

    def read_spec(self) -> dict[str, Any]:
        """The specification; FileNotFoundError if the tree has none yet."""
        return json.loads(self.store.read(layout.spec(self.prefix)))

    def commit(
        self,
        shard: str,
        table: pa.Table,
        quarantined: Sequence[Mapping[str, Any]],
        inputs: int,
        row_group_rows: Sequence[int],
    ) -> Commit:
        """Make a shard count: one row or one quarantine record for each of its inputs.

        Columns track_id, version and n_frames are expected. Whoever loses a race gets the winner's commit.
        """
        if table.num_rows + len(quarantined) != inputs:
            counts = f"{table.num_rows} rows + {len(quarantined)} quarantined"
            raise ValueError(f"{shard}: {counts} != {inputs} inputs")
        data = encode(table, row_group_rows)
        digest = hashlib.sha256(data).hexdigest()
        mine = Commit(
            shard=shard,
            path=layout.data(self.prefix, shard, digest),
            digest=digest,
            rows=table.num_rows,
            bytes=len(data),
            inputs=inputs,
            quarantined=tuple(Quarantined(**record) for record in quarantined),
            tracks=placed(table, row_group_rows),
        )
        self.store.write(mine.path, data)
        if self.store.create(self._commit_path(shard), as_json(mine)):
            return mine
        return self.read_commit(shard)

    def read_commit(self, shard: str) -> Commit:
        """The commit of a shard; FileNotFoundError if there is none, StorageError if it is damaged."""
        path = self._commit_path(shard)
        return from_json(COMMIT, self.store.read(path), self.store.uri(path), "commit")

    def read_commits(self, shards: Iterable[str]) -> dict[str, Commit]:
        """The commits that exist among these shards, by small parallel reads; of many, a listing says which exist."""
        names = list(shards)
        if len(names) > LISTED_FROM:
            names = self._listed(names)
        with ThreadPoolExecutor(PARALLEL_READS) as pool:
            found = pool.map(self._find_commit, names)
            return {shard: commit for shard, commit in zip(names, found, strict=True) if commit}

    def committed(self, shards: Iterable[str]) -> set[str]:
        """Those of these shards that have a commit."""
        names = list(shards)
        if len(names) > LISTED_FROM:
            return set(self._listed(names))
        with ThreadPoolExecutor(PARALLEL_READS) as pool:
            found = pool.map(lambda name: self.store.exists(self._commit_path(name)), names)
            return {name for name, exists in zip(names, found, strict=True) if exists}

    def renew(self, shards: Iterable[str]) -> None:
        """Write old commits of these shards again, as they are: `jobs.gc` goes by age, and they will be used again."""
        wanted = {self._commit_path(shard) for shard in shards}
        if not wanted:
            return
        old = [
            entry.path for entry in self.store.walk(layout.commits(self.prefix)) if entry.age > RENEW_SECONDS
        ]
        for path in wanted.intersection(old):
            with suppress(FileNotFoundError):  # taken by gc and deleted since; `publish` will say so
                self.store.write(path, self.store.read(path))

    def publish(
        self,
        corpus: str,
        shards: Iterable[ShardFile],
        songs: pa.Table,
        quarantine: pa.Table,
        after: int | None = None,
        fence: Fence | None = None,
    ) -> Snapshot:
        """Make these tables the newest snapshot of a corpus; nothing is written if they already are.

        `shards` are `Commit.reference()` records. Both tables are expected sorted by track_id. after: number of the
        snapshot that they were made from; raises Incomplete if that is no longer the newest. fence: whose token the
        commit bears; raises TakenOver where there is a newer one.
        """
        listed = tuple(sorted(shards, key=lambda item: item.shard))
        while True:
            latest, number = self._newest(corpus)
            gone = self.taken(latest)
            if lost := gone.intersection(item.shard for item in listed):
                raise Incomplete(
                    f"{self.store.uri(self.prefix)}: jobs.gc has taken {len(lost)} of the shards of corpus {corpus}, "
                    f"which nothing had used for long; run again, it computes them anew"
                )
            content = {
                "shards": listed,
                "songs": self._write_table(corpus, layout.SONGS, songs, gone),
                "quarantine": self._write_table(corpus, layout.QUARANTINE, quarantine, gone),
                "n_songs": songs.num_rows,
                N_FRAMES: sum(songs[N_FRAMES].to_numpy().tolist()),
                "n_quarantined": quarantine.num_rows,
            }
            shown = {**content, "shards": [asdict(item) for item in listed]}
            digest = hashlib.sha256(as_json(shown)).hexdigest()
            if latest is not None and latest.digest == digest:
                return latest
            if after is not None and (latest is None or latest.number != after):
                raise Incomplete(
                    f"{self.store.uri(self.prefix)}: corpus {corpus} changed meanwhile; run again"
                )
            mine = Snapshot(number=number + 1, digest=digest, **content)
            path = self.snapshot_path(corpus, mine.number)
            make_visible(self.store, Effect(create=((path, as_json(mine).decode()),)), fence)
            if self._is_there(corpus, mine):
                return mine

    def _is_there(self, corpus: str, mine: Snapshot) -> bool:
        """Whether a snapshot just created is the one of its number, and neither another's nor a fence is."""
        try:
            found = self._standing(corpus, mine.number)
        except FileNotFoundError:  # a fence was, which another has followed
            return False
        return found is not None and (found.number, found.digest) == (mine.number, mine.digest)

    def corpora(self) -> list[str]:
        """Names of the corpora that have snapshots or fences."""
        return self.store.names(layout.snapshots(self.prefix))

    def snapshot_files(self, corpus: str) -> str:
        """The folder of a corpus' snapshots and their tables."""
        return layout.snapshots(self.prefix, corpus)

    def snapshot_path(self, corpus: str, number: int) -> str:
        """Where a snapshot of a corpus lies."""
        return layout.snapshot(self.prefix, corpus, number)

    def shards(self) -> list[str]:
        """Names of all committed shards."""
        return layout.json_stems(self.store.names(layout.commits(self.prefix)))

    def latest(self, corpus: str) -> Snapshot | None:
        """The newest snapshot of a corpus, if any."""
        return self._newest(corpus)[0]

    def taken(self, *held: Snapshot | None) -> frozenset[str]:
        """Names of shards and tables that `jobs.gc` has taken, but for those in these newest snapshots, which stay."""
        found = taken(self.store, self.prefix)
        for snapshot in held if found else ():
            if snapshot is not None:
                found -= {item.shard for item in snapshot.shards}
                found -= {layout.name_of(path) for path in (snapshot.songs, snapshot.quarantine)}
        return found

    def fence(self, corpus: str) -> Snapshot | None:
        """Take the next number away from whoever is about to publish; the newest snapshot, which stays the newest."""
        while True:
            latest, number = self._newest(corpus)
            newest = latest.number if latest else 0
            if self.store.create(self.snapshot_path(corpus, number + 1), as_json({"still": newest})):
                if number > newest:  # another fence
                    self.store.delete(self.snapshot_path(corpus, number))
                return latest

    def read_snapshot(self, corpus: str, number: int) -> Snapshot:
        """One snapshot; FileNotFoundError if there is none, StorageError if it is damaged."""
        return self._snapshot(corpus, number, self.store.read(self.snapshot_path(corpus, number)))

    def _snapshot(self, corpus: str, number: int, data: bytes) -> Snapshot:
        return from_json(SNAPSHOT, data, self.store.uri(self.snapshot_path(corpus, number)), "snapshot")

    def _newest(self, corpus: str) -> tuple[Snapshot | None, int]:
        """The newest snapshot and the highest number, which may be a fence's; 0 where there is none."""
        before = 0
        while True:
            stems = layout.json_stems(self.store.names(self.snapshot_files(corpus)))
            number = max((int(stem) for stem in stems if stem.isdigit()), default=0)
            try:
                return (self._standing(corpus, number) if number else None), number
            except FileNotFoundError:
                if number == before:
                    raise
                before = number  # superseded and deleted since it was listed

    def _standing(self, corpus: str, number: int) -> Snapshot | None:
        """The newest snapshot: that of the highest number, or the one that the fence there names, if any."""
        data = self.store.read(self.snapshot_path(corpus, number))
        digits = data.removeprefix(_STILL).removesuffix(b"}")
        if not (data.startswith(_STILL) and digits.isdigit()):
            return self._snapshot(corpus, number, data)
        return self.read_snapshot(corpus, int(digits)) if int(digits) else None

    def _listed(self, shards: Iterable[str]) -> list[str]:
        present = set(self.shards())
        return [shard for shard in shards if shard in present]

    def _find_commit(self, shard: str) -> Commit | None:
        try:
            return self.read_commit(shard)
        except FileNotFoundError:
            return None

    def _write_table(self, corpus: str, name: str, table: pa.Table, gone: Collection[str]) -> str:
        data = encode(table, [table.num_rows] if table.num_rows else [])
        digests = {layout.digest_of(name, item) for item in gone}
        digest = unused(hashlib.sha256(data).hexdigest()[:32], digests)
        path = layout.snapshot_table(self.prefix, corpus, name, digest)
        if not self.store.exists(path):
            self.store.write(path, data)
        return path

    def _commit_path(self, shard: str) -> str:
        return layout.commit(self.prefix, shard)


def trees(store: Store, folder: str) -> list[Tree]:
    """The trees in `layout.FEATURES` or `layout.VECTORS`, by name."""
    return [Tree(store, layout.listed(folder, name)) for name in store.names(folder)]


def newest_snapshots(store: Store, folder: str) -> Iterator[tuple[Tree, str, Snapshot]]:
    """The newest snapshot of each corpus in each tree of a folder."""
    for tree in trees(store, folder):
        for corpus in tree.corpora():
            snapshot = tree.latest(corpus)
            if snapshot is not None:
                yield tree, corpus, snapshot
