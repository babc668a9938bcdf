"""`tests.bench.resilience.faults --faults 1000`: does extraction lose, repeat or wrongly blame a track? As JSON.

Corpora of `--tracks` tracks are extracted on a Ray cluster of two nodes (on 127.0.0.1) until all faults have happened:
workers killed at any moment, and just before and after each of the two calls that make a shard count; a disk that is
full; decoders that crash, hang or are killed at an innocent track once, or that die, hang or are stopped before their
first; the driver killed; a node lost; two drivers at once; then, with root and music on S3, 503s, outages, lost
connections and lost replies. One track in a hundred kills, hangs or refuses always. A driver that ends or is killed is
started again, as its user or scheduler would.

After each corpus every song's frames are read and compared with what the track asked for. `lost`: tracks that are
neither songs nor quarantined; `twice`: rows too many; `wrong_values`: songs whose frames are another's;
`wrongly_blamed`: quarantined without fault or for another reason; `audit_problems`: what `jobs.audit` says.
"""

import os

from hdpgmm.ragged import ragged

# Before Ray is imported: its own switch to stay on 127.0.0.1.
os.environ.update(RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_USAGE_STATS_ENABLED="0")

import argparse
import itertools
import json
import logging
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from moto.server import ThreadedMotoServer
from ray.cluster_utils import Cluster

from infra.config import Config, load
from infra.errors import Incomplete, StorageError
from infra.progress import console
from infra.root.songs import read_block, read_quarantine, read_songs
from infra.storage.s3 import connect
from infra.storage.store import Store
from jobs.extract.work import prepare
from jobs.index import job as index
from jobs.upkeep import audit
from tests.faults.proxy import FaultyEndpoint
from tests.faults.tokens import ENVIRONMENT, Tokens
from tests.jobs.extract.standin import write_corpus

ON_DISK = {
    "killed before its data": 70,
    "killed between data and commit": 90,
    "killed before its commit": 70,
    "killed after its commit": 70,
    "worker killed": 50,
    "disk full": 90,
    "decoder crashed once": 70,
    "decoder killed once": 40,
    "decoder dies while it starts": 100,
    "decoder hung once": 30,
    "driver killed": 50,
    "node lost": 20,
    "two drivers": 20,
}
ON_S3 = {"S3 says 503": 100, "S3 out for a while": 20, "S3 connection lost": 30, "S3 reply lost": 80}
BAD = {
    "crash": "CRASH",
    "bad SILENT": "SILENT",
    "killed": "OOM",
    "bad NOT_AUDIO": "NOT_AUDIO",
    "hang": "TIMEOUT",
}
BAD_EVERY = 100
SETTINGS = ("extract.shard_tracks=8", "extract.track_seconds=2", "extract.max_bad_fraction=1")
DRIVER_CHANCE, NODE_CHANCE, TWO_CHANCE = 0.02, 0.01, 0.8  # the first two each fifth of a second
ROUND_SECONDS = 3600
NODE = {
    "num_cpus": 1,
    "node_ip_address": "127.0.0.1",
    "include_dashboard": False,
    "object_store_memory": 100 << 20,
}
NOTICE = {
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
    "health_check_initial_delay_ms": 500,
}


def main() -> None:
    """Inject and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.resilience.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--tracks", type=int, default=2000)
    options = parser.parse_args()
    started = time.perf_counter()
    result = run(options.faults, options.tracks)
    print(json.dumps({**result, "minutes": round((time.perf_counter() - started) / 60, 1)}))


def run(n_faults: int, n_tracks: int) -> dict[str, int]:
    """All faults, on disk and then on S3; what became of the tracks."""
    scale = n_faults / (sum(ON_DISK.values()) + sum(ON_S3.values()))
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        for faults, name in ((ON_DISK, "disk"), (ON_S3, "s3")):
            tokens = Tokens(Path(folder) / name)
            for kind, count in faults.items():
                tokens.add(kind, max(1, round(scale * count)))
            planned = tokens.left()
            with _Machines(tokens, name == "s3") as machines:
                while tokens.left().total():
                    total += _corpus(machines, f"{folder}/{name}", n_tracks, total["corpora"])
            total["injected"] += planned.total()
    names = ("injected", "lost", "twice", "wrong_values", "wrongly_blamed", "audit_problems")
    return {name: total[name] for name in (*names, "corpora", "drivers")}


class _Machines:
    """A cluster of two nodes and, if asked for, an S3 that fails."""

    def __init__(self, tokens: Tokens, on_s3: bool) -> None:
        self.tokens, self.on_s3 = tokens, on_s3
        self._stack = ExitStack()
        self._before, self.faulty = dict(os.environ), {}

    def __enter__(self) -> "_Machines":
        os.environ[ENVIRONMENT] = str(self.tokens.folder)
        if self.on_s3:
            logging.getLogger("werkzeug").setLevel(logging.ERROR)
            moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
            moto.start()
            self._stack.callback(moto.stop)
            host, port = moto.get_host_and_port()
            healthy = f"http://{host}:{port}"
            endpoint = self._stack.enter_context(FaultyEndpoint(healthy, self.tokens))
            os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
            os.environ.update(AWS_DEFAULT_REGION="us-east-1", AWS_ENDPOINT_URL=healthy)
            self.faulty = {"AWS_ENDPOINT_URL": endpoint.address}
        os.environ["PYTHONPATH"] = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
        with self._failing():
            self.cluster = Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": NOTICE})
            self._stack.callback(self.cluster.shutdown)
            self.node = self.cluster.add_node(**NODE)
        os.environ["RAY_ADDRESS"] = self.cluster.address
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        os.environ.clear()
        os.environ.update(self._before)

    def lose_node(self) -> None:
        """Kill every process of the second node; another takes its place."""
        self.cluster.remove_node(self.node, allow_graceful=False)
        with self._failing():
            self.node = self.cluster.add_node(**NODE)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What is started in the block meets the S3 that fails; we look at it as it is."""
        before = {name: os.environ[name] for name in self.faulty}
        os.environ.update(self.faulty)
        try:
            yield
        finally:
            os.environ.update(before)

    def driver(self, config: Config, log: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.faults.driver", config.model_dump_json()]
        with log.open("wb") as output:
            return subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **self.faulty})


def _corpus(machines: _Machines, place: str, n_tracks: int, number: int) -> Counter[str]:
    """Extract one corpus to its end, whatever happens, and look at every track."""
    place = f"s3://faults-{number}" if machines.on_s3 else f"{place}-{number}"
    tracks = _tracks(n_tracks)
    folder = Path(tempfile.mkdtemp(dir=machines.tokens.folder.parent))
    if machines.on_s3:
        connect().call_s3("create_bucket", Bucket=place.removeprefix("s3://"))
    config = load(None, SETTINGS, root=f"{place}/root", music=write_corpus(f"{place}/music", tracks))
    index.run(config)
    drivers = _until_done(machines, config, folder)
    return _verdict(config, tracks) + Counter(corpora=1, drivers=drivers)


def _tracks(n_tracks: int) -> dict[str, str]:
    """Content by name: each asks for frames of a value, one in BAD_EVERY for something bad; no two are alike."""
    tracks = {f"{i:05}.mp3": f"ok {i % 37 + 1}".ljust(8 + i) for i in range(n_tracks)}
    for place, name in enumerate(list(tracks)[BAD_EVERY // 2 :: BAD_EVERY]):
        tracks[name] = list(BAD)[place % len(BAD)]
    return tracks


def _until_done(machines: _Machines, config: Config, folder: Path) -> int:
    """Start drivers until one ends well; how many it took."""
    drivers, deadline = 0, time.monotonic() + ROUND_SECONDS
    while time.monotonic() < deadline:
        together = 2 if machines.tokens.claim("two drivers", TWO_CHANCE) else 1
        logs = [folder / f"driver-{drivers + i}" for i in range(together)]
        running = [machines.driver(config, log) for log in logs]
        drivers += together
        codes = [_watch(machines, driver) for driver in running]
        console.print(f"drivers ended with {codes}; left: {dict(machines.tokens.left())}")
        if 0 in codes:
            return drivers
        if set(codes) - {Incomplete.exit_code, StorageError.exit_code, -signal.SIGKILL}:
            raise SystemExit(f"drivers ended with {codes}: {logs[0].read_text()[-2000:]}")
    raise SystemExit(f"no driver came to an end in {ROUND_SECONDS} s: {logs[0].read_text()[-2000:]}")


def _watch(machines: _Machines, driver: subprocess.Popen[bytes]) -> int:
    """Wait for the driver's end, or bring it about."""
    while driver.poll() is None:
        time.sleep(0.2)
        if machines.tokens.claim("driver killed", DRIVER_CHANCE):
            driver.kill()
        if machines.tokens.claim("node lost", NODE_CHANCE):
            machines.lose_node()
    return driver.returncode


def _verdict(config: Config, tracks: dict[str, str]) -> Counter[str]:
    """What a reader of the newest snapshot finds, against what was asked for."""
    store = Store(config.root)
    work = prepare(config)
    snapshot = work.tree.latest(config.corpus)
    songs = read_songs(store, snapshot).to_pylist()
    bad = read_quarantine(store, snapshot).to_pylist()
    found = Counter(row["track_id"] for row in (*songs, *bad))
    blamed = sum(BAD.get(tracks[row["track_id"]]) != row["reason"] for row in bad)
    return Counter(
        lost=len(tracks.keys() - found.keys()) + len(work.todo),
        twice=found.total() - len(found),
        wrong_values=_wrong(store, songs, tracks),
        wrongly_blamed=blamed,
        audit_problems=len(audit.run(config).problems),
    )


def _wrong(store: Store, songs: list[dict[str, Any]], tracks: dict[str, str]) -> int:
    """Songs whose frames are not what their track asked for."""
    right = 0
    for (path, group), rows in itertools.groupby(songs, key=lambda row: (row["path"], row["row_group"])):
        placed = list(rows)
        block = read_block(store, path, group, [row["row"] for row in placed])
        frames = ragged(block.lengths, block.values)
        for row, name, found in zip(placed, block.track_ids, frames, strict=True):
            wanted = int(tracks[row["track_id"]].split()[1])
            expected = np.full((wanted, 59), wanted, np.float32)
            right += name == row["track_id"] and np.array_equal(found, expected)
    return len(songs) - right


if __name__ == "__main__":
    main()
