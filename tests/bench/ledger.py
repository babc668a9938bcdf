"""`python -m tests.bench.ledger --tracks 1000000`: what the driver of an extraction costs, as one JSON line.

A track list of that many tracks is made up; then, each in a process of its own with its peak memory as Linux counts it:
planning all of it (`jobs.extract --dry-run`), publishing the snapshot of made-up commits for all of it, and
`jobs.extract` over the complete ledger, which finds nothing to do. Seconds are of the whole process, imports included;
`start_seconds` is what they alone take.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict

import numpy as np
import pyarrow as pa

from features.spec import FeatureSpec
from infra.config import load
from infra.root.records import Commit, Placed
from infra.storage.parquet import encode
from infra.storage.store import Store
from infra.workers.isolate import Refused
from jobs.extract.work import prepare
from jobs.extract.worker import quarantine_record

BAD_EVERY = 100  # one track of so many is quarantined


def main() -> None:
    """Make the root, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ledger", description=__doc__)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        write_list(root, options.tracks)
        start, _ = _measured(root, "--help")
        plan, plan_mb = _measured(root, "--dry-run")
        shards = write_commits(root)
        publish, publish_mb = _measured(root)
        again, again_mb = _measured(root)
    result = {"tracks": options.tracks, "shards": shards, "start_seconds": start}
    result |= {"plan_seconds": plan, "plan_mb": plan_mb, "publish_seconds": publish, "publish_mb": publish_mb}
    result |= {"no_change_seconds": again, "no_change_mb": again_mb}
    print(json.dumps({key: float(f"{value:.4g}") for key, value in result.items()}))


def write_list(root: str, n_tracks: int) -> None:
    """Tracks as an S3 listing gives them, of 2 to 6 minutes at 128 kbit/s."""
    sizes = np.random.default_rng(0).integers(120 * 16000, 360 * 16000, n_tracks)
    names = [f"{number % 1000:03}/{number:08}.mp3" for number in range(n_tracks)]
    columns = {
        "track_id": names,
        "uri": [f"s3://music/{name}" for name in names],
        "bytes": sizes,
        "version": [f"{number:032x}" for number in range(n_tracks)],
    }
    table = pa.table(columns).sort_by("track_id")
    Store(root).write("corpus/default/tracks.parquet", encode(table, [table.num_rows]))


def write_commits(root: str) -> int:
    """Records of all shards, as workers would have left them; how many."""
    store, work = Store(root), prepare(load(root=root))
    work.tree.write_spec(FeatureSpec().to_json())
    for shard in work.shards:
        bad = [track for number, track in enumerate(shard.tracks) if number % BAD_EVERY == 0]
        good = [track for number, track in enumerate(shard.tracks) if number % BAD_EVERY]
        records = tuple(quarantine_record(track, "extract", Refused("SILENT", "made up")) for track in bad)
        placed = tuple(
            Placed(track.track_id, track.version, track.bytes * 43 // 16000, row // 4, row % 4)
            for row, track in enumerate(good)
        )
        path = f"{work.tree.prefix}/data/{shard.name}/{'0' * 64}.parquet"
        commit = Commit(shard.name, path, "0" * 64, len(good), 1, len(shard.tracks), records, placed)
        store.create(f"{work.tree.prefix}/commits/{shard.name}.json", json.dumps(asdict(commit)).encode())
    return len(work.shards)


def _measured(root: str, *arguments: str) -> tuple[float, float]:
    """Seconds and peak MB of a `jobs.extract`."""
    script = (
        "import atexit, re, runpy, sys\n"
        "def told(): print('MB', int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024)\n"
        "atexit.register(told); sys.argv[0] = 'extract'\n"
        "runpy.run_module('jobs.extract', run_name='__main__')"
    )
    started = time.perf_counter()
    command = [sys.executable, "-c", script, "--root", root, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr)
    print(done.stdout, done.stderr, file=sys.stderr)
    return seconds, float(done.stdout.rsplit("MB", 1)[1])


if __name__ == "__main__":
    main()
