"""`python -m jobs.status`: what exists under a root, and with --watch what its runs do."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from infra import cli
from infra.config import Config
from infra.errors import ConfigError, StorageError
from infra.root import layout
from infra.root.ledger import newest_snapshots
from infra.root.models import find
from infra.root.runs import has_record, read_record
from infra.root.schemas import BYTES
from infra.root.songs import read_quarantine
from infra.storage.retry import with_retries
from infra.storage.store import Store
from jobs.extract.work import read_tracks
from jobs.upkeep.audit import quarantine_lines

LOG_WIDTH = 160
STEP = len(layout.checkpoint_name(0))  # what names of checkpoints begin with
WATCH_SECONDS = 5.0
Watch = Annotated[
    bool, typer.Option("--watch", help="What each run does and said last, again and again until Ctrl-C.")
]
Rows = Sequence[tuple[str, ...]]


def run(config: Config) -> dict[str, Rows]:
    """One table of strings for each kind of thing; kinds without anything are left out.

    Raises ConfigError if there is nothing at all.
    """
    store = Store(config.root)
    tables = {
        "corpus": corpora(store),
        "features": list(features(store)),
        "quarantined": list(quarantined(store)),
        "models": list(models(store)),
        "vectors": list(vectors(store)),
        "scores": [(name,) for name in store.names(layout.SCORES) if name != layout.CELLS],
        "report": [(store.uri(layout.report()),)] if store.exists(layout.report()) else [],
        "runs": list(runs(store)),
    }
    found = {kind: rows for kind, rows in tables.items() if rows}
    if not found:
        raise ConfigError(f"root {store.root}: nothing there yet")
    return found


HEADS = {
    "corpus": ("corpus", "tracks", "GB", "music", "labels"),
    "features": ("features", "corpus", "snapshot", "shards", "songs", "frames", "hours", "MB", "quarantined"),
    "models": ("model", "checkpoints", "newest step", "finished", "trained in"),
    "vectors": ("vectors of model", "corpus", "snapshot", "songs"),
    "scores": ("scores of model",),
    "report": ("report",),
    "runs": ("run", "ended", "summary"),
    "watched": ("run", "state", "last words"),
}


def corpora(store: Store) -> Rows:
    """Name, tracks, size, origin and label columns of each track list."""
    rows = []
    for name in store.names(layout.CORPORA):
        table = read_tracks(store, name)
        about = json.loads((table.schema.metadata or {}).get(b"hdpgmm", b"{}"))
        labels = [*about.get("single", ()), *about.get("multi", ())]
        size = sum(table[BYTES].to_pylist()) / 1e9
        rows.append(
            (name, str(table.num_rows), f"{size:.3g}", str(about.get("music")), ", ".join(labels) or "-")
        )
    return rows


def features(store: Store) -> Iterator[tuple[str, ...]]:
    """The newest snapshot of each corpus in each feature tree."""
    for tree, corpus, snapshot in newest_snapshots(store, layout.FEATURES):
        spec = tree.read_spec()
        hours = snapshot.n_frames * spec.get("hop_length", 1) / spec["sample_rate"] / 3600
        size = sum(shard.bytes for shard in snapshot.shards) / 1e6
        counts = (snapshot.number, len(snapshot.shards), snapshot.n_songs, snapshot.n_frames)
        sizes = (f"{hours:.2f}", f"{size:.1f}")
        yield (layout.name_of(tree.prefix), corpus, *map(str, counts), *sizes, str(snapshot.n_quarantined))


def quarantined(store: Store) -> Iterator[tuple[str]]:
    """The quarantined tracks by reason, of every feature tree."""
    for tree, corpus, snapshot in newest_snapshots(store, layout.FEATURES):
        if snapshot.n_quarantined:
            yield (f"quarantined in {tree.prefix}, corpus {corpus}",)
            yield from ((f"  {line}",) for line in quarantine_lines(read_quarantine(store, snapshot)))


def models(store: Store) -> Iterator[tuple[str, ...]]:
    """Each model with its checkpoints."""
    for name in store.names(layout.MODELS):
        entries = layout.json_stems(store.names(layout.checkpoint_entries(layout.model(name))))
        steps = [entry[:STEP] for entry in entries]
        yield name, str(len(steps)), max(steps, default="-"), *_finished(store, name)


def _finished(store: Store, model: str) -> tuple[str, str]:
    """Whether a training has ended, and the root where it was."""
    try:
        final = find(store, model)
    except StorageError:
        return "damaged", "-"
    return ("yes", final.origin.get("root", "here")) if final else ("no", "-")


def vectors(store: Store) -> Iterator[tuple[str, ...]]:
    """The newest snapshot of each corpus in each tree of vectors."""
    for tree, corpus, snapshot in newest_snapshots(store, layout.VECTORS):
        yield layout.name_of(tree.prefix), corpus, str(snapshot.number), str(snapshot.n_songs)


def runs(store: Store) -> Iterator[tuple[str, ...]]:
    """How the runs ended; one without a summary was interrupted or is still going."""
    for name in _recorded(store):
        summary = _summary(store, name)
        ended = summary.pop("time", "-")
        words = ", ".join(f"{key} {_short(value)}" for key, value in summary.items())
        yield name, ended, words or "no summary yet"


def watched(store: Store) -> Iterator[tuple[str, str, str]]:
    """Each run, how it ended or how old its log is, and the last line of its log."""
    for name in _recorded(store):
        summary = _summary(store, name)
        last = {} if summary else _last_line(store, name)
        if summary:
            state = f"ended with {summary.get('exit_code')}, {summary.get('time')}"
        elif last:
            age = datetime.now(UTC) - datetime.fromisoformat(last["time"])
            state = f"last words {max(0, int(age.total_seconds()))} s ago"
        else:
            state = "no log yet"
        yield name, state, str(summary.get("error", "-") if summary else last.get("message", "-"))


def watch(store: Store) -> None:
    """Show `watched` again and again: a table that stays in place, in a log the lines that are new."""
    if sys.stdout.isatty():
        with Live(console=_console(), auto_refresh=False) as live:
            while True:
                live.update(_table("watched", with_retries(lambda: [*watched(store)])), refresh=True)
                time.sleep(WATCH_SECONDS)
    told: dict[str, str] = {}
    while True:
        for name, state, words in with_retries(lambda: [*watched(store)]):
            news = state if words == "-" else words
            if told.get(name) != news:
                told[name] = news
                print(f"{name}: {state}: {words}", flush=True)
        time.sleep(WATCH_SECONDS)


def _recorded(store: Store) -> list[str]:
    """Names of runs that have a record; one that was refused has none."""
    return [name for name in store.names(layout.RUNS) if has_record(store, layout.listed(layout.RUNS, name))]


def _summary(store: Store, run: str) -> dict[str, Any]:
    try:
        found = json.loads(read_record(store, layout.listed(layout.RUNS, run), layout.SUMMARY_JSON))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _last_line(store: Store, run: str) -> dict[str, Any]:
    try:
        lines = read_record(store, layout.listed(layout.RUNS, run), layout.LOG_JSONL).splitlines()
        found = json.loads(lines[-1])
        return found if datetime.fromisoformat(found["time"]).tzinfo else {}
    except (FileNotFoundError, ValueError, IndexError, TypeError, KeyError):
        return {}


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:60]


def print_tables(tables: dict[str, Rows], console: Console) -> None:
    """The tables for a person."""
    for kind, rows in tables.items():
        if kind == "quarantined":
            console.print(*(row[0] for row in rows), sep="\n", soft_wrap=True)
        else:
            console.print(_table(kind, rows))


def _table(kind: str, rows: Rows) -> Table:
    table = Table(*HEADS[kind], title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table


def _console() -> Console:
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else LOG_WIDTH)


@cli.command(takes=("root",))
def main(config: Config, is_watched: Watch = False) -> None:
    """What exists under a root: track lists, features, quarantined files, models, vectors, scores, report."""
    tables = run(config)
    if not is_watched:
        print_tables(tables, _console())
        return
    with suppress(KeyboardInterrupt):
        watch(Store(config.root))
