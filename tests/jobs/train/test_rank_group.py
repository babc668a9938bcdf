"""Training by several ranks: the bits of one, whoever dies or is asked to stop."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.util.placement_group import placement_group, remove_placement_group

from infra.config import Config, load
from infra.errors import ConfigError, Incomplete
from infra.root import models
from infra.storage.store import Store
from jobs.train import job as train
from jobs.train import rank
from jobs.train.errors import RanksApart
from tests.faults.processes import actors
from tests.jobs.trees import clustered_songs, commit_songs

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# 1,040 training songs: steps of five parts and of four, the last of each short.
SETTINGS = (
    *("train.n_components=10", "train.n_atoms=4", "train.batch_songs=530", "train.checkpoint_steps=3"),
    *("train.epochs=8", "train.threads=1", "train.heldout_fraction=0.2", "train.early_stopping=false"),
    *("train.data_workers=2", "ray.num_cpus=6", "ray.object_store_bytes=200000000"),
)


def config_of(root: Path) -> Config:
    return load(None, SETTINGS, root=str(root))


def tree(root: Path) -> Path:
    commit_songs(root, clustered_songs(0, n_songs=1300, n_clusters=6, dim=5, n_frames=10), group=100)
    return root


def job(root: Path, *more: str) -> subprocess.Popen[str]:
    """The command in a process and Ray of its own."""
    overrides = [argument for setting in (*SETTINGS, *more) for argument in ("--set", setting)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, "-m", "jobs.train", "--root", str(root), *overrides]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    text, _ = process.communicate(timeout=200)
    assert process.returncode == code, text
    return text


def bits(root: Path) -> dict[str, bytes]:
    store = Store(str(root))
    final = models.choose(store, None)
    return {name: part.tobytes() for name, part in models.read_arrays(store, final).items()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> dict[str, bytes]:
    """What one rank finds, undisturbed."""
    root = tree(tmp_path_factory.mktemp("alone"))
    train.run(config_of(root))
    return bits(root)


def test_killed_with_four_ranks_and_continued_with_two_of_which_one_dies(
    alone: dict[str, bytes], tmp_path: Path
):
    process = job(tree(tmp_path), "train.ranks=4")
    until(process, lambda: newest_step(tmp_path) >= 3)
    process.kill()
    process.communicate()
    killed = newest_step(tmp_path)
    assert 3 <= killed < 16
    process = job(tmp_path, "train.ranks=2")
    until(process, lambda: len(ranks_of(process)) == 2)
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    assert "it continues from its last checkpoint" in ended(process)
    assert bits(tmp_path) == alone


def test_a_second_command_is_refused_and_sigterm_leaves_a_checkpoint_of_the_last_step(
    alone: dict[str, bytes], tmp_path: Path
):
    """The first one's ranks are held while the second one asks: it could not have ended."""
    first = job(tree(tmp_path), "train.ranks=2", "train.checkpoint_steps=1000")
    try:
        assert first.stdout
        assert any(line.startswith("epoch 2:") for line in first.stdout)
        held = ranks_of(first)
        for rank in held:
            os.kill(rank, signal.SIGSTOP)
        said = ended(job(tmp_path), code=4).splitlines()[-1]
        assert re.search(rf"training of model \w+ is under way \(process {first.pid} on ", said)
        for rank in held:
            os.kill(rank, signal.SIGCONT)
        first.send_signal(signal.SIGTERM)
        last = ended(first, code=130).splitlines()[-1]
        assert last == "interrupted; run the same command again to continue"
    finally:
        first.kill()
    (told,) = (tmp_path / "runs").glob("train-*/*-events.jsonl")
    stopped = [
        event for line in told.read_text().splitlines() if (event := json.loads(line))["kind"] == "stopped"
    ]
    assert [event["step"] for event in stopped] == [newest_step(tmp_path)]
    train.run(config_of(tmp_path))
    assert bits(tmp_path) == alone


def test_more_ranks_than_the_cluster_has_room_for(
    tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("jobs.train.rank_group.FIRST_LOOK_SECONDS", 0.1)
    monkeypatch.setattr("jobs.train.rank_group.PLACED_SECONDS", 1.0)
    root = str(tree(tmp_path))
    config = load(None, (*SETTINGS, "train.ranks=64"), root=root)
    with pytest.raises(ConfigError, match=r"train\.ranks: 64 ranks need a CPU each, the cluster has 2$"):
        train.run(config)
    # Where an autoscaler may bring more, or others only use what there is, a later run may find room.
    monkeypatch.setattr("jobs.train.job.patience_seconds", lambda _: 1.5)
    with pytest.raises(Incomplete, match=r"did not grow beyond 2 within 1\.5 s \(ray\.wait_seconds\)"):
        train.run(config)
    both = placement_group([{"CPU": 2.0}])
    assert both.wait(60)
    try:
        with pytest.raises(Incomplete, match="the cluster's 2 are in use"):
            train.run(load(None, (*SETTINGS, "train.ranks=2"), root=root))
    finally:
        remove_placement_group(both)


def test_ranks_that_do_not_meet_say_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rank, "MEETING", timedelta(seconds=1))
    monkeypatch.setattr(rank, "_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(rank, "get_node_ip_address", lambda: "127.0.0.1")
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "=lo")
    meeting: Any = (None, (), 1, 2, "tcp://127.0.0.1:9", lambda: False)
    with pytest.raises(RanksApart, match="rank 1, on interface lo, does not reach the others"):
        next(rank.trained(*meeting))
    # What the user says about the interface is not asked of the machine.
    monkeypatch.setattr(rank, "get_node_ip_address", lambda: "203.0.113.7")
    with pytest.raises(RanksApart, match="on interface lo,"):
        next(rank.trained(*meeting))
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    with pytest.raises(RanksApart, match=r"no network interface has the address 203\.0\.113\.7"):
        next(rank.trained(*meeting))


def newest_step(root: Path) -> int:
    entries = root.glob("models/*/index/step-*.json")
    return max((int(entry.stem.split("-")[1]) for entry in entries), default=-1)


def until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    return actors(process.pid, "Rank")
