"""Which models nobody uses any more, and what was made with them; and on which songs trainings stand.

Superseded is a finished model when as many as `--keep` newer ones of the same corpus and settings (all but the seed)
were finished on other songs, longer ago than `--older-than`, unless the report, a study of jobs.sweep or a younger
file speaks of it or of one that differs from it by the seed alone. A training that did not end is given up when its
files are as old and its songs are no longer those of a corpus. What lies under a name without a model goes likewise.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evaluation.report.pages import INDEX, model_of
from infra.root import layout, models
from infra.root.ledger import Tree, trees
from infra.root.models import Final
from infra.root.taken import taken
from infra.storage.local import Entry
from infra.storage.store import Store
from jobs.sweep.studies import models_of_studies
from jobs.train.provenance import CORPUS


@dataclass(frozen=True)
class Model:
    """A folder of models/: ages in seconds of its youngest file and of final.json, and what it was trained on."""

    name: str
    youngest: float
    final: Final | None
    final_age: float
    provenance: Mapping[str, Any]

    @property
    def songs(self) -> str:
        """Name of the table of songs; "" where nothing says it."""
        return str(self.provenance.get("songs", ""))


def read_models(store: Store) -> list[Model]:
    """All models under a root, trainings under way too."""
    files: dict[str, list[Entry]] = defaultdict(list)
    for entry in store.walk(layout.MODELS):
        files[entry.path.split("/")[1]].append(entry)
    return [_read(store, name, entries) for name, entries in files.items()]


def _read(store: Store, name: str, entries: Iterable[Entry]) -> Model:
    ages = {entry.path: entry.age for entry in entries}
    final = models.find(store, name) if layout.final(name) in ages else None
    provenance = final.provenance if final else _begun(store, name, ages)
    return Model(name, min(ages.values()), final, ages.get(layout.final(name), 0.0), provenance)


def _begun(store: Store, name: str, files: Iterable[str]) -> Mapping[str, Any]:
    """The provenance that the newest checkpoint says."""
    newest = max(
        (file for file in files if layout.is_checkpoint_entry(layout.model(name), file)), default=None
    )
    try:
        return json.loads(store.read(newest))["meta"]["provenance"] if newest else {}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def superseded(store: Store, known: Collection[Model], older_than: float, keep: int) -> set[str]:
    """Names of the models that go, by what other models and their readers say; what they lie in may still be young."""
    named = _named(store)
    gone = {model.name for model in known if model.final is None and _given_up(store, model)}
    for family, newer in _families(store, known) if named is not None else ():
        late = max(_finished(model) for model in family)
        after = [
            any(model.final_age > older_than and _finished(model) > late for model in other)
            for other in newer
        ]
        names = {model.name for model in family}
        if sum(after) >= keep and not names & (named or set()):
            gone |= names
    return gone


def _families(store: Store, known: Iterable[Model]) -> Iterator[tuple[list[Model], list[list[Model]]]]:
    """Models alike but for the seed, each with the others of the same corpus and settings that are of other songs.

    Of copies the corpus is that of the root where they were trained.
    """
    where: dict[str, list[str]] = defaultdict(list)
    for tree in trees(store, layout.FEATURES):
        for corpus in tree.corpora():
            for name in store.names(tree.snapshot_files(corpus)):
                where[name].append(layout.snapshots(tree.prefix, corpus))
    alike: dict[str, dict[str, list[Model]]] = defaultdict(lambda: defaultdict(list))
    for model in known:
        if model.final is not None:
            settings = {k: v for k, v in model.provenance.items() if k not in CORPUS | {"seed"}}
            trained_in = where.get(model.songs) or [
                model.final.origin.get(name) for name in ("root", "corpus")
            ]
            key = json.dumps([trained_in, settings], sort_keys=True)
            alike[key][model.songs].append(model)
    for families in alike.values():
        for songs, family in families.items():
            yield family, [other for name, other in families.items() if name != songs]


def _finished(model: Model) -> tuple[str, str]:
    assert model.final is not None
    return model.final.finished, model.name


def _named(store: Store) -> set[str] | None:
    """Models that studies and the report are about; None where one of them does not say."""
    named, page = models_of_studies(store), layout.report(INDEX)
    if named is None or not store.exists(page):
        return named
    about = model_of(store.read(page))
    return None if about is None else {*named, about}


def _given_up(store: Store, model: Model) -> bool:
    """Whether a training that did not end cannot go on: nobody has its songs as the newest."""
    if not model.songs or "fingerprint" not in model.provenance:
        return False
    tree = Tree(store, layout.features(model.provenance["fingerprint"]))
    newest = map(tree.latest, tree.corpora())
    return all(not snapshot or layout.name_of(snapshot.songs) != model.songs for snapshot in newest)


def belongings(store: Store, gone: Collection[str], older_than: float) -> Iterator[tuple[str, list[Entry]]]:
    """Names with everything that lies under them, where all of it is old: those `gone`, and those of no model.

    What gc has taken before is as good as old.
    """
    there = {kind: set(store.names(kind)) for kind in layout.OF_MODELS}
    there[layout.SCORES].discard(layout.CELLS)
    before = taken(store, models.PLACE)
    for name in sorted(set().union(*there.values())):
        if name in before or name in gone or name not in there[layout.MODELS]:
            entries = [
                e
                for kind in layout.OF_MODELS
                if name in there[kind]
                for e in store.walk(layout.listed(kind, name))
            ]
            if name in before or all(entry.age > older_than for entry in entries):
                yield name, entries
