"""The studies under a root: what `jobs.sweep` leaves there and the report shows."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.figures.sweep import sweep_figure
from evaluation.report.studies import Study
from infra.root import layout
from infra.root.journal import Fence, replace_files
from infra.root.schemas import STUDY, table_of
from infra.storage.parquet import decode, encode
from infra.storage.store import Store


@dataclass(frozen=True)
class Kept:
    """Where a study lies and what its table's bytes are, SHA-256."""

    folder: str
    name: str
    digest: str


def write_study(
    store: Store,
    folder: str,
    rows: Sequence[Mapping[str, Any]],
    about: Mapping[str, Any],
    fence: Fence | None = None,
) -> None:
    """Its table, its figure and, last, what makes it a study: about.json with its name, corpus and models."""
    table = table_of(STUDY, [{k: _null(v) for k, v in row.items()} for row in rows])
    files = [
        (layout.study_table(folder), encode(table, [table.num_rows])),
        (layout.study_figure(folder), sweep_figure(rows, about["name"])),
        (layout.study_about(folder), json.dumps(about).encode()),
    ]
    replace_files(store, files, fence)


def _null(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value


def find_studies(store: Store, corpus: str) -> list[Kept]:
    """The studies of a corpus, by their folders' names."""
    found = []
    for name in store.names(layout.STUDIES):
        folder = layout.study(name)
        try:
            about = json.loads(store.read(layout.study_about(folder)))
        except FileNotFoundError:
            continue  # no point is done yet
        if about["corpus"] == corpus:
            digest = hashlib.sha256(store.read(layout.study_table(folder))).hexdigest()
            found.append(Kept(folder, about["name"], digest))
    return found


def models_of_studies(store: Store) -> set[str] | None:
    """The models of all studies under a root; None where one does not say."""
    found: set[str] = set()
    for name in store.names(layout.STUDIES):
        try:
            about = json.loads(store.read(layout.study_about(layout.study(name))))
        except FileNotFoundError:
            continue
        if "models" not in about:
            return None
        found.update(about["models"])
    return found


def read_study(store: Store, kept: Kept) -> Study:
    """Its rows and its figure."""
    rows = decode(store.read(layout.study_table(kept.folder))).to_pylist()
    known = [{"ours": False, **row} for row in rows]  # a study of before does not say which rows are ours
    return Study(kept.name, store.read(layout.study_figure(kept.folder)), tuple(known))
