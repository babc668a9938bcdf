"""What the report needs of all songs' vectors, in three passes over their shards; none keeps them in memory."""

import heapq
import zlib
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.interpretation.lift import GroupSums, group_codes, group_sums
from evaluation.interpretation.segments import candidates
from evaluation.interpretation.tally import Tally, tally
from evaluation.neighbours.exact import Neighbour, nearest
from infra.errors import StorageError
from infra.root.schemas import N_FRAMES, TRACK_ID
from jobs.evaluate.inputs import Inputs
from jobs.evaluate.labels import Labels
from jobs.evaluate.vectors import as_matrix, vector_tables
from jobs.represent.kinds import SHARES, STORED, components_of
from jobs.similar.index import TERMS
from jobs.similar.left_out import LeftOut

MOST_GROUPS = (
    2000  # random groups that take the place of more; their number alone adds 1.6 % of noise to an interval
)
KEPT = 100  # songs richest in a component that are remembered, so that there are several groups among them


@dataclass(frozen=True)
class Counts:
    """What one pass finds. richest: for each component (share, track id) of the songs with most of it.

    kind: of vectors that songs are compared by; mean: (dim,) of all songs' vectors of that kind; of the wanted songs
    their share (component,) of each component, and their vectors (dim,).
    """

    songs: Tally
    richest: tuple[tuple[tuple[float, str], ...], ...]
    kind: str
    mean: np.ndarray
    shares: Mapping[str, np.ndarray]
    vectors: Mapping[str, np.ndarray]


def count_songs(
    inputs: Inputs, labels: Labels, wanted: Sequence[str], listed: Container[str], kind: str
) -> Counts:
    """The first pass: tallies, the richest of the listed songs, and the vectors of the wanted ones."""
    counted: Tally | None = None
    richest: list[list[tuple[float, str]]] = []
    total, kept = np.zeros(1), set(wanted)
    shares: dict[str, np.ndarray] = {}
    vectors: dict[str, np.ndarray] = {}
    for table in vector_tables(inputs.store, inputs.vectors, [*dict.fromkeys((SHARES.name, kind))]):
        ids = table[TRACK_ID].to_pylist()
        share, vector = as_matrix(table[SHARES.name]), as_matrix(table[kind])
        part = tally(share, table[N_FRAMES].to_numpy(), labels.members(ids))
        counted = part if counted is None else counted + part
        total = total + vector.sum(axis=0, dtype=np.float64)
        here = [i for i, track in enumerate(ids) if track in listed]
        richest = _richest(richest, share[here], [ids[i] for i in here])
        for i in (i for i, track in enumerate(ids) if track in kept):
            shares[ids[i]], vectors[ids[i]] = share[i].astype(np.float64), vector[i].astype(np.float64)
    if counted is None:
        raise StorageError(f"the snapshot of vectors of model {inputs.model} has no shard")
    return Counts(counted, tuple(map(tuple, richest)), kind, total / counted.n_songs, shares, vectors)


def count_groups(
    inputs: Inputs, labels: Labels, groups: Mapping[str, str | None], shown: Sequence[int]
) -> GroupSums:
    """The second pass: sums over the songs of each group, of the components shown; groups: of every listed track."""
    codes = group_codes(list(groups.values()), MOST_GROUPS)
    n_groups = int(codes.max(initial=0)) + 1
    of = dict(zip(groups, codes.tolist(), strict=True))
    counted: GroupSums | None = None
    for table in vector_tables(inputs.store, inputs.vectors, [SHARES.name]):
        ids = table[TRACK_ID].to_pylist()
        shares = as_matrix(table[SHARES.name])[:, list(shown)]
        # A song that is no longer listed has no group that is known: any one will do.
        own = np.array([of[i] if i in of else zlib.crc32(i.encode()) % n_groups for i in ids], dtype=np.int64)
        part = group_sums(shares, labels.members(ids), own, n_groups)
        counted = part if counted is None else counted + part
    if counted is None:
        raise StorageError(f"the snapshot of vectors of model {inputs.model} has no shard")
    return counted


def _richest(
    before: list[list[tuple[float, str]]], share: np.ndarray, ids: Sequence[str]
) -> list[list[tuple[float, str]]]:
    """The songs richest in each component, among those before and these; share (song, component)."""
    order = np.argsort(-share, axis=0, kind="stable")[:KEPT]
    merged = []
    for k, known in enumerate(before or [[] for _ in range(share.shape[1])]):
        new = [(float(share[i, k]), ids[i]) for i in order[:, k].tolist()]
        merged.append(heapq.nsmallest(KEPT, [*known, *new], key=lambda item: (-item[0], item[1])))
    return merged


def songs_to_search(
    counts: Counts, component: int, groups: Mapping[str, str | None], limit: int, least: float
) -> set[str]:
    """The songs worth searching for a component: rich in it, from different groups."""
    found = counts.richest[component]
    share, ids = np.array([item[0] for item in found]), [item[1] for item in found]
    return {ids[i] for i in candidates(share, [groups[track] for track in ids], ids, limit, least)}


def similar_songs(
    inputs: Inputs, counts: Counts, limit: int, left_out: LeftOut
) -> dict[str, list[Neighbour]]:
    """The third pass: for each wanted song, those of the whole corpus that are most like it, but for those left out."""

    def parts() -> Iterator[tuple[list[str], np.ndarray]]:
        for table in vector_tables(inputs.store, inputs.vectors, [counts.kind]):
            yield table[TRACK_ID].to_pylist(), as_matrix(table[counts.kind])

    wanted = sorted(counts.vectors)
    if not wanted:
        return {}
    queries, without = np.stack([counts.vectors[track] for track in wanted]), map(left_out.of, wanted)
    components = components_of(STORED[counts.kind], len(counts.songs.songs), queries.shape[1])
    found = nearest(queries, parts(), counts.mean, limit, [*without], components, TERMS)
    return dict(zip(wanted, found, strict=True))
