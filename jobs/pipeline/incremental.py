"""Which trained model an incremental run keeps: the newest one of the same settings, while few songs are new to it."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from infra.config import Config
from infra.root import layout, models
from infra.root.models import Final
from infra.root.records import Snapshot
from infra.root.schemas import TRACK_ID, VERSION
from infra.root.songs import read_columns
from infra.storage.store import Store
from jobs.train.job import training_snapshot
from jobs.train.provenance import CORPUS, describe

COLUMNS = (TRACK_ID, VERSION)


@dataclass(frozen=True)
class Kept:
    """A model, and how many of today's songs it was not trained on: new ones, and those whose file has changed."""

    run: str
    new_songs: int
    songs: int

    @property
    def new_share(self) -> float:
        return self.new_songs / self.songs


def find_kept(config: Config) -> Kept | None:
    """The newest finished model trained with these settings on an earlier snapshot of the corpus, if there is one.

    That it was this corpus is known by the table of its songs, which `jobs.gc` keeps.
    """
    store = Store(config.root)
    snapshot, fingerprint = training_snapshot(config, store)
    wanted = {
        name: value
        for name, value in describe(config.train, snapshot, fingerprint).items()
        if name not in CORPUS
    }
    folder = layout.folder_of(snapshot.songs)
    same = [
        final
        for final in models.finished(store)
        if all(final.provenance.get(name) == value for name, value in wanted.items())
        and _is_of(store, folder, final)
    ]
    if not same:
        return None
    chosen = max(same, key=lambda final: (final.finished, final.run))
    return Kept(
        chosen.run,
        _new_songs(store, snapshot, layout.listed(folder, chosen.provenance["songs"])),
        snapshot.n_songs,
    )


def _is_of(store: Store, folder: str, final: Final) -> bool:
    return store.exists(layout.listed(folder, final.provenance["songs"]))


def _new_songs(store: Store, snapshot: Snapshot, trained_on: str) -> int:
    before, now = (_keys(read_columns(store, path, COLUMNS)) for path in (trained_on, snapshot.songs))
    known = pc.is_in(now, before)  # pyright: ignore
    return len(now) - (pc.sum(known).as_py() or 0)  # pyright: ignore


def _keys(songs: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(songs[TRACK_ID], songs[VERSION], "\0")  # pyright: ignore
