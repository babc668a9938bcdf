"""Two hosts, the documented lines, a token, and a node that is lost in each phase of a submitted pipeline."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from infra.config import load
from infra.root import models
from infra.root.ledger import Tree
from infra.storage.store import Store
from jobs.pipeline import job as pipeline
from jobs.upkeep import audit
from tests.faults.hosts import Host, missing, two_hosts
from tests.jobs.pipeline.test_submit import checkout
from tests.places import REPOSITORY

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

DOCUMENT = REPOSITORY / "infra" / "deploy" / "README.md"
TRACKS = 64
NODE = ("--num-cpus=1", "--object-store-memory=104857600")  # else the sizes of the whole machine
SETTINGS = (
    *("extract.shard_tracks=2", "train.n_components=8", "train.n_atoms=4", "train.batch_songs=16"),
    *("train.epochs=16", "train.early_stopping=false", "train.checkpoint_steps=5", "train.threads=1"),
    *("evaluate.repeats=1", "evaluate.codewords=8", "evaluate.bootstrap=50"),
    *("report.songs=2", "report.components=2", "report.segments=1", "report.song_seconds=2"),
)
PHASE_SECONDS = 240.0


def documented(begin: str) -> list[str]:
    """The words of the one command of *Several machines* that begins so."""
    text = DOCUMENT.read_text().partition("### Several machines")[2].partition("\n## ")[0]
    (line,) = [line for line in text.replace("\\\n", " ").splitlines() if line.strip().startswith(begin)]
    return shlex.split(line, comments=True)


@dataclass
class Machines:
    """The two hosts, with a home each, and what is started on them."""

    folder: Path
    checkout: Path
    head: Host
    other: Host
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_"))}
        programs = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        self.environment = {**kept, "PATH": programs, "RAY_AUTH_MODE": "token", "HEAD": self.head.address}

    def home(self, host: Host) -> Path:
        return self.folder / f"home-{host.address}"

    def log(self, host: Host) -> Path:
        return self.folder / f"log-{host.address}"

    def start(self, host: Host, words: list[str]) -> subprocess.Popen[bytes]:
        """A command with what the shell of the documents would make of it."""
        environment = {**self.environment, "HOME": str(self.home(host))}
        command = ["bash", "-c", " ".join(f'"{word}"' for word in words)]
        return host.popen(command, self.checkout, environment, self.log(host))

    def join(self) -> None:
        """The other host becomes a node."""
        self.start(self.other, [*documented("ray start --block"), *NODE])


@pytest.fixture
def machines(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with ExitStack() as stack:
        head, other = stack.enter_context(two_hosts())
        found = Machines(tmp_path, checkout(tmp_path_factory), head, other)
        found.home(head).mkdir()
        assert found.start(head, documented("ray get-auth-token")[:3]).wait() == 0
        shutil.copytree(found.home(head) / ".ray", found.home(other) / ".ray")
        found.start(head, [*documented("ray start --head"), *NODE])
        until(
            lambda: found.start(head, ["ray", "job", "list", "--address", "http://$HEAD:8265"]).wait() == 0,
            found,
        )
        found.join()
        yield found


def until(there: Callable[[], bool], machines: Machines, job: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + PHASE_SECONDS
    while not there():
        logs = machines.log(machines.head).read_text()[-4000:]
        assert job is None or job.poll() is None, f"the pipeline ended with {job and job.poll()}: {logs}"
        assert time.monotonic() < deadline, logs
        time.sleep(0.02)


def write_music(folder: Path) -> None:
    """Tones in noise, a second or two each."""
    folder.mkdir()
    for number in range(TRACKS):
        rng = np.random.default_rng(number)
        samples = int(22050 * (1.1 + rng.random()))
        tone = np.sin(2 * np.pi * rng.uniform(100, 4000) / 22050 * np.arange(samples))
        soundfile.write(folder / f"{number:03}.wav", 0.3 * tone + 0.1 * rng.normal(size=samples), 22050)


def test_a_node_is_lost_in_each_phase(machines: Machines, ray_session: None, tmp_path: Path) -> None:
    music, root = tmp_path / "music", tmp_path / "root"
    write_music(music)
    words = documented("ray job submit")
    places = {"--root": str(root), "--music": str(music)}
    words = [places.get(before, word) for before, word in zip(["", *words[:-1]], words, strict=True)]
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    job = machines.start(machines.head, [*words, *settings, "--set", "train.ranks=2"])
    phases = (
        ("Extractor", "features/*/commits/*"),
        ("Rank", "models/*/index/*"),
        ("Representer", "models/*/final.json"),
    )
    for actor, begun in phases:
        until(lambda: any(root.glob(begun)) and machines.other.runs(actor), machines, job)  # noqa: B023
        machines.other.lose()
        machines.join()
    assert job.wait() == 0, machines.log(machines.head).read_text()[-4000:]
    result = audit.run(load(root=str(root)))
    assert (result.problems, result.coverage[0].songs) == ((), TRACKS)

    calm = load(None, SETTINGS, root=str(tmp_path / "calm"), music=str(music))
    pipeline.run(calm)
    assert everything(root) == everything(tmp_path / "calm")


def everything(root: Path) -> dict[str, object]:
    """Digests of the shards of features and vectors, and the bits of the model."""
    store = Store(str(root))
    (features,), (run,) = store.names("features"), store.names("models")
    trees = {"features": Tree(store, f"features/{features}"), "vectors": Tree(store, f"vectors/{run}")}
    final = models.find(store, run)
    assert final is not None
    arrays = models.read_arrays(store, final)
    found: dict[str, object] = {name: part.tobytes() for name, part in arrays.items()}
    for kind, tree in trees.items():
        snapshot = tree.latest("default")
        assert snapshot is not None
        found[kind] = sorted(shard.digest for shard in snapshot.shards)
    return found
