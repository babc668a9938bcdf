"""One worker of `jobs.represent`: reads row groups ahead, computes vectors of many songs at a time, commits behind."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from hdpgmm.kinds.kind import Kind
from hdpgmm.ragged import ragged
from infra.root.ledger import Tree
from infra.root.schemas import (
    LOG_LIKELIHOOD,
    N_FRAMES,
    TOP_COMPONENTS,
    TOP_SHARES,
    TRACK_ID,
    VERSION,
    vector_shard,
)
from infra.root.songs import SongBlock, joined, shard_blocks
from infra.storage.retry import with_retries
from infra.storage.store import Store
from jobs.represent.kinds import STORED, written
from jobs.represent.model import LoadedModel, batch_of, load_model
from jobs.represent.plan import Source, Unit

BATCH_BYTES = (
    32 << 20
)  # of frames given to the engine at a time, or one row group; a group of small shards fits
ROW_GROUP_ROWS = 1024
Part = tuple[str, SongBlock]  # the vectors' shard, a row group of the features


class Representer:
    """Computes the vectors of one unit at a time and commits them shard by shard. One thread computes.

    In memory are at most three batches of frames (one at work, one ready, one being read), what the engine needs for
    one, and the vectors of two batches.
    """

    def __init__(
        self, root: str, tree: str, run: str, top: int, device: str, without: Sequence[str] = ()
    ) -> None:
        torch.set_num_threads(1)
        store = Store(root)
        self.tree, self.top, self.kinds = Tree(store, tree), top, written(without)
        self.model = load_model(store, run, device)
        self.reader, self.writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._writing: Future[Any] | None = None

    def represent(self, unit: Unit) -> Iterator[int]:
        """Commit the unit's shards that have no commit yet; yields how many songs were computed so far."""
        done = self.tree.committed(source.name for source in unit.sources)
        open_shards: dict[str, list[pa.Table]] = defaultdict(list)
        songs = 0
        for batch in self._ahead(self._batches(unit, done)):
            for name, table in self._tables(batch):
                open_shards[name].append(table)
            songs += sum(len(block.track_ids) for _, block in batch)
            whole = [name for name in open_shards if name != batch[-1][0]]
            self._commit_behind({name: open_shards.pop(name) for name in whole if name not in done})
            yield songs
        self._commit_behind({name: tables for name, tables in open_shards.items() if name not in done})
        self._written()

    def _batches(self, unit: Unit, done: set[str]) -> Iterator[list[Part]]:
        """Of groups that are not done altogether: a batch, and so a vector's last bits, depend on the group alone."""
        for group in unit.groups:
            if any(source.name not in done for source in group):
                yield from batches(self._parts(group), BATCH_BYTES)

    def _parts(self, group: Iterable[Source]) -> Iterator[Part]:
        for source in group:
            for block in shard_blocks(self.tree.store, source.path):
                yield source.name, block

    def _ahead(self, items: Iterator[list[Part]]) -> Iterator[list[Part]]:
        """The same; the next one is read while the caller works."""
        coming = self.reader.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = self.reader.submit(next, items, None)
            yield item

    def _tables(self, batch: Sequence[Part]) -> Iterator[tuple[str, pa.Table]]:
        songs = joined([block for _, block in batch])
        table = vector_table(self.model, songs, self.top, self.kinds)
        first = 0
        for name, block in batch:
            yield name, table.slice(first, len(block.track_ids))
            first += len(block.track_ids)

    def _commit_behind(self, shards: dict[str, list[pa.Table]]) -> None:
        """In the writer's thread, once it has written those before."""
        self._written()
        self._writing = self.writer.submit(self._commit, shards)

    def _commit(self, shards: dict[str, list[pa.Table]]) -> None:
        for name, tables in shards.items():
            table = pa.concat_tables(tables)
            rows = table.num_rows
            sizes = [min(ROW_GROUP_ROWS, rows - first) for first in range(0, rows, ROW_GROUP_ROWS)]
            with_retries(lambda: self.tree.commit(name, table, [], rows, sizes))  # noqa: B023

    def _written(self) -> None:
        """Wait for the shard that is being written; raises what kept it from being."""
        writing, self._writing = self._writing, None
        if writing:
            writing.result()


def batches(parts: Iterable[Part], most_bytes: int) -> Iterator[list[Part]]:
    """Consecutive parts up to `most_bytes` of frames together, at least one each."""
    batch, size = [], 0
    for part in parts:
        if batch and size + part[1].values.nbytes > most_bytes:
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += part[1].values.nbytes
    if batch:
        yield batch


def vector_table(
    model: LoadedModel, songs: SongBlock, top: int, kinds: Mapping[str, Kind] = STORED
) -> pa.Table:
    """Rows of the vectors table: fixed-size lists of the kind's precision, log-likelihoods of frames in feature units.

    `top`: largest components listed per song.
    """
    batch = batch_of(model, ragged(songs.lengths, songs.values))
    vectors = batch.vectors
    shares, components = torch.topk(vectors.responsibility, min(top, vectors.responsibility.shape[1]))
    lists = {
        name: _lists(kind.compute(batch).cpu().to(getattr(torch, kind.precision)))
        for name, kind in kinds.items()
    }
    schema = vector_shard({name: column.type for name, column in lists.items()})
    columns = {
        TRACK_ID: songs.track_ids,
        VERSION: songs.versions,
        N_FRAMES: pa.array(songs.lengths.astype(np.int32)),
        **lists,
        LOG_LIKELIHOOD: pa.array((vectors.log_likelihood + model.whitening.log_det).numpy()),
        TOP_COMPONENTS: _lists(components.int()).cast(schema.field(TOP_COMPONENTS).type),
        TOP_SHARES: _lists(shares).cast(schema.field(TOP_SHARES).type),
    }
    return pa.table(columns, schema=schema)


def _lists(matrix: Tensor) -> pa.FixedSizeListArray:
    """(song, item) as a list for each song, without a copy where the matrix is contiguous."""
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.contiguous().view(-1).numpy()), matrix.shape[1])
