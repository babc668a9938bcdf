"""`tests.bench.resilience.storage_faults --faults 1000`: does an S3 that fails lose or repeat anything? As JSON.

A corpus in a bucket changes from round to round: tracks come, go and are replaced. Each round is `jobs.pipeline
--incremental`, `jobs.compact` and `jobs.gc --delete`, all of them, Ray's workers too, through a proxy on 127.0.0.1 that
answers 503, is out for a while, loses connections, is late, cuts replies short, and loses the reply to what it had
done. A command that ends with 4 or 5 is given again, as a scheduler would. The same rounds in another root, without
the proxy, are what it is compared with.

`injected`: faults that happened; `lost`: tracks of the bucket that are neither songs nor quarantined, or songs without
a vector; `twice`: rows too many; `different`: songs whose frames or vectors are not those of the undisturbed root, to
the bit; `audit_problems`: what `jobs.audit` says; `garbage`: objects that nobody reads, left after gc.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
from moto.server import ThreadedMotoServer

from infra.config import load
from infra.errors import Incomplete, StorageError
from infra.progress import console
from infra.root.ledger import Tree
from infra.root.songs import read_block, read_quarantine, read_songs
from infra.storage.s3 import connect
from infra.storage.store import Store
from jobs.evaluate.vectors import as_matrix, vector_tables
from jobs.pipeline.incremental import find_kept
from jobs.upkeep import audit, gc
from tests.faults.proxy import FaultyEndpoint
from tests.faults.tokens import Tokens

SHARES = {  # of all faults; an outage is one, however many requests it refuses
    "S3 says 503": 0.3,
    "S3 out for a while": 0.05,
    "S3 connection lost": 0.2,
    "S3 late": 0.05,
    "S3 reply cut": 0.15,
    "S3 reply lost": 0.25,
}
BUCKET, CORPUS = "storms", "default"
TRACKS, COME, GO, REPLACED = 160, 30, 15, 15
SETTINGS = (
    *(
        "extract.shard_tracks=4",
        "train.n_components=6",
        "train.n_atoms=4",
        "train.epochs=2",
        "train.threads=1",
    ),
    *(
        "train.batch_songs=32",
        "train.checkpoint_steps=2",
        "pipeline.retrain_share=0.3",
        "evaluate.bootstrap=50",
    ),
    *("evaluate.repeats=1", "report.songs=2", "report.components=2", "report.segments=1"),
    *("ray.num_cpus=2", "ray.object_store_bytes=268435456"),
)
AGAIN = {Incomplete.exit_code, StorageError.exit_code}
TRIES = 30


def main() -> None:
    """Inject and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.resilience.storage_faults", description=__doc__
    )
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--tracks", type=int, default=TRACKS, help="tracks of the first round")
    options = parser.parse_args()
    started = time.perf_counter()
    result = run(options.faults, options.tracks)
    print(json.dumps({**result, "minutes": round((time.perf_counter() - started) / 60, 1)}))


def run(n_faults: int, n_tracks: int) -> dict[str, object]:
    """Rounds until all faults have happened; what became of the tracks."""
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="storage-faults-") as folder, ExitStack() as stack:
        tokens = Tokens(Path(folder) / "tokens")
        for kind, share in SHARES.items():
            tokens.add(kind, max(1, round(share * n_faults)))
        planned = tokens.left()
        healthy = _healthy_s3(stack)
        stormy = stack.enter_context(FaultyEndpoint(healthy, tokens)).address
        music = _Music(n_tracks)
        while tokens.left().total():
            music.change()
            calm = _Root("calm", healthy, Path(folder))
            storm = _Root("storm", stormy, Path(folder))
            # The second gc takes the table of songs that a model of before was trained on, which the first one took.
            deletions = [["jobs.gc", *DELETE]] * 2
            for command in (["jobs.pipeline", "--incremental"], ["jobs.compact"], *deletions):
                total["commands"] += calm.do(*command) + storm.do(*command)
            total += _verdict(music, calm, storm)
            total["rounds"] += 1
            console.print(f"round {total['rounds']}: {dict(total)}; left: {dict(tokens.left())}")
    names = ("lost", "twice", "different", "audit_problems", "garbage", "commands", "rounds")
    return {"injected": planned.total(), **{name: total[name] for name in names}}


DELETE = ("--older-than", "0m", "--wait", "0m", "--delete")


def _healthy_s3(stack: ExitStack) -> str:
    """The address of moto, which this process talks to from now on."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    stack.callback(moto.stop)
    host, port = moto.get_host_and_port()
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
    os.environ["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
    connect().call_s3("create_bucket", Bucket=BUCKET)
    return os.environ["AWS_ENDPOINT_URL"]


@dataclass
class _Music:
    """Tracks in the bucket: a second or two of noise with a tone; one in fifty is no audio."""

    n_first: int
    tracks: set[str] = field(default_factory=set)
    made: int = 0

    def change(self) -> None:
        """The tracks of another round."""
        store, old = Store(f"s3://{BUCKET}/music"), sorted(self.tracks)
        for name in old[:GO]:
            store.delete(name)
            self.tracks.remove(name)
        new = [f"{self.made + n:05}.wav" for n in range(COME if old else self.n_first)]
        for name in (*old[GO : GO + REPLACED], *new):
            store.write(name, self._audio())
            self.tracks.add(name)

    def _audio(self) -> bytes:
        self.made += 1
        if self.made % 50 == 0:
            return b"no audio" * self.made
        rng, data = np.random.default_rng(self.made), BytesIO()
        samples = int(22050 * (1.1 + rng.random()))
        tone = np.sin(2 * np.pi * rng.uniform(100, 4000) / 22050 * np.arange(samples))
        soundfile.write(data, 0.3 * tone + 0.1 * rng.normal(size=samples), 22050, format="WAV")
        return data.getvalue()


@dataclass(frozen=True)
class _Root:
    """A root in the bucket, and the endpoint through which its commands see all of S3."""

    name: str
    endpoint: str
    folder: Path

    @property
    def uri(self) -> str:
        return f"s3://{BUCKET}/{self.name}"

    def do(self, job: str, *options: str) -> int:
        """The command until it ends well; how often it was given."""
        arguments = [sys.executable, "-m", job, "--root", self.uri, *options]
        if job != "jobs.gc":
            arguments += [part for setting in SETTINGS for part in ("--set", setting)]
        if job == "jobs.pipeline":
            arguments += ["--music", f"s3://{BUCKET}/music"]
        log = self.folder / f"{self.name}.log"
        for number in range(1, TRIES + 1):
            with log.open("wb") as output:
                environment = {**os.environ, "AWS_ENDPOINT_URL": self.endpoint}
                ended = subprocess.run(arguments, stdout=output, stderr=output, env=environment, check=False)
            if ended.returncode == 0:
                return number
            told = log.read_text()
            console.print(f"{self.name}: {job} ended with {ended.returncode}: {told.splitlines()[-1]}")
            if ended.returncode not in AGAIN:
                raise SystemExit(f"{job} ended with {ended.returncode}: {told[-4000:]}")
        raise SystemExit(f"{job} did not end well in {TRIES} tries: {told[-4000:]}")


def _verdict(music: _Music, calm: _Root, storm: _Root) -> Counter[str]:
    """What a reader finds in the disturbed root, against what is in the bucket and in the other root."""
    there, wanted = _read(storm), _read(calm)
    rows = Counter(track for kind in ("frames", "quarantined") for track in there[kind])
    vectors = Counter(there["vectors"])
    lost = len(music.tracks - rows.keys()) + len(set(there["frames"]) - vectors.keys())
    twice = sum(len(found) for found in there["frames"].values()) - len(there["frames"])
    twice += sum(len(found) for found in there["vectors"].values()) - len(there["vectors"])
    twice += rows.total() - len(rows) + len(rows.keys() - music.tracks)
    kinds = there.keys() | wanted.keys()
    different = sum(
        there[kind].get(track) != wanted[kind].get(track)
        for kind in kinds
        for track in there[kind].keys() | wanted[kind].keys()
    )
    problems = len(audit.run(load(root=storm.uri)).problems)
    return Counter(
        lost=lost,
        twice=twice,
        different=different,
        audit_problems=problems,
        garbage=len(gc.run(storm.uri, 0.0)),
    )


Rows = dict[str, list[bytes]]


def _read(root: _Root) -> dict[str, Rows]:
    """What there is of each track: frames, reasons of quarantine, vectors; a row each."""
    store = Store(root.uri)
    kept = find_kept(load(None, SETTINGS, root=root.uri, music=f"s3://{BUCKET}/music"))
    (features,) = store.names("features")
    found: dict[str, Rows] = {"frames": {}, "quarantined": {}, "vectors": {}}
    if kept is None:
        return found
    snapshot = Tree(store, f"features/{features}").latest(CORPUS)
    vectors = Tree(store, f"vectors/{kept.run}").latest(CORPUS)
    assert snapshot is not None
    assert vectors is not None
    for row in read_quarantine(store, snapshot).to_pylist():
        found["quarantined"].setdefault(row["track_id"], []).append(row["reason"].encode())
    for track, frames in _frames(store, read_songs(store, snapshot).to_pylist()):
        found["frames"].setdefault(track, []).append(frames)
    for table in vector_tables(store, vectors, ["responsibility"]):
        for track, vector in zip(
            table["track_id"].to_pylist(), as_matrix(table["responsibility"]), strict=True
        ):
            found["vectors"].setdefault(track, []).append(vector.tobytes())
    return found


def _frames(store: Store, songs: list[dict]) -> Iterator[tuple[str, bytes]]:
    for song in songs:
        block = read_block(store, song["path"], song["row_group"], [song["row"]])
        yield block.track_ids[0], block.values.tobytes()


if __name__ == "__main__":
    main()
