"""The plan of an extraction: what the track list and the ledger leave to do, and how long that may take."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from features.audio.excerpts import kept_seconds
from features.errors import REASONS as BAD_TRACK
from features.spec import FeatureSpec, fingerprint
from infra.config import Config
from infra.errors import ConfigError
from infra.root import layout
from infra.root.ledger import Tree
from infra.root.records import Commit
from infra.root.runs import RunFolder
from infra.root.schemas import TRACKS
from infra.root.songs import read_quarantine, read_songs, stored_table
from infra.root.taken import unused
from infra.storage.store import Store
from infra.workers.isolate import REASONS as CHILD_DIED
from jobs.extract.own_frames import with_places
from jobs.extract.packing import DEFAULT_RATE, Shard, estimated_seconds
from jobs.extract.plan import Covered, contents, plan
from jobs.extract.specification import specification
from jobs.extract.worker import NOT_READ

REASONS = (*BAD_TRACK, *CHILD_DIED, *NOT_READ)  # of a quarantined track
# Seconds of audio a worker does in one, for a first run: half of what mp3 took on 2 cores.
FIRST_SPEED = 400.0
LEAST_AUDIO_SECONDS = 600.0  # that a speed is taken from
SPEED = "speed"  # kind of the event that keeps it


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


def prepare(config: Config, retry: Collection[str] = ()) -> Work:
    """Read the track list and the ledger, and plan. Raises ConfigError for a `retry` that is no quarantine reason."""
    require_reasons(retry)
    store, spec = Store(config.root), specification(config.extract)
    tracks = read_tracks(store, config.corpus)
    if spec.frames:
        tracks = with_places(tracks, config.extract.frames)
    tree = feature_tree(store, spec)
    snapshot = tree.latest(config.corpus)
    gone = tree.taken(snapshot)
    covered = Covered.nothing()
    if snapshot:
        covered = Covered(read_songs(store, snapshot), read_quarantine(store, snapshot), snapshot.shards)
    while True:
        covered = covered.without(retry)
        shards = plan(tracks, covered, fingerprint(spec), feature_bytes(spec), config.extract)
        shards = [shard._replace(name=unused(shard.name, gone)) for shard in shards]
        commits = tree.read_commits(shard.name for shard in shards)
        if not (retry and commits):
            return Work(tree, tracks, covered, shards, commits)
        # A run that stopped before its snapshot has left its bad tracks here alone: they too are tried again.
        known = contents(tracks, covered, commits.values())
        covered = replace(covered, songs=known.songs, quarantine=known.quarantine, shards=known.shards)


def feature_tree(store: Store, spec: FeatureSpec) -> Tree:
    """Where the features of a specification lie."""
    return Tree(store, layout.features(fingerprint(spec)))


def require_reasons(retry: Collection[str]) -> None:
    """Raises ConfigError for what is no quarantine reason."""
    if unknown := set(retry) - set(REASONS):
        raise ConfigError(
            f"--retry-quarantined {min(unknown)!r}: expected a reason out of {', '.join(REASONS)}"
        )


def require_tracks(store: Store, corpus: str) -> str:
    """Where the track list is. Raises ConfigError if there is none."""
    path = layout.tracks(corpus)
    if not store.exists(path):
        raise ConfigError(f"{store.uri(path)}: no track list yet, run jobs.index first")
    return path


def read_tracks(store: Store, corpus: str) -> pa.Table:
    """The track list. Raises ConfigError if there is none."""
    return stored_table(store, require_tracks(store, corpus), TRACKS)


def feature_bytes(spec: FeatureSpec) -> Callable[[float], float]:
    """Feature bytes of a track by its seconds."""
    if spec.frames:  # their files' bytes say it, see `Track`
        return lambda seconds: seconds * DEFAULT_RATE
    bytes_per_second = spec.frames_per_second * spec.n_features * spec.dtype.itemsize
    return lambda seconds: kept_seconds(seconds, spec) * bytes_per_second


def describe(work: Work) -> str:
    """The plan in one line."""
    todo = work.todo
    n_tracks, n_bytes = sum(len(shard.tracks) for shard in todo), sum(shard.feature_bytes for shard in todo)
    audio = sum(track.bytes for shard in todo for track in shard.tracks)
    return (
        f"{n_tracks} of {work.tracks.num_rows} tracks ({audio / 1e9:.3g} GB of audio) in {len(todo)} shards, "
        f"about {n_bytes / 1e9:.3g} GB of features, into {work.tree.store.uri(work.tree.prefix)}"
    )


def remember_speed(work: Work, folder: RunFolder, workers: int, seconds: float) -> None:
    """Keep how fast a run was that is done, for the estimate of the next; of a short one it says little."""
    if _audio_seconds(work) < LEAST_AUDIO_SECONDS:
        return
    folder.event(
        SPEED, workers=workers, seconds=seconds, audio_seconds=_audio_seconds(work), tree=work.tree.prefix
    )


def expected_time(work: Work, events: Sequence[Mapping[str, Any]], workers: int | None) -> str:
    """How long the plan will take, by the speed of the last run into the same tree; `events` of earlier runs."""
    runs = [event for event in events if event["kind"] == SPEED and event["tree"] == work.tree.prefix]
    speed, source = FIRST_SPEED, "a guess before the first run"
    if runs:
        last = runs[-1]
        speed = last["audio_seconds"] / max(last["seconds"] * last["workers"], 1e-9)
        source = f"the last run: {speed:.3g} s of audio a second and worker"
    hours = _audio_seconds(work) / speed / 3600
    if workers is None:
        return f"about {hours:.3g} hours of one worker ({source})"
    return f"about {_clock(3600 * hours / workers)} with {workers} workers ({source})"


def likely_workers(config: Config) -> int | None:
    """Workers that a run would have; None where only a cluster knows."""
    if config.extract.workers or not os.environ.get("RAY_ADDRESS"):
        return config.extract.workers or config.ray.num_cpus or os.cpu_count() or 1
    return None


def _audio_seconds(work: Work) -> float:
    return sum(estimated_seconds(track) for shard in work.todo for track in shard.tracks)


def _clock(seconds: float) -> str:
    """Hours, minutes, seconds."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
