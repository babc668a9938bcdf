"""`python -m jobs.extract`: frame features of every track in the list, in committed shards.

Run again after anything: only what no commit covers is done.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray

from infra.config import Config
from infra.errors import Incomplete, TooManyBadFiles
from infra.progress import Progress
from infra.root import layout
from infra.root.lease import holding
from infra.root.ledger import Tree
from infra.root.records import Commit, Snapshot
from infra.root.runs import RunFolder, events_of
from infra.root.schemas import MESSAGE, REASON, TRACK_ID
from infra.storage.store import Store
from infra.workers.cluster import connect, n_cpus, n_gpus, patience_seconds, wants_gpu
from infra.workers.isolate import START_SECONDS
from infra.workers.pool import Pool
from infra.workers.pool_metrics import WorkMetrics
from jobs.extract.packing import Shard
from jobs.extract.plan import Contents, contents, reasons
from jobs.extract.specification import specification
from jobs.extract.work import (
    Work,
    describe,
    expected_time,
    likely_workers,
    prepare,
    remember_speed,
    require_reasons,
    require_tracks,
)
from jobs.extract.worker import Extractor, Tick, child_command

EARLY_TRACKS = 500
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtractResult:
    """The feature tree (its prefix), the corpus's newest snapshot there, and the shards made by this run."""

    tree: str
    snapshot: Snapshot
    new_shards: int


def run(config: Config, command: Sequence[str] | None = None, retry: Collection[str] = ()) -> ExtractResult:
    """Extract what is missing and publish a snapshot.

    `command` replaces the child process, for tests. Tracks quarantined for a reason in `retry` are tried again.
    Raises ConfigError without a track list, TooManyBadFiles, Incomplete (also while another extraction of the corpus is
    under way), StorageError.
    """
    store = Store(config.root)
    require_tracks(store, config.corpus)
    require_reasons(retry)
    with RunFolder(
        store, layout.run("extract", config.corpus), f"the extraction of corpus {config.corpus}"
    ) as folder:
        work = prepare(config, retry)
        folder.begin(config.model_dump(mode="json"))
        work.tree.renew(work.commits)
        started = time.monotonic()
        made, done = _extract(config, work, command, folder) if work.todo else ({}, Tick())
        result = contents(work.tracks, work.covered, [*work.commits.values(), *made.values()])
        _judge(result.quarantine, work.tracks.num_rows, config.extract.max_bad_fraction)
        tables = (result.songs, result.quarantine)
        snapshot = work.tree.publish(config.corpus, result.shards, *tables, fence=folder.lease.fence)
        text = summary_line(snapshot, result)
        log.info("extract: %s", text)
        if said := decoding_line(done):
            log.info("extract: %s", said)
        seconds = time.monotonic() - started
        counts = {"second_decoder": done.fallbacks, "incomplete": done.incomplete}
        folder.summary({"new_shards": len(made), "seconds": seconds, **counts, "outcome": text})
    return ExtractResult(work.tree.prefix, snapshot, len(made))


def summary_line(snapshot: Snapshot, result: Contents) -> str:
    """The outcome in one line."""
    bad = ", ".join(f"{reason} {count}" for reason, count in reasons(result.quarantine).most_common())
    return (
        f"{snapshot.n_songs} songs, {snapshot.n_frames} frames, {snapshot.n_quarantined} quarantined"
        + (f" ({bad})" if bad else "")
        + f", snapshot {snapshot.number}"
    )


def decoding_line(done: Tick) -> str:
    """What was out of the ordinary in the tracks that were read, in one line; nothing where nothing was."""
    parts = []
    if done.fallbacks:
        parts.append(f"{done.fallbacks} read by the second decoder (column fallback says why)")
    if done.incomplete:
        parts.append(f"{done.incomplete} lack less than a packet (column missing_seconds)")
    return "; ".join(parts)


def _extract(
    config: Config, work: Work, command: Sequence[str] | None, folder: RunFolder
) -> tuple[dict[str, Commit], Tick]:
    todo = work.todo
    with connect(config.ray):
        gpus = _gpus(config)
        spec = specification(config.extract, "cuda" if gpus else "cpu")
        workers = config.extract.workers or (max(1, int(n_gpus() / gpus)) if gpus else n_cpus())
        log.info("extract: %s; %s", describe(work), expected_time(work, folder.events(), workers))
        work.tree.write_spec(spec.to_json())
        pool = _pool(config, work.tree, command or child_command(spec), workers, gpus)
        started = time.monotonic()
        with closing(pool.run(todo)) as items:
            heard = holding(folder.lease, items)
            commits, done = _collect(config, work, heard, WorkMetrics("extract", config.corpus, pool))
        remember_speed(work, folder, min(workers, len(todo)), time.monotonic() - started)
    if len(commits) < len(todo):
        raise Incomplete(f"{len(todo) - len(commits)} of {len(todo)} shards are missing; run again")
    return commits, done


def _gpus(config: Config) -> float:
    """GPUs of an extraction actor: none without a network. Raises ConfigError where Ray has none and some are asked."""
    asked = config.extract.network.gpus
    if not config.extract.network.path or asked == 0:
        return 0.0
    device = "auto" if asked is None else "cuda"
    return (
        (asked or 1.0)
        if wants_gpu(device, "extract.network.gpus", patience_seconds(config.ray) > 0.0)
        else 0.0
    )


def _pool(config: Config, tree: Tree, command: Sequence[str], workers: int, gpus: float) -> Pool[Shard]:
    extract, spec = config.extract, specification(config.extract)
    # Over all nodes: on the one whose child does not start the next actor should not be tried again.
    options: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
    actor = ray.remote(num_cpus=1, num_gpus=gpus, **options)(Extractor)

    def make(slot: int) -> Any:
        seconds, group_bytes = extract.track_seconds, extract.row_group_bytes
        return actor.remote(tree.store.root, tree.prefix, spec, command, slot, seconds, group_bytes)

    def call(worker: Any, shard: Shard) -> Any:
        return worker.extract_shard.options(num_returns="streaming").remote(shard)

    # A track is tried twice, each time after the start of a child, and children that do not live to be asked are
    # followed by others for START_SECONDS; nothing is said until it is done.
    longest = 3 * (extract.track_seconds + START_SECONDS) + 300.0
    silence = max(extract.worker_seconds, longest)
    return Pool(
        make, call, workers, silence_seconds=silence, start_seconds=patience_seconds(config.ray) or math.inf
    )


def _collect(
    config: Config, work: Work, items: Iterable[tuple[Shard, Tick | Commit]], metrics: WorkMetrics
) -> tuple[dict[str, Commit], Tick]:
    """Keep count of what the workers report; stop when it is clear that too many tracks are bad."""
    commits: dict[str, Commit] = {}
    ticks: dict[str, Tick] = {}
    total = Tick()
    known = contents(work.tracks, work.covered, work.commits.values())
    done, bad = known.songs.num_rows + known.quarantine.num_rows, known.quarantine.num_rows
    with Progress(sum(len(shard.tracks) for shard in work.todo), "tracks", "extract") as progress:
        for shard, item in items:
            if isinstance(item, Commit):
                commits[shard.name] = item
                done, bad = done + item.inputs, bad + len(item.quarantined)
                metrics.quarantined(Counter(record[REASON] for record in item.quarantined))
                _stop_early(work, done, bad, commits, config.extract.max_bad_fraction)
            else:
                total += item - ticks.get(shard.name, Tick())
                ticks[shard.name] = item
                _show(progress, total)
                metrics.tell(
                    tracks_total=total.tracks,
                    audio_bytes_total=total.audio_bytes,
                    audio_seconds_total=total.audio_seconds,
                    second_decoder_total=total.fallbacks,
                    incomplete_total=total.incomplete,
                )
    return commits, total


def _show(progress: Progress, total: Tick) -> None:
    hours = total.audio_seconds / 3600
    progress.advance(
        total.tracks - progress.done,
        **{"audio hours": hours, "hours/s": hours / progress.elapsed, "MB": total.audio_bytes / 1e6},
        quarantined=total.quarantined,
    )


def _stop_early(
    work: Work, done: int, bad: int, commits: Mapping[str, Commit], max_bad_fraction: float
) -> None:
    """Raise TooManyBadFiles once it is certain for the corpus, or plain from its first tracks.

    `done` and `bad` are tracks of the corpus so far, those of earlier runs included.
    """
    n_tracks = work.tracks.num_rows
    is_certain = bad > max_bad_fraction * n_tracks
    if is_certain or (done >= EARLY_TRACKS and bad > max_bad_fraction * done):
        result = contents(work.tracks, work.covered, [*work.commits.values(), *commits.values()])
        raise TooManyBadFiles(
            complaint(result.quarantine, n_tracks if is_certain else done, max_bad_fraction)
        )


def _judge(quarantine: pa.Table, n_tracks: int, max_bad_fraction: float) -> None:
    if quarantine.num_rows == n_tracks or quarantine.num_rows > max_bad_fraction * n_tracks:
        raise TooManyBadFiles(complaint(quarantine, n_tracks, max_bad_fraction))


def complaint(quarantine: pa.Table, n_tracks: int, max_bad_fraction: float) -> str:
    """Why the job stops, with the most frequent reason and one example."""
    (reason, count), *_ = reasons(quarantine).most_common(1)
    example = next(row for row in quarantine.to_pylist() if row[REASON] == reason)
    return (
        f"{quarantine.num_rows} of {n_tracks} tracks are unusable, extract.max_bad_fraction is {max_bad_fraction:g}; "
        f"most often {reason} ({count}), for one {example[TRACK_ID]!r}: {example[MESSAGE]}"
    )


def plan_text(config: Config, retry: Collection[str] = ()) -> str:
    """What --dry-run prints."""
    work = prepare(config, retry)
    before = events_of(work.tree.store, layout.run("extract", config.corpus))
    return f"{describe(work)}; {expected_time(work, before, likely_workers(config))}"
