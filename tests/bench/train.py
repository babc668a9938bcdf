"""`python -m tests.bench.train`: whether training ever waits, and what it holds in memory, as one JSON line.

Feature tables are generated as real shards: of songs of about 1,000 frames (`--long`), for the share of its time that
the trainer waits for data and its frames/s as a share of the bare engine's (`hdpgmm.training_step.learn` on the same
batches in memory, from the same state, threads alike); the same table in S3 through moto, on the same cores; and of
`--songs` short songs, for memory. `rss_mb` is the most resident memory of each process, `store_mb` the most that one
has mapped of Ray's object store, which they share. `start_seconds` is from the command to the first step done of a
training on a snapshot of `--ledger` songs whose moments are known (shards are links to one), without `ray_seconds`,
Ray's own.

    python -m tests.bench.train --long 128 --songs 500 2000 --ledger 10000 --components 16      # about two minutes
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from threadpoolctl import threadpool_limits

from features.spec import DEFAULT_PRESET, PRESETS, fingerprint
from hdpgmm import training_step
from hdpgmm.data.whitening import moments
from hdpgmm.ragged import Ragged, offsets_of
from hdpgmm.serialization import from_arrays
from infra.config import Config, load
from infra.root import models
from infra.root.lease import Lease
from infra.root.ledger import Tree
from infra.root.records import Commit, Snapshot, quarantine_table, songs_table
from infra.root.runs import events_of
from infra.root.schemas import SONGS
from infra.root.songs import read_block, read_columns
from infra.storage.store import Store
from infra.workers.cluster import connect
from jobs.extract.packing import row_groups
from jobs.train.events import Stepped
from jobs.train.feed.plan import COLUMNS, Plan
from jobs.train.feed.worker import WINDOW_BYTES, DataWorker
from jobs.train.job import training_snapshot
from jobs.train.provenance import Assignment, describe
from jobs.train.rank_group import PASSIVE_WAIT, RankGroup
from jobs.train.survey import SnapshotSurvey
from jobs.train.trainer import settings

_DIM, _CENTRES, _ROW_GROUP_BYTES, _SHARD_SONGS = 52, 64, 8 << 20, 512
_LONG_FRAMES, _SHORT_FRAMES = (800, 1200), (20, 40)
_SAMPLE_SECONDS = 0.2
_ENGINE_FRAMES = 1_000_000


@dataclass
class Watched:
    """The most MB that processes of each kind held: resident, and of the shared object store."""

    rss_mb: dict[str, float] = field(default_factory=dict)
    store_mb: float = 0.0


@dataclass(frozen=True)
class Trained:
    """A finished training: its epochs' records, frames of one epoch, what was watched."""

    epochs: list[dict[str, Any]]
    frames: int
    watched: Watched

    @property
    def frames_per_second(self) -> float:
        return len(self.epochs) * self.frames / sum(row["seconds"] for row in self.epochs)

    @property
    def wait_share(self) -> float:
        seconds = [row["seconds"] for row in self.epochs]
        return float(np.average([row["wait_share"] for row in self.epochs], weights=seconds))

    @property
    def max_bytes_ahead(self) -> int:
        return max(row["max_bytes_ahead"] for row in self.epochs)


def main() -> None:
    """Generate, measure, print."""
    options = _arguments()
    if options.side:
        print(json.dumps({"start": start, "engine": engine}[options.side](_config(options, options.folder))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        result = speed(options, folder / "long")
        if not options.no_s3:
            result |= s3(options, folder / "long")
        result |= memory(options, folder)
        result |= start_up(options, folder / "ledger")
    print(json.dumps(_rounded(result)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.train", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", help="where tables are generated, or found; default: a temporary one")
    parser.add_argument("--long", type=int, default=1024, help="songs of about 1,000 frames")
    parser.add_argument("--songs", type=int, nargs="+", default=[2000, 200_000], help="short songs")
    parser.add_argument("--ledger", type=int, default=1_000_000, help="songs of the start-up's snapshot")
    parser.add_argument("--components", type=int, default=256)
    parser.add_argument("--batch-songs", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--ahead-bytes", type=int, default=2 << 30)
    parser.add_argument("--no-s3", action="store_true")
    parser.add_argument("--side", choices=["start", "engine"], help=argparse.SUPPRESS)
    return parser.parse_args()


def _settings(options: argparse.Namespace) -> tuple[str, ...]:
    """No moves and no early end: every epoch is the same work."""
    chosen = (f"train.{name}={getattr(options, name)}" for name in ("batch_songs", "epochs", "ahead_bytes"))
    fixed = ("moves=false", "early_stopping=false", f"n_components={options.components}")
    return *chosen, *(f"train.{setting}" for setting in fixed)


def _config(options: argparse.Namespace, root: str) -> Config:
    return load(None, _settings(options), root=root)


def speed(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Waiting and frames/s on songs of about 1,000 frames, against the bare engine."""
    write_songs(root, options.long, _LONG_FRAMES)
    trained = train(options, str(root))
    bare = _side(options, "engine", str(root))["frames_per_second"]
    return {
        "cores": os.cpu_count(),
        "wait_share": trained.wait_share,
        "max_bytes_ahead": trained.max_bytes_ahead,
        "frames_per_second": trained.frames_per_second,
        "engine_frames_per_second": bare,
        "share_of_engine_speed": trained.frames_per_second / bare,
    }


def s3(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Waiting with the same table behind moto's S3."""
    with _moto() as bucket:
        store = Store(f"s3://{bucket}/long")
        for path in sorted(root.glob("features/**/*")):
            if path.is_file() and "moments" not in path.parts:
                store.write(str(path.relative_to(root)), path.read_bytes())
        return {"s3_wait_share": train(options, store.root).wait_share}


def memory(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Resident memory of each process for each number of short songs."""
    result: dict[str, Any] = {"rss_mb": {}, "store_mb": {}, "short_wait_share": {}}
    for n_songs in options.songs:
        root = folder / f"short-{n_songs}"
        write_songs(root, n_songs, _SHORT_FRAMES)
        trained = train(options, str(root))
        result["rss_mb"][n_songs] = trained.watched.rss_mb
        result["store_mb"][n_songs] = trained.watched.store_mb
        result["short_wait_share"][n_songs] = trained.wait_share
    return result


def start_up(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Seconds to the first step, and memory, on a generated ledger of many songs."""
    write_ledger(root, options.ledger, _config(options, str(root)))
    watched = Watched()
    with _watching(watched):
        found = _side(options, "start", str(root))
    return {**found, "start_rss_mb": watched.rss_mb}


def write_songs(root: Path, n_songs: int, frames: tuple[int, int]) -> Snapshot:
    """Songs of clustered frames in shards as extraction makes them; found again if they are there."""
    tree = Tree(Store(str(root)), f"features/{fingerprint(PRESETS[DEFAULT_PRESET])}")
    found = tree.latest("default")
    if found is not None:
        return found
    tree.write_spec(PRESETS[DEFAULT_PRESET].to_json())
    commits = [
        _shard(tree, number, first, min(_SHARD_SONGS, n_songs - first), frames)
        for number, first in enumerate(range(0, n_songs, _SHARD_SONGS))
    ]
    references = [commit.reference() for commit in commits]
    return tree.publish("default", references, songs_table(commits).sort_by("track_id"), quarantine_table([]))


def _shard(tree: Tree, number: int, first: int, n_songs: int, frames: tuple[int, int]) -> Commit:
    centres = 3.0 * np.random.default_rng(0).normal(size=(_CENTRES, _DIM)).astype(np.float32)
    rng = np.random.default_rng([1, number])
    lengths = rng.integers(*frames, n_songs)
    used = rng.integers(0, _CENTRES, (n_songs, 8))[np.repeat(np.arange(n_songs), lengths)]
    chosen = centres[used[np.arange(len(used)), rng.integers(0, 8, len(used))]]
    values = chosen + rng.standard_normal((len(used), _DIM), dtype=np.float32)
    listed = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), _DIM)
    offsets = pa.array(offsets_of(lengths), pa.int32())
    columns = {
        "track_id": [f"{song:08}" for song in range(first, first + n_songs)],
        "version": ["1"] * n_songs,
        "n_frames": pa.array(lengths, pa.int32()),
        "frames": pa.ListArray.from_arrays(offsets, listed),
    }
    sizes = row_groups((4 * _DIM * lengths).tolist(), _ROW_GROUP_BYTES)
    return tree.commit(f"shard-{number:06}", pa.table(columns), [], n_songs, sizes)


def write_ledger(root: Path, n_songs: int, config: Config) -> None:
    """A snapshot of many songs whose shards are links to one file, and moments as a first training left them."""
    tree = Tree(Store(str(root)), f"features/{fingerprint(PRESETS[DEFAULT_PRESET])}")
    if tree.latest("default") is None:
        tree.write_spec(PRESETS[DEFAULT_PRESET].to_json())
        one = _shard(tree, 0, 0, _SHARD_SONGS, _LONG_FRAMES)
        paths = [_linked(root, one.path, number) for number in range(-(-n_songs // _SHARD_SONGS))]
        places = songs_table([one]).to_pylist()
        rows = [
            {**places[song % _SHARD_SONGS], "track_id": f"{song:08}", "path": paths[song // _SHARD_SONGS]}
            for song in range(n_songs)
        ]
        references = [replace(one.reference(), shard=Path(path).parent.name, path=path) for path in paths]
        tree.publish("default", references, pa.Table.from_pylist(rows, schema=SONGS), quarantine_table([]))
    snapshot, _ = training_snapshot(config, tree.store)
    plan = _plan(config, tree.store, snapshot)
    block = read_block(tree.store, str(plan.paths[0]), 0)
    SnapshotSurvey(tree.store, snapshot.songs, plan)._keep(moments(block.values))


def _linked(root: Path, path: str, number: int) -> str:
    linked = path.replace("shard-000000", f"shard-{number:06}")
    (root / linked).parent.mkdir(parents=True, exist_ok=True)
    if not (root / linked).exists():
        os.link(root / path, root / linked)
    return linked


def _plan(config: Config, store: Store, snapshot: Snapshot) -> Plan:
    songs, train = read_columns(store, snapshot.songs, COLUMNS), config.train
    return Plan(songs, train.heldout_fraction, train.heldout_songs, train.seed)


def train(options: argparse.Namespace, root: str) -> Trained:
    """`python -m jobs.train` in a process of its own, from nothing."""
    sets = [argument for setting in _settings(options) for argument in ("--set", setting)]
    command = [sys.executable, "-m", "jobs.train", "--root", root, *sets]
    store, watched = Store(root), Watched()
    for left in ("models", "runs"):
        shutil.rmtree(Path(root) / left, ignore_errors=True)
    with _watching(watched):
        subprocess.run(command, check=True, stdout=sys.stderr)
    (run,) = store.names("runs")
    told = events_of(store, f"runs/{run}")
    epochs = [event for event in told if event["kind"] == "epoch"]
    frames = next(event["training_frames"] for event in told if event["kind"] == "start")
    return Trained(epochs, frames, watched)


def engine(config: Config) -> dict[str, Any]:
    """Frames/s of `learn` alone on batches of the last epoch, from the trained state."""
    store = Store(config.root)
    state, whitening = from_arrays(models.read_arrays(store, models.choose(store, None)))
    plan = _plan(config, store, training_snapshot(config, store)[0])
    assert config.train.batch_songs is not None
    steps = max(1, _ENGINE_FRAMES * plan.n_songs // (plan.n_frames * config.train.batch_songs))
    window_frames = WINDOW_BYTES // (4 * _DIM)
    turns = plan.epoch(config.train.epochs - 1, config.train.batch_songs, window_frames)
    worker = DataWorker(config.root)
    packed = [worker.batch(plan.paths, batch.places, whitening) for batch in islice(turns, steps)]
    threadpool_limits(config.train.threads)
    torch.set_num_threads(config.train.threads)
    batches = [Ragged(torch.from_numpy(songs.values), torch.from_numpy(songs.offsets)) for songs in packed]
    state, _ = training_step.learn(state, batches[0], plan.n_songs, settings(config.train))
    started = time.perf_counter()
    for songs in batches:
        state, _ = training_step.learn(state, songs, plan.n_songs, settings(config.train))
    seconds = time.perf_counter() - started
    return {"frames_per_second": sum(len(songs.values) for songs in batches) / seconds}


def start(config: Config) -> dict[str, Any]:
    """Seconds of this process until the first step is done, without Ray's own start."""
    store = Store(config.root)
    before = time.perf_counter()
    with connect(config.ray):
        ray_seconds = time.perf_counter() - before
        snapshot, fingerprint = training_snapshot(config, store)
        provenance = describe(config.train, snapshot, fingerprint)
        assignment = Assignment(store.root, "models/start", snapshot.songs, "", provenance, config.train)
        seen: dict[str, float] = {}
        lease = Lease(store, "runs/train-start/lease", "a training that is timed")
        with lease, RankGroup(assignment) as group:
            for event in group.train(lease.hand_over()):
                seen[f"{event.kind}_seconds"] = _process_seconds() - ray_seconds
                if isinstance(event, Stepped):
                    break
    return {"ray_seconds": ray_seconds, "start_seconds": seen["step_seconds"], "start_parts": seen}


def _process_seconds() -> float:
    """Since this process began."""
    began = int(Path("/proc/self/stat").read_text().rsplit(") ", 1)[1].split()[19])
    return float(Path("/proc/uptime").read_text().split()[0]) - began / os.sysconf("SC_CLK_TCK")


def _side(options: argparse.Namespace, what: str, root: str) -> dict[str, Any]:
    """What this program prints in a process of its own, whose threads wait as the trainer's do."""
    names = ("components", "batch_songs", "epochs", "ahead_bytes")
    given = [f"--{name.replace('_', '-')}={getattr(options, name)}" for name in names]
    command = [sys.executable, "-m", "tests.bench.train", "--side", what, "--folder", root, *given]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, **PASSIVE_WAIT})
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def _watching(watched: Watched) -> Iterator[None]:
    """Look at the processes below this one until the block ends."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            _note(watched)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _note(watched: Watched) -> None:
    for pid in _below(os.getpid()):
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
        kind = _kind(title, pid)
        if kind is not None and "VmRSS" in kilobytes:
            shared = kilobytes["RssShmem"] / 1024
            private = kilobytes["VmRSS"] / 1024 - shared
            watched.rss_mb[kind] = max(watched.rss_mb.get(kind, 0.0), private)
            watched.store_mb = max(watched.store_mb, shared)


def _kind(title: str, pid: int) -> str | None:
    if title.startswith("ray::Rank"):
        return "trainer"
    if title.startswith("ray::DataWorker"):
        return f"data_worker_{pid}"
    return "driver" if "jobs.train" in title or "--side start" in title else None


def _below(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return [*found, *(below for child in found for below in _below(child))]


@contextmanager
def _moto() -> Iterator[str]:
    """An S3 server of its own process; a bucket in it, for this process and those it starts."""
    script = (
        "from moto.server import ThreadedMotoServer\n"
        "server = ThreadedMotoServer('127.0.0.1', 0, verbose=False); server.start()\n"
        "print(server.get_host_and_port()[1], flush=True); input()"
    )
    pipes: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.DEVNULL,
    }
    with subprocess.Popen([sys.executable, "-c", script], text=True, **pipes) as server:
        assert server.stdout
        address = f"http://127.0.0.1:{int(server.stdout.readline())}"
        os.environ.update(AWS_ENDPOINT_URL=address, AWS_DEFAULT_REGION="us-east-1")
        os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench")
        from infra.storage.s3 import connect as connect_s3

        connect_s3().call_s3("create_bucket", Bucket="bench")
        try:
            yield "bench"
        finally:
            server.kill()


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
