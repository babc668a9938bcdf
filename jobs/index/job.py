"""`python -m jobs.index`: the track list of a corpus, with labels where a label file is given."""

import json
import logging
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from infra.config import Config, LabelConfig
from infra.datasets.audio import Found, scan
from infra.datasets.duplicates import Duplicates, find_duplicates
from infra.datasets.label_files import read_labels
from infra.datasets.labels import Columns, LabelFile, attach, metadata
from infra.datasets.names import Names
from infra.datasets.tables import is_table
from infra.datasets.tracklist import read_list
from infra.errors import ConfigError
from infra.root import layout
from infra.root.journal import replace_files
from infra.root.runs import RunFolder
from infra.root.schemas import BYTES, GROUP, SAME_AS, SINGLE, TRACK_ID, URI, VERSION, LabelColumn
from infra.storage.parquet import encode
from infra.storage.store import Store

NONE = Duplicates((), 0)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexResult:
    """The track list: `path` is relative to the root; `changed` says whether this run wrote it."""

    path: str
    n_tracks: int
    n_labelled: int
    changed: bool


def run(config: Config) -> IndexResult:
    """List the audio, join the labels, replace the track list if it differs.

    Raises ConfigError for music or labels that do not fit, StorageError for a root that cannot be written, Incomplete
    while another run lists the same corpus.
    """
    store = Store(config.root)
    store.check()
    path = layout.tracks(config.corpus)
    with RunFolder(
        store, layout.run("index", config.corpus), f"the track list of corpus {config.corpus}"
    ) as folder:
        folder.begin(config.model_dump(mode="json"))
        table, n_labelled = build(config)
        data = encode(table, [table.num_rows])
        changed = not store.exists(path) or store.read(path) != data
        if changed:
            replace_files(store, [(path, data)], folder.lease.fence)
        folder.summary({"tracks": table.num_rows, "labelled": n_labelled, "changed": changed})
    news = "" if changed else ", as before"
    log.info("index: %d tracks, %d with labels%s", table.num_rows, n_labelled, news)
    return IndexResult(path, table.num_rows, n_labelled, changed)


def build(config: Config) -> tuple[pa.Table, int]:
    """The track list and how many of its tracks have a label or a row in the label file."""
    if not config.music:
        raise ConfigError("music: not set; give --music FOLDER, an s3:// prefix or a .csv or .parquet list")
    found = _representable(read_list(config.music) if is_table(config.music) else _scanned(config.music))
    duplicates = find_duplicates(found, config.index.compare_bytes)
    if twice := str(duplicates):
        log.info("index: %s", twice)
    tracks = track_table(found, duplicates)
    columns, n_labelled = None, 0
    if config.labels.file:
        tracks, columns, n_labelled = _label(tracks, config.labels, config.labels.file)
    else:
        tracks = tracks.append_column(GROUP, pa.nulls(tracks.num_rows, pa.string()))
    if config.labels.folder:
        tracks = with_folders(tracks, config.labels.folder)
        folders = tracks[LabelColumn(SINGLE, config.labels.folder).column]
        n_labelled = max(n_labelled, tracks.num_rows - folders.null_count)
    about = json.dumps(metadata(config.music, config.labels, columns), ensure_ascii=False)
    return tracks.replace_schema_metadata({b"hdpgmm": about.encode()}), n_labelled


def plan_text(config: Config) -> str:
    """What `run` would list, in one line."""
    table, n_labelled = build(config)
    size = sum(table[BYTES].to_pylist()) / 1e9
    return f"{table.num_rows} tracks, {size:.3g} GB, {n_labelled} with labels; nothing written"


def track_table(found: Sequence[Found], duplicates: Duplicates = NONE) -> pa.Table:
    """One row per file; the track_id is the name."""
    first = {name: group[0] for group in duplicates.groups for name in group}
    columns = {
        TRACK_ID: [item.name for item in found],
        URI: [item.uri for item in found],
        BYTES: pa.array([item.bytes for item in found], pa.int64()),
        VERSION: [item.version for item in found],
        SAME_AS: pa.array([first.get(item.name) for item in found], pa.string()),
    }
    return pa.table(columns)


def with_folders(tracks: pa.Table, name: str) -> pa.Table:
    """The track list with a label column: the folder each track lies in, null at the top.

    Raises ConfigError where the label file has that label already, or no track lies in a folder.
    """
    labels = LabelColumn(SINGLE, name)
    if labels.column in tracks.column_names:
        raise ConfigError(f"labels.folder: {name!r} is a column of the label file too; choose another name")
    folders = [posixpath.dirname(track).rpartition("/")[2] or None for track in tracks[TRACK_ID].to_pylist()]
    if not any(folders):
        raise ConfigError(f"labels.folder: no track lies in a folder below the music, so none has a {name!r}")
    group = tracks.column_names.index(GROUP)
    return tracks.add_column(group, labels.column, labels.array(folders))


def _label(tracks: pa.Table, config: LabelConfig, file: str) -> tuple[pa.Table, Columns, int]:
    labels = LabelFile(file.rpartition("/")[2], read_labels(file))
    names = Names(tracks[TRACK_ID].to_pylist(), _folder(tracks))
    columns = labels.columns(config, names)
    labelled, n = attach(tracks, labels, columns, config.top, names)
    log.info(
        "labels: %s: %s; the key names %d of %d tracks by %d of %d rows",
        *(labels.name, columns, n, tracks.num_rows, n, labels.n_rows),
    )
    return labelled, columns, n


def _folder(tracks: pa.Table) -> str:
    """What stands before every track's id in its address, "" where that differs."""
    ids, uris = tracks[TRACK_ID].to_pylist(), tracks[URI].to_pylist()
    folder = uris[0].removesuffix(ids[0]) if ids else ""
    is_common = all(uri == folder + track for uri, track in zip(uris, ids, strict=True))
    return folder if is_common else ""


def _scanned(music: str) -> list[Found]:
    found, left = scan(music)
    if left.counts:
        log.info("index: left out: %s", left)
    return found


def _representable(found: Sequence[Found]) -> list[Found]:
    """Names that are not UTF-8 cannot be written to a table; they are left out, and said to be."""
    kept = [item for item in found if _is_utf8(item.name)]
    if len(kept) < len(found):
        first = next(item.name for item in found if not _is_utf8(item.name))
        log.warning("index: %d files left out, their names are not UTF-8: %a", len(found) - len(kept), first)
    return kept


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
