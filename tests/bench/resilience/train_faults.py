"""`tests.bench.resilience.train_faults --kills 20`: is a killed training the same as an undisturbed one? As JSON.

Small corpora are trained on a Ray cluster of two nodes (on 127.0.0.1), each killed at random moments until all kills
have happened: at the start, in the survey, at a step and its checkpoint, at the end. The same command, with another
number of ranks and data workers, continues each to its end, where every array of the model and the history are
compared with those of a run that nothing disturbed. Kinds:

driver: SIGKILL of the command; driver and its Ray: the same without a cluster; SIGTERM: of the command;
rank, data worker: SIGKILL of one; rank told: SIGTERM of one; node: all processes of a node that hosts a rank, another
takes its place; last node: none does before the command has ended; notice: Ray is told that the node will be lost.

`different`: final states with a bit that differs; `lost`: continuations from a step before the newest checkpoint.
"""

import os

# Before Ray is imported: its own switch to stay on 127.0.0.1.
os.environ.update(RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_USAGE_STATS_ENABLED="0")

import argparse
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

from infra.errors import ConfigError, Incomplete
from infra.progress import console
from infra.root import layout, models
from infra.storage.store import Store
from tests.faults.processes import actors
from tests.jobs.trees import clustered_songs, commit_songs

KINDS = (
    *("driver", "rank", "node", "data worker", "SIGTERM", "driver and its Ray", "rank told", "notice"),
    "last node",
)
ONE_RANK, TWO_RANKS = (1, 2), (2,)
SETTINGS = (
    *("train.n_components=10", "train.n_atoms=4", "train.batch_songs=260", "train.checkpoint_steps=2"),
    *("train.epochs=6", "train.threads=1", "train.heldout_fraction=0.2", "train.early_stopping=false"),
    *("ray.num_cpus=2", "ray.object_store_bytes=100000000"),
)
N_STEPS = 6 * 5
ACTORS = {
    "rank": ("Rank", signal.SIGKILL),
    "rank told": ("Rank", signal.SIGTERM),
    "data worker": ("DataWorker", signal.SIGKILL),
}
# Of the history, not of the model: how the run went.
TIMES = {"frames_per_second", "wait_share", "seconds", "max_bytes_ahead"}
EARLY, EARLY_SECONDS, LATE_SECONDS = 0.25, 8.0, 0.2
RUN_SECONDS = 300
CODES = {0, Incomplete.exit_code, 130, -signal.SIGKILL, -signal.SIGTERM}
PREEMPTED = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
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


@dataclass(frozen=True)
class Model:
    """What a finished run leaves: the bits of its arrays, and its history without times."""

    arrays: dict[str, bytes]
    history: list[dict[str, Any]]


def main() -> None:
    """Kill and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.resilience.train_faults", description=__doc__
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    result = run(options.kills, options.kinds, options.seed)
    print(json.dumps({**result, "minutes": round((time.perf_counter() - started) / 60, 1)}))


def run(n_kills: int, kinds: Sequence[str], seed: int) -> dict[str, Any]:
    """All kills, one after the other; how the runs that they fell into ended."""
    due = [kinds[number % len(kinds)] for number in range(n_kills)]
    chance = random.Random(seed)
    chance.shuffle(due)
    kills, total = Counter(due), Counter[str](different=0, lost=0)
    with tempfile.TemporaryDirectory(prefix="train-faults-") as folder, _Machines(chance) as machines:
        undisturbed = _Run(machines, Path(folder) / "undisturbed", []).to_the_end()
        while due:
            one = _Run(machines, Path(folder) / str(total["runs"]), due)
            differs = one.to_the_end() != undisturbed
            console.print(f"{one.root.name}: {'DIFFERENT' if differs else 'the same'}, {one.lost} lost")
            total["different"] += differs
            total.update(runs=1, lost=one.lost, commands=one.commands)
    return {"kills": dict(kills), **total}


class _Machines:
    """A cluster of two nodes with a CPU each, so that two ranks need both."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._stack, self._before = ExitStack(), dict(os.environ)

    def __enter__(self) -> "_Machines":
        self.cluster = Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": NOTICE})
        self._stack.callback(self.cluster.shutdown)
        self.add_node()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        os.environ.clear()
        os.environ.update(self._before)

    def add_node(self) -> None:
        self.node = self.cluster.add_node(**NODE)

    def lose_node(self) -> None:
        self.cluster.remove_node(self.node, allow_graceful=False)

    def announce_loss(self) -> None:
        """Tell Ray, as a cloud's notice would; the command has until its end to leave, then the node goes."""
        self.announced = self.node
        client = GcsClient(address=self.cluster.address)
        deadline_ms = int(1000 * (time.time() + RUN_SECONDS))
        client.drain_node(self.node.node_id, PREEMPTED, "a test", deadline_ms)

    def lose_announced(self) -> None:
        self.cluster.remove_node(self.announced, allow_graceful=False)

    def command(self, root: Path, kind: str, log: Path) -> subprocess.Popen[bytes]:
        """`jobs.train`, with as many ranks and data workers as chance has it."""
        ranks = self.chance.choice(TWO_RANKS if kind in ("node", "last node", "notice") else ONE_RANK)
        settings = (*SETTINGS, f"train.ranks={ranks}", f"train.data_workers={self.chance.choice((1, 2, 3))}")
        overrides = [argument for setting in settings for argument in ("--set", setting)]
        environment = {**os.environ, "RAY_ADDRESS": self.cluster.address}
        if kind == "driver and its Ray":
            environment.pop("RAY_ADDRESS")
        arguments = [sys.executable, "-m", "jobs.train", "--root", str(root), *overrides]
        with log.open("wb") as output:
            return subprocess.Popen(arguments, stdout=output, stderr=output, env=environment)


class _Run:
    """One model's training, killed by the kinds that are `due` (taken from its end) while it lasts."""

    def __init__(self, machines: _Machines, root: Path, due: list[str]) -> None:
        self.machines, self.root, self.due, self.chance = machines, root, due, machines.chance
        self.lost, self.commands, self._saved = 0, 0, -1
        songs = clustered_songs(0, n_songs=1300, n_clusters=6, dim=5, n_frames=30)
        commit_songs(root, songs, group=100)

    def to_the_end(self) -> Model:
        """Give the command until it is done."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            if self._command() == 0:
                return _model(self.root)
        raise SystemExit(f"{self.root}: no end in {RUN_SECONDS} s; {self._told()}")

    def _command(self) -> int:
        """The command once, killed or not; its exit code."""
        kind, newest = self.due[-1] if self.due else "", self._newest()
        self.commands += 1
        process = self.machines.command(self.root, kind, self._log)
        killed = bool(kind) and self._moment(process, newest) and self._kill(process, kind)
        if killed:
            self.due.pop()
            newest = self._newest()
        code = process.wait()
        self._tidy(kind, killed)
        console.print(
            f"{self.root.name}: {kind if killed else 'nothing'} at step {newest}: ended with {code}"
        )
        room_lost = (
            killed and kind == "last node" and code == ConfigError.exit_code
        )  # before there were ranks
        if code not in CODES and not room_lost:
            raise SystemExit(f"ended with {code}: {self._told()}")
        return code

    def _moment(self, process: subprocess.Popen[bytes], newest: int) -> bool:
        """Wait for a random moment of what is left; whether the process lives to see it."""
        early = self.chance.random() < EARLY
        wanted = newest if early else self.chance.randint(min(newest + 1, N_STEPS), N_STEPS)
        late = EARLY_SECONDS if early else LATE_SECONDS
        if not _until(process, lambda: self._newest() >= wanted):
            return False
        _until(process, lambda: False, late * self.chance.random())
        return process.poll() is None

    def _kill(self, process: subprocess.Popen[bytes], kind: str) -> bool:
        """Whether there was something to kill."""
        if kind in ("driver", "driver and its Ray"):
            process.kill()
        elif kind == "SIGTERM":
            process.terminate()
        elif kind in ("node", "last node"):
            self.machines.lose_node()
        elif kind == "notice":
            self.machines.announce_loss()
        else:
            return self._kill_actor(process, *ACTORS[kind])
        if kind in ("node", "notice"):
            self.machines.add_node()
        return True

    def _kill_actor(self, process: subprocess.Popen[bytes], name: str, number: int) -> bool:
        found: list[int] = []
        while process.poll() is None and not found:
            found = actors(os.getpid(), name)
        if not found:
            return False
        os.kill(self.chance.choice(found), number)
        return True

    def _tidy(self, kind: str, killed: bool) -> None:
        """What comes after the command's end; and whether it had continued from its newest checkpoint."""
        if killed and kind == "last node":
            self.machines.add_node()
        if killed and kind == "notice":
            self.machines.lose_announced()
        self._saved, before = self._newest(), self._saved
        continued = [int(step) for step in re.findall(r"continues from step (\d+)", self._told())]
        self.lost += bool(continued) and continued[0] < before

    def _newest(self) -> int:
        """The step of the newest checkpoint, -1 before the first."""
        entries = self.root.glob("models/*/index/step-*.json")
        return max((int(entry.stem.split("-")[1]) for entry in entries), default=-1)

    def _told(self) -> str:
        return self._log.read_text()

    @property
    def _log(self) -> Path:
        return self.root / f"told-{self.commands}"


def _until(
    process: subprocess.Popen[bytes], condition: Callable[[], bool], seconds: float = RUN_SECONDS
) -> bool:
    """Whether the condition came true before the process or the time ended."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return False


def _model(root: Path) -> Model:
    store = Store(str(root))
    final = models.choose(store, None)
    arrays = {name: part.tobytes() for name, part in models.read_arrays(store, final).items()}
    rows = json.loads(store.read(layout.history(final.run)))
    return Model(arrays, [{name: row[name] for name in row.keys() - TIMES} for row in rows])


if __name__ == "__main__":
    main()
