"""What an evaluation starts from: a model's vectors, the features behind them, and the labels, aligned by track id."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from evaluation.probing.splits import Parts
from evaluation.probing.tasks import Skipped, Task, multi_label, single_label, value
from features.spec import FeatureSpec
from hdpgmm.kinds import KINDS
from infra.code import digest_of_code
from infra.datasets.splits import SplitLists
from infra.errors import ConfigError
from infra.root import layout, models
from infra.root.imported import run_here
from infra.root.ledger import Tree
from infra.root.records import Snapshot
from infra.root.schemas import MULTI, NUMBER, SINGLE, TRACK_ID, VERSION, groups_by_track, label_columns
from infra.root.songs import read_songs
from infra.root.taken import taken
from infra.storage.store import Store
from jobs.extract.specification import stored_specification
from jobs.extract.work import read_tracks

Notes = list[tuple[str, str]]

BUILDERS: dict[str, Callable[..., Task | Skipped]] = {
    SINGLE: single_label,
    MULTI: multi_label,
    NUMBER: value,
}


@dataclass(frozen=True)
class Inputs:
    """What scores depend on: one model's vectors, the features they came from, the labels."""

    store: Store
    corpus: str
    model: str
    vectors: Snapshot
    features: Snapshot
    feature_prefix: str
    tracks: pa.Table

    @cached_property
    def specification(self) -> FeatureSpec:
        """What the features were made from."""
        return stored_specification(self.store, self.feature_prefix)

    @cached_property
    def _vectors_spec(self) -> dict[str, Any]:
        return Tree(self.store, layout.vectors(self.model)).read_spec()

    @cached_property
    def kinds(self) -> frozenset[str]:
        """Names of the kinds of vectors that the model's songs have."""
        return frozenset(KINDS).intersection(self._vectors_spec)

    @property
    def n_components(self) -> int:
        """Components of the model."""
        return self._vectors_spec["n_components"]

    def digest(self, *settings: Mapping[str, Any], code: Sequence[str]) -> str:
        """Changes with any input, any of the settings and the source of the modules `code`."""
        tracks = self.store.digest(layout.tracks(self.corpus))
        parts = [
            self.model,
            self.vectors.digest,
            self.features.digest,
            tracks,
            digest_of_code(*code),
            *settings,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def find_inputs(store: Store, corpus: str, model: str | None) -> Inputs:
    """The newest vectors of the corpus, or those of `model`: a name, or the address of a model that was copied.

    Raises ConfigError where there are none.
    """
    run, vectors = _choose(store, corpus, run_here(store, model))
    prefix = layout.features(Tree(store, layout.vectors(run)).read_spec()["fingerprint"])
    features = Tree(store, prefix).latest(corpus)
    if features is None:
        raise ConfigError(f"{store.uri(prefix)}: the features behind model {run} are gone")
    return Inputs(store, corpus, run, vectors, features, prefix, read_tracks(store, corpus))


def _choose(store: Store, corpus: str, model: str | None) -> tuple[str, Snapshot]:
    found, gone = [], taken(store, models.PLACE)
    for run in [model] if model else store.names(layout.VECTORS):
        if run in gone:
            continue
        snapshot, final = Tree(store, layout.vectors(run)).latest(corpus), models.find(store, run)
        if snapshot is not None and final is not None:
            found.append((final.finished, run, snapshot))
    if not found:
        of = f" of model {model}" if model else ""
        raise ConfigError(
            f"no vectors{of} under {store.root}: run python -m jobs.represent --root {store.root}"
        )
    return max(found, key=lambda item: item[:2])[1:]


def digest_of(file: str) -> str:
    """SHA-256 of a file at a path or s3:// address. Raises ConfigError where there is none."""
    folder, _, name = file.rpartition("/")
    try:
        return Store(folder or ("/" if file.startswith("/") else ".")).digest(name)
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file") from None


def align(inputs: Inputs) -> tuple[set[str], Notes]:
    """Ids of the tracks that have features and a vector of the same version of the file; the rest is counted."""
    features, vectors = (
        dict(zip(songs[TRACK_ID].to_pylist(), songs[VERSION].to_pylist(), strict=True))
        for songs in (read_songs(inputs.store, snapshot) for snapshot in (inputs.features, inputs.vectors))
    )
    listed = inputs.tracks[TRACK_ID].to_pylist()
    extracted = {track for track in listed if track in features}
    living = {track for track in extracted if vectors.get(track) == features[track]}
    notes: Notes = []
    if len(extracted) < len(listed):
        notes.append(
            ("all tasks", f"{len(listed) - len(extracted)} tracks have no features (set aside or new)")
        )
    if len(living) < len(extracted):
        notes.append(
            ("all tasks", f"{len(extracted) - len(living)} tracks have no vector, or an outdated one")
        )
    return living, notes


def published(tracks: pa.Table, living: set[str], lists: SplitLists) -> tuple[Parts, Notes]:
    """The sides of a published split that every model has a vector for, and what they lost or share.

    Raises ConfigError where nothing is left of a side that the score needs.
    """
    ids = tracks[TRACK_ID].to_pylist()
    named, note = lists.of(ids)
    listed = Parts(**named)
    parts = listed.keep(living)
    notes: Notes = [("all tasks", f"split {lists.pattern}: {parts}")]
    if note:
        notes.append(("all tasks", note))
    lost = len(listed.songs) - len(parts.songs)
    if lost:
        notes.append(("all tasks", f"{lost} tracks of the split have no vector"))
    if not parts.train | parts.valid or not parts.test:
        raise ConfigError(f"{lists.pattern}: no track of its train or test list has a vector ({parts})")
    groups = groups_by_track(tracks)
    taught = {groups.get(track) for track in parts.train | parts.valid} - {None}
    shared = sum(groups.get(track) in taught for track in parts.test)
    if shared:
        notes.append(
            ("all tasks", f"{shared} test songs share a group with the training part: the split's own")
        )
    return parts, notes


def testable(tasks: Sequence[Task], parts: Parts) -> tuple[list[Task], Notes]:
    """The tasks with labelled songs on both sides of a published split; the rest is told."""
    sides = {"training": parts.train | parts.valid, "test": parts.test}
    kept, notes = [], []
    for task in tasks:
        bare = [name for name, side in sides.items() if side.isdisjoint(task.songs)]
        if bare:
            notes.append((task.name, f"skipped: no song of the split's {' or '.join(bare)} list has a label"))
        else:
            kept.append(task)
    return kept, notes


def make_tasks(tracks: pa.Table, living: set[str], min_count: int) -> tuple[list[Task], Notes]:
    """One task per label column, over the tracks that every model has a vector for."""
    tracks = tracks.filter(pa.array([track in living for track in tracks[TRACK_ID].to_pylist()], pa.bool_()))
    ids = tracks[TRACK_ID].to_pylist()
    groups = [*groups_by_track(tracks).values()]
    known = groups if any(group is not None for group in groups) else None
    tasks, notes = [], []
    for labels in label_columns(tracks):
        values = tracks[labels.column].to_pylist()
        made = BUILDERS[labels.kind](labels.name, ids, values, known, min_count)
        if isinstance(made, Skipped):
            notes.append((labels.name, f"skipped: {made.reason}"))
        else:
            tasks.append(made)
            notes += [(labels.name, note) for note in made.notes]
    if not tasks and not notes:
        notes.append(("all tasks", "the track list has no labels"))
    return tasks, notes
