"""Names that `jobs.gc` has taken: what has them may go at any moment, and nothing new is ever called so.

gc/taken/<place>/<id>.json    {"names": [...]}, written before anything that has these names is deleted

A place is a tree (names of shards and tables) or `models`. A process that deletes may be paused and go on a week
later; what was called otherwise in the meantime it cannot hit. So names are given back only by the one who took them,
before it has deleted anything.
"""

import hashlib
import json
import secrets
from collections.abc import Collection, Iterable

from infra.root import layout
from infra.storage.store import Store

MOST_FILES = 16  # of a place, before they become one


def taken(store: Store, place: str) -> frozenset[str]:
    """All names taken there."""
    return frozenset().union(*_read(store, place).values())


def take(store: Store, place: str, names: Iterable[str]) -> str:
    """Take these names; the path of the record, for `give_back`. Other records of the place become one if many."""
    path = layout.taken(place, secrets.token_hex(8))
    found = _read(store, place)
    _write(store, path, names)
    if len(found) >= MOST_FILES:
        _write(store, layout.taken(place, secrets.token_hex(8)), frozenset().union(*found.values()))
        store.delete_many(found)
    return path


def give_back(store: Store, path: str, names: Collection[str]) -> None:
    """Take no more of one's own record `path` than these names."""
    if names:
        _write(store, path, names)
    else:
        store.delete(path)


def unused(name: str, taken: Collection[str]) -> str:
    """The name, or the first of its successors that is not taken: the same for everybody who asks."""
    found, number = name, 0
    while found in taken:
        number += 1
        found = hashlib.sha256(f"{name}\0{number}".encode()).hexdigest()[: len(name)]
    return found


def _write(store: Store, path: str, names: Iterable[str]) -> None:
    store.write(path, json.dumps({"names": sorted(names)}).encode())


def _read(store: Store, place: str) -> dict[str, frozenset[str]]:
    """The records of a place by their paths."""
    while True:
        folder = layout.taken(place)
        paths = [layout.listed(folder, name) for name in store.names(folder)]
        try:
            return {path: frozenset(json.loads(store.read(path))["names"]) for path in paths}
        except FileNotFoundError:
            continue  # given back, or joined with others, since it was listed
