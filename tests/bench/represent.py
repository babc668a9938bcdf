"""`python -m tests.bench.represent`: is every song represented once, whoever is killed, and how fast? One JSON line.

A feature table of short songs (20 to 40 frames of 52 values, shards of 512 songs) and a model of `--components` are
made up. `jobs.represent` computes their vectors as a process that is killed `--kills` times, each when a random share
of the shards is committed, and started again; then `jobs.audit`, and every row of vectors is looked at. `missing`:
songs without a vector; `twice`: rows too many.

Then it does all of it undisturbed: `songs_per_second` from the first worker's start to the last commit.
`share_of_engine_speed` is that over what `hdpgmm.represent` alone does with whitened frames in memory, all cores and
its best size of batch, before and after. `rss_mb`: the largest resident memory of driver and workers, for `--few` songs
and for `--songs`.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from features.spec import DEFAULT_PRESET, PRESETS
from hdpgmm.ragged import offsets_of, ragged
from hdpgmm.represent import represent
from infra.root.ledger import Tree
from infra.root.records import quarantine_table, songs_table
from infra.root.runs import read_record
from infra.root.songs import read_songs
from infra.storage.parquet import decode, encode
from infra.storage.store import Store
from jobs.represent.model import load_model, whitened
from tests.jobs.trees import FINGERPRINT, write_model

SPEC = PRESETS[DEFAULT_PRESET]
RUN = "bench"
SHARD_SONGS = 512
KINDS_OF_SOUND = 128  # that songs are made of, four each
LEARNT_SONGS = 2048
TIMED_SONGS = 8192
BATCHES = (2048, 8192)  # songs
LOOK_SECONDS = 0.2


def main() -> None:
    """Make the roots, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.represent", description=__doc__)
    parser.add_argument("--songs", type=int, default=200_000)
    parser.add_argument("--few", type=int, default=2_000)
    parser.add_argument("--components", type=int, default=64)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    result: dict[str, Any] = {"songs": options.songs, "kills": options.kills}
    with tempfile.TemporaryDirectory(prefix="represent-") as folder:
        few, many = (write_root(f"{folder}/{n}", n, options.components) for n in (options.few, options.songs))
        result |= killed(many, options.kills)
        shutil.rmtree(Path(many) / "vectors")
        _, few_mb = watched(few)
        before = engine_speed(many)
        speed, many_mb = watched(many)
        bare = (before + engine_speed(many)) / 2
    result |= {"songs_per_second": round(speed, 1), "engine_songs_per_second": round(bare, 1)}
    result |= {"share_of_engine_speed": round(speed / bare, 3)}
    print(json.dumps({**result, "rss_mb": {str(options.few): few_mb, str(options.songs): many_mb}}))


def write_root(root: str, n_songs: int, n_components: int) -> str:
    """Track list, committed features and a finished model."""
    store, tree, commits = Store(root), Tree(Store(root), f"features/{FINGERPRINT}"), []
    tree.write_spec(SPEC.to_json())
    for first in range(0, n_songs, SHARD_SONGS):
        table = feature_table(range(first, min(first + SHARD_SONGS, n_songs)))
        commits.append(tree.commit(f"{first:024}", table, [], table.num_rows, [table.num_rows]))
    songs = songs_table(commits).sort_by("track_id")
    tree.publish("default", [commit.reference() for commit in commits], songs, quarantine_table([]))
    tracks = {
        **{name: songs[name] for name in ("track_id", "version")},
        "uri": songs["track_id"],
        "bytes": pa.array(np.ones(n_songs, np.int64)),
    }
    store.write("corpus/default/tracks.parquet", encode(pa.table(tracks), [n_songs]))
    lengths = np.random.default_rng(1).integers(20, 41, LEARNT_SONGS)
    write_model(store, RUN, ragged(lengths, frames(lengths, np.random.default_rng(2))), n_components)
    return root


def feature_table(numbers: range) -> pa.Table:
    """A shard of made-up songs."""
    rng = np.random.default_rng(numbers.start)
    lengths = rng.integers(20, 41, len(numbers))
    values = frames(lengths, rng)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), SPEC.n_features)
    return pa.table(
        {
            "track_id": [track_id(number) for number in numbers],
            "version": ["1"] * len(numbers),
            "n_frames": pa.array(lengths.astype(np.int32)),
            "frames": pa.ListArray.from_arrays(pa.array(offsets_of(lengths), pa.int32()), lists),
        }
    )


def track_id(number: int) -> str:
    return f"{number:08}.mp3"


def frames(lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Songs of these lengths, one after the other: four kinds of sound each, which overlap a little."""
    centres = 0.7 * np.random.default_rng(0).normal(size=(KINDS_OF_SOUND, SPEC.n_features)).astype(np.float32)
    kinds = rng.integers(0, KINDS_OF_SOUND, (len(lengths), 4))
    songs = np.repeat(np.arange(len(lengths)), lengths)
    chosen = kinds[songs, rng.integers(0, 4, len(songs))]
    return centres[chosen] + rng.standard_normal((len(songs), SPEC.n_features), dtype=np.float32)


def engine_speed(root: str) -> float:
    """Songs a second of the engine alone on the first songs, the best of BATCHES."""
    model = load_model(Store(root), RUN)
    lengths = np.random.default_rng(3).integers(20, 41, TIMED_SONGS)
    songs = whitened(model, ragged(lengths, frames(lengths, np.random.default_rng(4))))
    torch.set_num_threads(os.cpu_count() or 1)
    best = 0.0
    for size in BATCHES:
        begun = time.perf_counter()
        for batch in songs.split(size):
            represent(model.expectations, batch, model.options)
        best = max(best, TIMED_SONGS / (time.perf_counter() - begun))
    return best


def killed(root: str, kills: int) -> dict[str, int]:
    """Represent with so many SIGKILLs of the driver, and look at what is there in the end."""
    shards = len(list(Path(root).glob("features/*/commits/*.json")))
    moments_of_death = sorted(random.Random(0).sample(range(1, shards), kills))
    for least in moments_of_death:
        process = job(root)
        while committed(root) < least and process.poll() is None:
            time.sleep(LOOK_SECONDS / 4)
        print(f"killed with {committed(root)} of {shards} shards", file=sys.stderr)
        process.kill()
        process.wait()
    if code := job(root).wait():
        raise SystemExit(f"jobs.represent ended with {code}")
    audit = [sys.executable, "-m", "jobs.audit", "--root", root]
    code = subprocess.run(audit, check=False, stdout=sys.stderr).returncode
    return {**verdict(root), "audit_exit": code}


def verdict(root: str) -> dict[str, int]:
    """What a reader of the newest snapshot finds."""
    store, tree = Store(root), Tree(Store(root), f"vectors/{RUN}")
    snapshot, features = (t.latest("default") for t in (tree, Tree(store, f"features/{FINGERPRINT}")))
    assert snapshot is not None
    assert features is not None
    wanted = set(read_songs(store, features)["track_id"].to_pylist())
    found: Counter[str] = Counter()
    for shard in snapshot.shards:
        found.update(decode(store.read(shard.path))["track_id"].to_pylist())
    listed = Counter(read_songs(store, snapshot)["track_id"].to_pylist())
    missing = len(wanted - found.keys()) + len(wanted - listed.keys())
    return {"missing": missing, "twice": found.total() + listed.total() - len(found) - len(listed)}


def watched(root: str) -> tuple[float, dict[str, float]]:
    """Songs a second of an undisturbed run, and the largest resident MB of its driver and of its workers."""
    process, most = job(root), {"driver": 0.0, "worker": 0.0}
    while process.poll() is None:
        most["driver"] = max(most["driver"], peak_mb(process.pid))
        workers = [peak_mb(pid) for pid in family(process.pid) if "Representer" in name_of(pid)]
        most["worker"] = max([most["worker"], *workers])
        time.sleep(LOOK_SECONDS)
    if process.returncode:
        raise SystemExit(f"jobs.represent ended with {process.returncode}")
    summary = json.loads(read_record(Store(root), f"runs/represent-{RUN}", "summary.json"))
    return summary["computed"] / summary["seconds"], {kind: round(mb, 1) for kind, mb in most.items()}


def job(root: str) -> subprocess.Popen[bytes]:
    """`jobs.represent` as a process that starts a Ray of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, "-m", "jobs.represent", "--root", root]
    return subprocess.Popen(command, env=environment, stdout=sys.stderr)


def committed(root: str) -> int:
    folder = Path(root) / f"vectors/{RUN}/commits"
    return len(list(folder.glob("*.json")))


def family(pid: int) -> list[int]:
    """All descendants of a process."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in _text(path).split()]
    return found + [grandchild for child in found for grandchild in family(child)]


def name_of(pid: int) -> str:
    return _text(Path(f"/proc/{pid}/cmdline"))


def peak_mb(pid: int) -> float:
    """The most that was resident so far, as Linux counts it."""
    lines = [line for line in _text(Path(f"/proc/{pid}/status")).splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


if __name__ == "__main__":
    main()
