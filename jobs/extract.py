"""`python -m jobs.extract`: frame features of every track in the list, in committed shards.

Run again after anything: only what no commit covers is done.
"""

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import pyarrow as pa
import ray
import typer

from features.errors import REASONS as BAD_TRACK
from features.excerpts import kept_seconds
from features.spec import FeatureSpec, fingerprint
from infra import cli
from infra.cluster import connect, n_cpus
from infra.config import Config, load
from infra.errors import ConfigError, Incomplete, TooManyBadFiles
from infra.isolate import REASONS as CHILD_DIED
from infra.ledger import Commit, Snapshot, Tree, quarantine_table
from infra.packing import Shard
from infra.pool import Pool
from infra.progress import Progress
from infra.runs import RunFolder
from infra.shards import decode
from infra.songs import read_quarantine, read_songs
from infra.storage import Store
from jobs.extract_plan import Contents, Covered, contents, plan, reasons
from jobs.extractor import NOT_READ, Extractor, Tick, child_command
from jobs.specification import specification

EARLY_TRACKS = 500
REASONS = (*BAD_TRACK, *CHILD_DIED, *NOT_READ)  # of a quarantined track
log = logging.getLogger(__name__)

MaxBadFraction = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", help="Share of quarantined tracks above which the job fails. [default: 0.5]"
    ),
]
RetryQuarantined = Annotated[
    list[str] | None,
    typer.Option(metavar="REASON", help=f"Try these tracks again; may be repeated: {', '.join(REASONS)}."),
]


@dataclass(frozen=True)
class ExtractResult:
    """The feature tree (its prefix), the corpus's newest snapshot there, and the shards made by this run."""

    tree: str
    snapshot: Snapshot
    new_shards: int


@dataclass(frozen=True)
class Work:
    """The plan of a run: shards to extract, and commits of planned shards that an earlier run left behind."""

    tree: Tree
    tracks: pa.Table
    covered: Covered
    shards: list[Shard]
    commits: dict[str, Commit]

    @property
    def todo(self) -> list[Shard]:
        return [shard for shard in self.shards if shard.name not in self.commits]


def run(config: Config, command: Sequence[str] | None = None, retry: Collection[str] = ()) -> ExtractResult:
    """Extract what is missing and publish a snapshot.

    `command` replaces the child process, for tests. Tracks quarantined for a reason in `retry` are tried again.
    Raises ConfigError without a track list, TooManyBadFiles, Incomplete, StorageError.
    """
    work = prepare(config, retry)
    with RunFolder(work.tree.store, f"runs/extract-{config.corpus}") as folder:
        folder.begin(config.model_dump(mode="json"))
        started = time.monotonic()
        made = _extract(config, work, command) if work.todo else {}
        result = contents(work.tracks, work.covered, [*work.commits.values(), *made.values()])
        _judge(result.quarantine, work.tracks.num_rows, config.extract.max_bad_fraction)
        snapshot = work.tree.publish(config.corpus, result.shards, result.songs, result.quarantine)
        text = summary_line(snapshot, result)
        log.info("extract: %s", text)
        folder.summary({"new_shards": len(made), "seconds": time.monotonic() - started, "outcome": text})
    return ExtractResult(work.tree.prefix, snapshot, len(made))


def prepare(config: Config, retry: Collection[str] = ()) -> Work:
    """Read the track list and the ledger, and plan. Raises ConfigError for a `retry` that is no quarantine reason."""
    if unknown := set(retry) - set(REASONS):
        raise ConfigError(
            f"--retry-quarantined {min(unknown)!r}: expected a reason out of {', '.join(REASONS)}"
        )
    store, spec = Store(config.root), specification(config.extract)
    tracks = read_tracks(store, config.corpus)
    tree = feature_tree(store, spec)
    snapshot = tree.latest(config.corpus)
    covered = Covered.nothing()
    if snapshot:
        covered = Covered(read_songs(store, snapshot), read_quarantine(store, snapshot), snapshot.shards)
    while True:
        covered = covered.without(retry)
        shards = plan(
            tracks, covered, fingerprint(spec), lambda seconds: feature_bytes(seconds, spec), config.extract
        )
        commits = tree.read_commits(shard.name for shard in shards)
        if not (retry and commits):
            return Work(tree, tracks, covered, shards, commits)
        # A run that stopped before its snapshot has left its bad tracks here alone: they too are tried again.
        known = contents(tracks, covered, commits.values())
        covered = Covered(known.songs, known.quarantine, known.shards)


def feature_tree(store: Store, spec: FeatureSpec) -> Tree:
    """Where the features of a specification lie."""
    return Tree(store, f"features/{fingerprint(spec)}")


def read_tracks(store: Store, corpus: str) -> pa.Table:
    """The track list. Raises ConfigError if there is none."""
    path = f"corpus/{corpus}/tracks.parquet"
    try:
        return decode(store.read(path))
    except FileNotFoundError:
        raise ConfigError(f"{store.uri(path)}: no track list yet, run jobs.index first") from None


def feature_bytes(seconds: float, spec: FeatureSpec) -> float:
    """Feature bytes of a track of this length."""
    return kept_seconds(seconds, spec) * spec.frames_per_second * spec.n_features * spec.dtype.itemsize


def describe(work: Work) -> str:
    """The plan in one line."""
    todo = work.todo
    n_tracks, n_bytes = sum(len(shard.tracks) for shard in todo), sum(shard.feature_bytes for shard in todo)
    audio = sum(track.bytes for shard in todo for track in shard.tracks)
    return (
        f"{n_tracks} of {work.tracks.num_rows} tracks ({audio / 1e9:.3g} GB of audio) in {len(todo)} shards, "
        f"about {n_bytes / 1e9:.3g} GB of features, into {work.tree.store.uri(work.tree.prefix)}"
    )


def summary_line(snapshot: Snapshot, result: Contents) -> str:
    """The outcome in one line."""
    bad = ", ".join(f"{reason} {count}" for reason, count in reasons(result.quarantine).most_common())
    return (
        f"{snapshot.n_songs} songs, {snapshot.n_frames} frames, {snapshot.n_quarantined} quarantined"
        + (f" ({bad})" if bad else "")
        + f", snapshot {snapshot.number}"
    )


def _extract(config: Config, work: Work, command: Sequence[str] | None) -> dict[str, Commit]:
    log.info("extract: %s", describe(work))
    todo = work.todo
    with connect(config.ray):
        spec = specification(config.extract)
        work.tree.write_spec(spec.to_json())
        pool = _pool(config, work.tree, command or child_command(spec))
        commits = _collect(config, work, pool.run(todo))
    if len(commits) < len(todo):
        raise Incomplete(f"{len(todo) - len(commits)} of {len(todo)} shards are missing; run again")
    return commits


def _pool(config: Config, tree: Tree, command: Sequence[str]) -> Pool[Shard]:
    extract, spec = config.extract, specification(config.extract)
    actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Extractor)

    def make(slot: int) -> Any:
        seconds, group_bytes = extract.track_seconds, extract.row_group_bytes
        return actor.remote(tree.store.root, tree.prefix, spec, command, slot, seconds, group_bytes)

    def call(worker: Any, shard: Shard) -> Any:
        return worker.extract_shard.options(num_returns="streaming").remote(shard)

    return Pool(make, call, extract.workers or n_cpus())


def _collect(config: Config, work: Work, items: Iterable[tuple[Shard, Tick | Commit]]) -> dict[str, Commit]:
    """Keep count of what the workers report; stop when it is clear that too many tracks are bad."""
    commits: dict[str, Commit] = {}
    ticks: dict[str, Tick] = {}
    known_bad = contents(work.tracks, work.covered, work.commits.values()).quarantine.num_rows
    with Progress(sum(len(shard.tracks) for shard in work.todo), "tracks", "extract") as progress:
        for shard, item in items:
            if isinstance(item, Commit):
                commits[shard.name] = item
                _stop_early(work, known_bad, commits, config.extract.max_bad_fraction)
            else:
                ticks[shard.name] = item
                _show(progress, sum(ticks.values(), Tick()))
    return commits


def _show(progress: Progress, total: Tick) -> None:
    audio_hours, megabytes = total.audio_seconds / 3600, total.audio_bytes / 1e6
    progress.advance(
        total.tracks - progress.done, hours=audio_hours, MB=megabytes, quarantined=total.quarantined
    )


def _stop_early(work: Work, known_bad: int, commits: Mapping[str, Commit], max_bad_fraction: float) -> None:
    """Raise TooManyBadFiles once it is certain for the corpus, or plain from the first tracks of this run."""
    done = sum(commit.inputs for commit in commits.values())
    bad = sum(len(commit.quarantined) for commit in commits.values())
    n_tracks = work.tracks.num_rows
    if known_bad + bad > max_bad_fraction * n_tracks:
        result = contents(work.tracks, work.covered, [*work.commits.values(), *commits.values()])
        raise TooManyBadFiles(complaint(result.quarantine, n_tracks, max_bad_fraction))
    if done >= EARLY_TRACKS and bad > max_bad_fraction * done:
        raise TooManyBadFiles(complaint(quarantine_table(commits.values()), done, max_bad_fraction))


def _judge(quarantine: pa.Table, n_tracks: int, max_bad_fraction: float) -> None:
    if quarantine.num_rows == n_tracks or quarantine.num_rows > max_bad_fraction * n_tracks:
        raise TooManyBadFiles(complaint(quarantine, n_tracks, max_bad_fraction))


def complaint(quarantine: pa.Table, n_tracks: int, max_bad_fraction: float) -> str:
    """Why the job stops, with the most frequent reason and one example."""
    (reason, count), *_ = reasons(quarantine).most_common(1)
    example = next(row for row in quarantine.to_pylist() if row["reason"] == reason)
    return (
        f"{quarantine.num_rows} of {n_tracks} tracks are unusable, extract.max_bad_fraction is {max_bad_fraction:g}; "
        f"most often {reason} ({count}), for one {example['track_id']!r}: {example['message']}"
    )


def main(
    config_file: cli.ConfigFile = None,
    overrides: cli.Set = None,
    root: cli.Root = None,
    corpus: cli.Corpus = None,
    max_bad_fraction: MaxBadFraction = None,
    retry_quarantined: RetryQuarantined = None,
    dry_run: cli.DryRun = False,
) -> None:
    """Audio to frame features. Does what is missing; run again to continue."""
    limit = [] if max_bad_fraction is None else [f"extract.max_bad_fraction={max_bad_fraction}"]
    config = load(config_file, (*(overrides or ()), *limit), root=root, corpus=corpus)
    Store(config.root).check()
    retry = retry_quarantined or ()
    if dry_run:
        print(describe(prepare(config, retry)))
    else:
        run(config, retry=retry)


if __name__ == "__main__":
    cli.run(main, "extract", "ray")
