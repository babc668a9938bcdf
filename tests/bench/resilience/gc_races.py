"""`tests.bench.resilience.gc_races --moments 200`: does gc take what counts from under a pipeline? As JSON.

A process changes a corpus without end: tracks vanish, come back and change; `jobs.extract`, `jobs.represent` and
`jobs.compact` follow, each run given again while it ends with 4 or 5, and now and then there is another model. All of
it is what these jobs do, but that shards are computed in the process itself, without Ray, and frames are made up.
Beside it gc deletes at random moments with ages and waits of nothing to seconds, sometimes two at once, at every second
moment while the process is frozen, which goes on later. A part of the moments is in a root in S3 (moto).

After each moment, the process frozen, all that the newest snapshots name is hashed. `missing`: what they or commits
that count name and what is not there, whatever `jobs.audit` says when the process has ended, and songs whose frames are
not theirs; `deleted`: objects that gc deleted; `told`: runs that ended with 4 or 5, and began anew.
"""

import argparse
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from moto.server import ThreadedMotoServer

from hdpgmm.data.whitening import moments, whitening
from hdpgmm.ragged import offsets_of
from hdpgmm.serialization import to_arrays
from hdpgmm.training_step import Settings, start
from infra.config import Config, load
from infra.errors import ConfigError, Incomplete, StorageError
from infra.progress import console
from infra.root import layout, models
from infra.root.checkpoints import Checkpoints
from infra.root.ledger import Tree
from infra.root.records import Commit
from infra.root.schemas import TRACKS
from infra.root.songs import read_block, read_songs
from infra.root.taken import taken
from infra.storage.parquet import encode
from infra.storage.s3 import connect
from infra.storage.store import Store
from jobs.extract import job as extract
from jobs.extract.work import Work as ExtractWork
from jobs.extract.worker import Tick
from jobs.represent import job as represent
from jobs.represent.job import Work as RepresentWork
from jobs.represent.worker import Representer
from jobs.train import job as train
from jobs.upkeep import audit, compact, gc

N_TRACKS, DIM, BAD = 60, 4, 20  # one in BAD is quarantined
SETTINGS = ("extract.shard_tracks=8", "train.n_components=6", "train.n_atoms=4", "train.epochs=1")
S3_SHARE = 0.25


def main() -> None:
    """Run both roots and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.resilience.gc_races", description=__doc__)
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--writer", metavar="ROOT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.writer:
        write_without_end(options.writer)
        return
    started, on_s3 = time.perf_counter(), round(S3_SHARE * options.moments)
    with tempfile.TemporaryDirectory(prefix="gc-races-") as folder:
        total = run(f"{folder}/root", options.moments - on_s3)
        total += run(_bucket(), on_s3) if on_s3 else Counter()
    names = ("moments", "missing", "deleted", "rounds", "told", "models")
    minutes = round((time.perf_counter() - started) / 60, 1)
    print(json.dumps({name: total[name] for name in names} | {"on_s3": on_s3, "minutes": minutes}))


def run(root: str, n_moments: int, seed: int = 0) -> Counter[str]:
    """So many moments beside one process; what was found and what it did."""
    rng, total = random.Random(seed), Counter[str]()
    command = [sys.executable, "-m", "tests.bench.resilience.gc_races", "--writer", root]
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=told, stderr=subprocess.STDOUT)
        try:
            _wait_for_first_round(Store(root), process)
            for _ in range(n_moments):
                time.sleep(rng.uniform(0.02, 0.6))
                total += _moment(root, process, rng)
            assert process.stdin is not None
            process.stdin.close()  # it ends after its round
            if process.wait(600):
                told.seek(0)
                raise SystemExit(f"the pipeline ended with {process.returncode}: {told.read()[-4000:]}")
        finally:
            process.kill()
            process.wait()
        told.seek(0)
        total += Counter(json.loads(told.read().splitlines()[-1]))
    problems = [*audit.run(config_of(root)).problems, *_strange(root)]
    return total + _counted(problems)


def _moment(root: str, process: subprocess.Popen[bytes], rng: random.Random) -> Counter[str]:
    if process.poll() is not None:
        return Counter()  # `run` says why
    frozen, gcs = rng.random() < 0.5, 1 + (rng.random() < 0.2)
    if frozen:
        process.send_signal(signal.SIGSTOP)
    age, wait = rng.choice((0.0, 0.0, 1.0, 3.0)), rng.choice((0.0, 0.0, 0.2))
    with ThreadPoolExecutor(gcs) as pool:
        deleted = list(pool.map(lambda _: len(gc.run(root, age, delete=True, wait=wait)), range(gcs)))
    process.send_signal(signal.SIGSTOP)
    problems = _missing(Store(root))
    process.send_signal(signal.SIGCONT)
    return Counter(moments=1, deleted=sum(deleted)) + _counted(problems)


def _counted(problems: Sequence[str]) -> Counter[str]:
    for problem in problems:
        console.print(problem)
    return Counter(missing=len(problems))


def _missing(store: Store) -> list[str]:
    """What the books of all trees and models lack."""
    gone = taken(store, models.PLACE)
    prefixes = [f"{kind}/{name}" for kind in layout.TREES for name in store.names(kind) if name not in gone]
    accounts = [audit.account(Tree(store, prefix)) for prefix in prefixes]
    checkpoints, problems = audit.checkpoint_digests(store, set(store.names("models")) - gone)
    files = {path: digest for item in accounts for path, digest in item.files.items()} | checkpoints
    return [*problems, *(text for item in accounts for text in item.problems), *audit.damaged(store, files)]


def _strange(root: str) -> list[str]:
    """Songs of the newest features whose frames are not theirs."""
    store, (mark,) = Store(root), Store(root).names("features")
    snapshot = Tree(store, f"features/{mark}").latest("default")
    assert snapshot is not None
    found = []
    for song in read_songs(store, snapshot).to_pylist():
        block = read_block(store, song["path"], song["row_group"], [song["row"]])
        if not np.array_equal(block.values, frames_of(song["track_id"], song["version"])):
            found.append(f"{song['track_id']}: other frames")
    return found


def _wait_for_first_round(store: Store, process: subprocess.Popen[bytes]) -> None:
    while not store.names("vectors") and process.poll() is None:
        time.sleep(0.2)


def _bucket() -> str:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
    os.environ["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
    connect().call_s3("create_bucket", Bucket="races")
    return "s3://races/root"


def config_of(root: str) -> Config:
    """Of all jobs here."""
    return load(None, SETTINGS, root=root)


# ---- the process beside gc


def write_without_end(root: str, rounds: int | None = None) -> None:
    """Rounds until stdin is closed; then the last one's result as JSON."""
    extract._extract = _extract_here  # pyright: ignore
    represent._compute = _represent_here  # pyright: ignore
    represent.connect = lambda _: nullcontext()  # pyright: ignore
    torch.set_num_threads(1)
    rng, config, counts = random.Random(1), config_of(root), Counter[str]()
    tracks: dict[str, int] = {}
    os.set_blocking(sys.stdin.fileno(), False)
    while counts["rounds"] != rounds and sys.stdin.buffer.raw.read(1) != b"":  # type: ignore[attr-defined]
        _change(tracks, rng)
        write_tracks(Store(root), tracks)
        if rng.random() < 0.15:
            config = config.model_copy(
                update={"train": config.train.model_copy(update={"seed": rng.randrange(3)})}
            )
        counts += _until_done(partial(_round, config, rng.random() < 0.3))
        if rng.random() < 0.5:
            counts += _until_done(partial(compact.run, config))
        counts["rounds"] += 1
    counts += _until_done(partial(_round, config, True))
    print(json.dumps(counts))


def _until_done(job: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    while True:
        try:
            counts["models"] += job() is True
            return counts
        except (Incomplete, StorageError, FileNotFoundError, ConfigError) as error:
            counts["told"] += 1
            print(repr(error), flush=True)
            if counts["told"] > 200:
                raise


def _change(tracks: dict[str, int], rng: random.Random) -> None:
    """Each track by its version: some go, some that were there come back, some change."""
    for number in range(N_TRACKS):
        name, chance = f"t{number:03d}", rng.random()
        if chance < 0.08:
            tracks.pop(name, None)
        elif chance < 0.3 or not tracks:
            tracks[name] = 1
        elif chance < 0.33:
            tracks[name] = 2


def write_tracks(store: Store, tracks: dict[str, int]) -> None:
    """The track list, as jobs.index leaves it."""
    names = sorted(tracks)
    columns = [
        names,
        [f"/music/{name}" for name in names],
        [40_000] * len(names),
        [str(tracks[name]) for name in names],
    ]
    table = pa.table(columns, schema=TRACKS)
    store.write("corpus/default/tracks.parquet", encode(table, [table.num_rows]))


def _round(config: Config, retrain: bool) -> bool:
    """Extract, a model, vectors; whether the model is new."""
    extract.run(config)
    store = Store(config.root)
    snapshot, fingerprint = train.training_snapshot(config, store)
    run, done = train.find_model(store, train.describe(config.train, snapshot, fingerprint))
    finals = models.finished(store)
    if done is None and (retrain or not finals):
        songs = read_songs(store, snapshot).to_pylist()
        values = np.concatenate([frames_of(song["track_id"], song["version"]) for song in songs])
        write_model(store, run, train.describe(config.train, snapshot, fingerprint), values, len(songs))
        done = models.find(store, run)
    else:
        run = run if done else max(finals, key=lambda final: (final.finished, final.run)).run
    represent.run(config, run)
    return done is not None


def write_model(store: Store, run: str, provenance: dict[str, Any], values: np.ndarray, n_songs: int) -> None:
    """A model as it is before its first step."""
    whiten = whitening(moments(values))
    frames = torch.from_numpy(whiten(values))
    state = start(Settings(n_components=6), frames, len(values), n_songs, torch.Generator().manual_seed(0))
    Checkpoints(store, layout.model(run)).save(1, to_arrays(state, whiten), {"provenance": provenance}, 1)
    models.finish(store, run, provenance, [], {}, 1)


def frames_of(track: str, version: str) -> np.ndarray:
    """float32 (frame, DIM)."""
    rng = np.random.default_rng([*f"{track} {version}".encode()])
    return rng.normal(size=(int(rng.integers(20, 40)), DIM)).astype(np.float32)


def _extract_here(config: Config, work: ExtractWork, *_: object) -> tuple[dict[str, Commit], Tick]:
    work.tree.write_spec({"made": "up"})
    return {shard.name: _commit(work.tree, shard) for shard in work.todo}, Tick()


def _commit(tree: Tree, shard: Any) -> Commit:
    good = [track for track in shard.tracks if int(track.track_id[1:]) % BAD]
    bad = [
        {"track_id": track.track_id, "version": track.version, "stage": "decode", "reason": "NOT_AUDIO", "message": "",
         "attempts": 1, "first_seen": "then", "last_seen": "then"}
        for track in shard.tracks if track not in good
    ]  # fmt: skip
    songs = [frames_of(track.track_id, track.version) for track in good]
    lengths = [len(song) for song in songs]
    flat = np.concatenate([np.zeros((0, DIM), np.float32), *songs])
    frames = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), DIM)
    table = pa.table(
        {
            "track_id": pa.array([track.track_id for track in good], pa.string()),
            "version": pa.array([track.version for track in good], pa.string()),
            "n_frames": pa.array(lengths, pa.int32()),
            "frames": pa.ListArray.from_arrays(pa.array(offsets_of(lengths), pa.int32()), frames),
        }
    )
    return tree.commit(shard.name, table, bad, len(shard.tracks), [len(good)] if good else [])


def _represent_here(config: Config, work: RepresentWork, *_: object) -> int:
    work.tree.write_spec(represent.describe(work.model))
    worker = Representer(config.root, work.tree.prefix, work.model.run, 3, "cpu")
    return sum([0, *worker.represent(unit)][-1] for unit in work.todo)


if __name__ == "__main__":
    main()
