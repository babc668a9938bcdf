"""Which vectors are compared: a model's and its siblings' of other seeds, the simple ones, other people's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from evaluation.baselines import baselines
from evaluation.baselines.baseline import Baseline
from hdpgmm.kinds.kind import Kind
from infra.config import EvaluateConfig
from infra.datasets.keys import best_named, find_key, is_known
from infra.datasets.names import Names
from infra.datasets.tables import read_table
from infra.errors import ConfigError
from infra.root import layout, models
from infra.root.schemas import TRACK_ID, URI
from infra.root.taken import taken
from infra.storage.store import Store
from jobs.evaluate.inputs import Inputs, Notes, align, digest_of, find_inputs
from jobs.evaluate.vectors import Named, baseline_vectors, model_vectors, n_sampled
from jobs.represent.kinds import COMPARED

NAME_COLUMNS = (TRACK_ID, "track", "path", "file", "filename", URI, "name", "id")


@dataclass(frozen=True)
class Source:
    """A representation of one trained model; `key` changes with any of its numbers."""

    representation: str
    seed: int
    key: tuple[str, ...]
    model: Inputs | None = None
    kind: Kind | None = None
    baseline: Baseline | None = None
    file: str | None = None


def find_family(inputs: Inputs) -> tuple[list[tuple[int, Inputs]], Notes]:
    """The model, and those trained alike but for the seed that have vectors of the same songs; by seed."""
    store, own = inputs.store, _provenance(inputs.store, inputs.model)
    family, notes = [(int(own.get("seed", 0)), inputs)], []
    living = align(inputs)[0]
    gone = taken(store, models.PLACE)
    for run in store.names(layout.VECTORS):
        other = {} if run in gone else _provenance(store, run)
        if run == inputs.model or "seed" not in other or {**other, "seed": own.get("seed")} != own:
            continue
        sibling = find_inputs(store, inputs.corpus, run)
        if align(sibling)[0] == living:
            family.append((int(other["seed"]), sibling))
        else:
            notes.append(
                ("all tasks", f"model {run}, another seed, is left out: its vectors are of other songs")
            )
    return sorted(family, key=lambda member: member[0]), notes


def _provenance(store: Store, run: str) -> dict[str, Any]:
    final = models.find(store, run)
    return {} if final is None else final.provenance


def find_sources(family: Sequence[tuple[int, Inputs]], config: EvaluateConfig) -> list[Source]:
    """In the order of the table: the simple ones, others', the model's. A codebook for each member of the family."""
    inputs, sources = family[0][1], []
    drawn = n_sampled(inputs, config)
    for baseline in baselines(config.model_dump()):
        for row in baseline.rows(drawn):
            for seed in range(len(family) if baseline.seeded else 1):
                key = (inputs.features.digest, *baseline.key, str(config.seed + seed))
                sources.append(Source(row, seed, key, baseline=baseline))
    for item in config.vectors:
        label, _, file = item.partition("=")
        if not file or not label:
            raise ConfigError(f"evaluate.vectors: {item!r}: expected NAME=FILE, as in CLMR=clmr.parquet")
        sources.append(Source(label, 0, (digest_of(file),), file=file))
    kept = [kind for kind in COMPARED if all(kind.name in member.kinds for _, member in family)]
    for kind in kept:
        for seed, member in family:
            key = (member.model, kind.name, member.vectors.digest)
            sources.append(Source(kind.row, seed, key, model=member, kind=kind))
    names = [(source.representation, source.seed) for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ConfigError(f"evaluate.vectors: {twice[0]!r} names two representations; choose another name")
    return sources


def load_vectors(
    sources: Iterable[Source], inputs: Inputs, wanted: Sequence[str], config: EvaluateConfig
) -> Named:
    """The vectors of the wanted songs, (song, dim) in their order; frames are read only where a source needs them."""
    found: Named = {}
    needed = {(source.representation, source.seed): source for source in sources}
    simple = dict.fromkeys((source.baseline, source.seed) for source in needed.values() if source.baseline)
    if simple:
        found.update(baseline_vectors(inputs, wanted, config, [*simple]))
    members = {source.seed: source.model for source in needed.values() if source.model}
    for seed, member in members.items():
        kinds = [source.kind for source in needed.values() if source.kind and source.seed == seed]
        rows = model_vectors(member, wanted, kinds)
        found.update({(name, seed): x for name, x in rows.items()})
    for source in needed.values():
        if source.file:
            listed = inputs.tracks[TRACK_ID].to_pylist()
            found[source.representation, 0] = read_vectors(source.file, wanted, listed)
    return found


def read_vectors(file: str, wanted: Sequence[str], listed: Sequence[str] | None = None) -> np.ndarray:
    """Another model's vectors of the wanted songs, float64 (song, dim) in their order, from CSV, TSV or Parquet.

    A column track_id, path, file or the like names the track; a column of lists holds the vectors, or every other
    column of numbers is a dimension. `listed` are all tracks of the corpus: a name may mean one that is not wanted.
    Raises ConfigError for a song without a vector, or what cannot be one.
    """
    table = read_table(file)
    tracks = list(wanted if listed is None else listed)
    known = {name: table[name] for name in table.column_names if is_known(name)}
    likely = best_named(list(known))
    if likely is None:
        raise ConfigError(
            f"{file}: no column {', '.join(NAME_COLUMNS)} to name the track; it has {', '.join(table.column_names)}"
        )
    matrix = _matrix(table, likely, file)
    texts = {name: _texts(column) for name, column in known.items() if not _is_list(column.type)}
    key = find_key(file, texts, Names(tracks), "call it track_id and leave out the others")
    if key.column != likely:
        matrix = _matrix(table, key.column, file)
    place: dict[str, int] = {}
    for row, track in enumerate(key.matched.rows):
        if track is not None and place.setdefault(tracks[track], row) != row:
            raise ConfigError(f"{file}: more than one row is of the track {tracks[track]!r}")
    missing = [track for track in wanted if track not in place]
    told = "".join(f"; {words}" for words in key.matched.told("rows"))
    if missing:
        raise ConfigError(
            f"{file}: {len(missing)} of the {len(wanted)} songs compared have no vector, the first is {missing[0]!r}"
            f" (column {key.column}{told})"
        )
    rows = matrix[[place[track] for track in wanted]]
    if not np.isfinite(rows).all():
        raise ConfigError(f"{file}: a vector holds a value that is not a finite number")
    return rows


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    return [None if value is None else str(value).strip() for value in column.to_pylist()]


def _matrix(table: pa.Table, key: str, file: str) -> np.ndarray:
    columns = {name: table[name] for name in table.column_names if name != key}
    lists = [name for name, column in columns.items() if _is_list(column.type)]
    try:
        if lists:
            return np.array(table[lists[0]].to_pylist(), dtype=np.float64)
        numbers = [name for name, column in columns.items() if _is_number(column)]
        return np.column_stack([columns[n].cast(pa.float64()).to_numpy() for n in numbers])
    except (ValueError, TypeError, pa.ArrowInvalid):
        raise ConfigError(
            f"{file}: expected a column of lists of equal length, or columns of numbers, beside {key}"
        ) from None


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind)


def _is_number(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_string(column.type):
        return pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
    try:
        column.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True
