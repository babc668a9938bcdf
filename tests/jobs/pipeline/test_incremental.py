"""A corpus that changes from run to run: only what changed is computed, and the books balance after every one."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from features.spec import fingerprint
from infra import cli
from infra.config import Config, load
from infra.errors import ConfigError
from infra.root import models
from infra.root.ledger import Tree
from infra.root.records import Snapshot
from infra.root.songs import read_songs
from infra.storage.store import Store
from jobs.evaluate.vectors import as_matrix, vector_tables
from jobs.extract.specification import require_frames
from jobs.pipeline import job as pipeline
from jobs.pipeline.incremental import find_kept
from jobs.upkeep import audit, compact, garbage, gc

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TRACKS = 500
SETTINGS = (
    *("train.n_components=6", "train.n_atoms=4", "train.epochs=1", "train.moves=false", "train.threads=1"),
    *("train.batch_songs=128", "train.data_workers=1", "represent.workers=1", "evaluate.bootstrap=50"),
    *("report.songs=2", "report.components=2", "report.segments=1", "report.song_seconds=2"),
    *("ray.num_cpus=2", "ray.object_store_bytes=268435456"),
)
OTHER_FEATURES = ("extract.excerpt=first", "extract.excerpt_seconds=1")


def write_track(music: Path, number: int, take: int = 0) -> None:
    """A second or two of noise with a tone, other ones for another take."""
    rng = np.random.default_rng([number, take])
    samples = int(22050 * (1.1 + rng.random()))
    tone = np.sin(2 * np.pi * rng.uniform(100, 4000) / 22050 * np.arange(samples))
    soundfile.write(music / f"{number:04d}.wav", 0.3 * tone + 0.1 * rng.normal(size=samples), 22050)


class ChangingCorpus:
    """A folder of music, a root, and what is there after each run."""

    def __init__(self, folder: Path) -> None:
        self.music, self.root = folder / "music", folder / "root"
        self.music.mkdir()
        self.takes: dict[int, int] = {}

    def put(self, numbers: Collection[int], take: int = 0) -> None:
        for number in numbers:
            write_track(self.music, number, take)
            self.takes[number] = take

    def remove(self, numbers: Collection[int]) -> None:
        for number in numbers:
            (self.music / f"{number:04d}.wav").unlink()
            del self.takes[number]

    def config(self, *settings: str) -> Config:
        return load(None, (*SETTINGS, *settings), root=str(self.root), music=str(self.music))

    def store(self) -> Store:
        return Store(str(self.root))

    def features(self, *settings: str) -> Tree:
        name = fingerprint(require_frames(self.config(*settings).extract))
        return Tree(self.store(), f"features/{name}")

    def vectors(self, *settings: str) -> Tree:
        return Tree(self.store(), f"vectors/{self.model(*settings)}")

    def model(self, *settings: str) -> str:
        kept = find_kept(self.config(*settings))
        assert kept is not None
        return kept.run

    def inputs(self, tree: Tree) -> int:
        """Tracks of all commits of a tree: work that was ever done."""
        names = [name.removesuffix(".json") for name in self.store().names(f"{tree.prefix}/commits")]
        return sum(commit.inputs for commit in tree.read_commits(names).values())

    def run(self, *settings: str, retrain: bool = False) -> None:
        pipeline.run(self.config(*settings), incremental=True, retrain=retrain)
        self.check(*settings)

    def command(self, job: ModuleType, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
        """What `python -m jobs.<job>` prints."""
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.run(job.main, arguments=["--root", str(self.root), *arguments])
        assert (ended.value.code or 0) == 0
        return capsys.readouterr().out.splitlines()

    def check(self, *settings: str) -> None:
        """The audit is clean; there is a vector for exactly the tracks that exist."""
        with pytest.raises(SystemExit) as ended:
            cli.run(audit.main, arguments=["--root", str(self.root)])
        assert (ended.value.code or 0) == 0
        wanted = sorted(f"{number:04d}.wav" for number in self.takes)
        assert sorted(self.rows(*settings)) == wanted
        songs = read_songs(self.store(), latest(self.features(*settings)))
        assert songs["track_id"].to_pylist() == wanted

    def rows(self, *settings: str) -> dict[str, bytes]:
        """The vector of every track, as bytes."""
        tree = self.vectors(*settings)
        return {
            track: row.tobytes()
            for table in vector_tables(self.store(), latest(tree), ["responsibility"])
            for track, row in zip(
                table["track_id"].to_pylist(), as_matrix(table["responsibility"]), strict=True
            )
        }


def latest(tree: Tree) -> Snapshot:
    found = tree.latest("default")
    assert found is not None
    return found


def test_a_changing_corpus(tmp_path: Path, ray_session: None, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = ChangingCorpus(tmp_path)
    corpus.put(range(TRACKS))
    corpus.run()
    model, first = corpus.model(), corpus.rows()
    assert (corpus.inputs(corpus.features()), corpus.inputs(corpus.vectors())) == (TRACKS, TRACKS)

    # 50 come, 20 go, 30 change: 80 are extracted and represented, all others keep their vectors to the bit.
    corpus.put(range(TRACKS, TRACKS + 50))
    corpus.remove(range(20))
    corpus.put(range(20, 50), take=1)
    corpus.run()
    assert corpus.model() == model
    assert (corpus.inputs(corpus.features()), corpus.inputs(corpus.vectors())) == (TRACKS + 80, TRACKS + 80)
    second = corpus.rows()
    same = {track for track, row in second.items() if first.get(track) == row}
    assert same >= {f"{number:04d}.wav" for number in range(50, TRACKS)}

    # Nothing changed: nothing is written but the record of the run.
    before, started = listing(corpus.root), time.monotonic()
    corpus.run()
    assert time.monotonic() - started < 30
    assert changed(before, listing(corpus.root)) == set()

    # Another specification stands beside the first, which is untouched.
    corpus.run(*OTHER_FEATURES)
    assert corpus.inputs(corpus.features(*OTHER_FEATURES)) == TRACKS + 30
    assert corpus.model(*OTHER_FEATURES) != model
    other = corpus.rows(*OTHER_FEATURES)
    assert corpus.rows() == second
    assert corpus.model() == model

    # Two runs at once: one does the work, the other is told to wait or finds it done.
    corpus.put(range(TRACKS + 50, TRACKS + 60))
    command = [sys.executable, "-m", "jobs.pipeline", "--incremental", "--root", str(corpus.root)]
    command += ["--music", str(corpus.music), *(word for item in SETTINGS for word in ("--set", item))]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [run.communicate(timeout=300)[1] for run in both]
    assert sorted(run.returncode for run in both) in ([0, 0], [0, 4]), told
    if both[0].returncode != both[1].returncode:
        assert any("the pipeline of corpus default is under way" in text for text in told)
    corpus.check()
    assert corpus.inputs(corpus.features()) == TRACKS + 90

    # Small shards become full ones, to the bit, and nothing is computed again.
    third, shards = corpus.rows(), len(latest(corpus.features()).shards)
    everything = listing(corpus.root)
    told = corpus.command(compact, capsys, "--dry-run")
    assert changed(everything, listing(corpus.root)) == set()
    found = compact.run(corpus.config())
    (replaced, became) = (int(told[0].split()[1]), int(told[0].split()[-1]))
    assert found.after == shards - replaced + became
    assert (found.before, found.models) == (shards, (model,))
    assert found.after < shards
    corpus.check()
    assert corpus.rows() == third
    assert compact.run(corpus.config()).songs == 0
    done = corpus.inputs(corpus.vectors())
    corpus.run()
    assert (corpus.model(), corpus.inputs(corpus.vectors())) == (model, done)

    # What nobody reads goes, and nothing else.
    would = gc.run(str(corpus.root), 0.0)
    assert {item.reason for item in would} >= {garbage.SNAPSHOT, garbage.COMMIT, garbage.DATA, garbage.TABLE}
    assert gc.run(str(corpus.root), 3600.0) == []
    everything = listing(corpus.root)
    told = corpus.command(gc, capsys, "--older-than", "0m", "--wait", "0m", "--json", "--delete")
    assert [json.loads(line)["path"] for line in told] == [item.path for item in would]
    more = changed(everything, listing(corpus.root)) - {item.path for item in would}
    assert changed(everything, listing(corpus.root)) - more == {item.path for item in would}
    assert all(re.match(r"gc/taken/|\w+/\w+/snapshots/default/\d+\.json$", path) for path in more), more
    assert gc.run(str(corpus.root), 0.0) == []
    corpus.check()
    assert corpus.rows() == third
    assert corpus.rows(*OTHER_FEATURES) == other
    assert corpus.inputs(corpus.features()) == corpus.inputs(corpus.vectors()) == TRACKS + 40
    before = listing(corpus.root)
    corpus.run()
    assert changed(before, listing(corpus.root)) == set()

    # Enough is new, or somebody asks: another model, beside the first.
    corpus.put(range(TRACKS + 60, TRACKS + 200))
    corpus.run()
    assert corpus.model() != model
    assert models.find(corpus.store(), model) is not None
    newer = corpus.model()
    corpus.put([0])
    corpus.run(retrain=True)
    assert corpus.model() not in (model, newer)


def listing(root: Path) -> dict[str, int]:
    """Every file but the records of runs, with the time it was written."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): path.stat().st_mtime_ns
        for path in files
        if path.relative_to(root).parts[0] != "runs"
    }


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


@pytest.mark.parametrize("text", ["7", "d", "1w", "-3d", ""])
def test_ages_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--older-than .*: expected a number and m, h or d"):
        gc.seconds_of(text)


def test_ages() -> None:
    assert [gc.seconds_of(text) for text in ("90m", "1.5h", "7d")] == [5400.0, 5400.0, 604_800.0]
