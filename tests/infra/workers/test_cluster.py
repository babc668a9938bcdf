"""Reaching Ray, where it does not come up."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from ray.exceptions import AuthenticationError, ObjectLostError, RayTaskError, RpcError

from infra.config import RayConfig
from infra.errors import ConfigError, Incomplete, StorageError
from infra.workers import cluster
from infra.workers.cluster import connect

LATE = Exception("The node timed out\nduring startup.")


@pytest.fixture
def inits(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[object]]:
    """Makes `ray.init` raise these one after the other, then succeed; the list of what is left of them."""

    def prepared(*raised: Exception | None) -> list[object]:
        left: list[object] = list(raised)

        def init(**_: object) -> None:
            if (error := left.pop(0)) is not None:
                raise error

        monkeypatch.setattr(cluster.ray, "init", init)
        return left

    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)
    monkeypatch.setattr(cluster, "_stay_local", lambda: None)
    monkeypatch.setattr(cluster, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return prepared


@pytest.mark.parametrize(
    ("raised", "error", "text"),
    [
        (LATE, Incomplete, r"^Ray did not start in 3 tries: The node timed out during startup; the load is \d"),
        (RuntimeError("no\nport"), Incomplete, "^Ray did not start in 3 tries: no port; .* run the same command again"),
        (RpcError("gone"), Incomplete, "^Ray did not start in 3 tries: gone"),
    ],
)  # fmt: skip
def test_a_slow_start_is_tried_again_and_not_for_ever(
    raised: Exception,
    error: type[Exception],
    text: str,
    inits: Callable[..., list[object]],
    caplog: pytest.LogCaptureFixture,
):
    left = inits(raised, LATE, None)
    with connect(RayConfig()):
        assert left == []
    told = [record.getMessage() for record in caplog.records]
    assert [line.partition("; ")[2] for line in told] == ["trying again, 2 of 3", "trying again, 3 of 3"]
    left = inits(LATE, LATE, raised, None)
    with pytest.raises(error, match=text), connect(RayConfig()):
        pass
    assert left == [None]


@pytest.mark.parametrize(
    ("raised", "error", "text"),
    [
        (ValueError("object store\ntoo small"), ConfigError, "^Ray: object store too small$"),
        (AuthenticationError("no token"), ConfigError, "^Ray: no token"),
        (
            PermissionError(13, "Permission denied", "/tmp/ray"),
            StorageError,
            "^Ray: .*Permission denied: '/tmp/ray'",
        ),
        (KeyError("ours"), KeyError, "ours"),
    ],
)
def test_what_another_start_does_not_help_is_told_at_once(
    raised: Exception, error: type[Exception], text: str, inits: Callable[..., list[object]]
):
    left = inits(raised, None)
    with pytest.raises(error, match=text), connect(RayConfig()):
        pass
    assert left == [None]


def test_what_ray_raises_in_a_job_is_one_line_and_what_a_task_raises_is_a_bug(
    inits: Callable[..., list[object]],
):
    inits(None, None)
    with (
        pytest.raises(Incomplete, match=r"^Ray: .*lost.*; run the same command again$"),
        connect(RayConfig()),
    ):
        raise ObjectLostError("ab" * 28, None, "call")
    bug = RayTaskError("f", "traceback", ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError), connect(RayConfig()):
        raise bug.as_instanceof_cause()


# The first start waits 0 s for Ray's server; what it leaves is counted before and after it is ended.
SLOW_START = """
import os, ray
from infra.workers import cluster
from infra.config import RayConfig

def children():
    return [cluster._command(pid) for pid in cluster._children(os.getpid())]

def end(error, end=cluster._end_half_started):
    ray.shutdown()
    print(children(), flush=True)
    end(error)
    print(children(), flush=True)
    os.environ[cluster.SERVER_SECONDS[0]] = "120"

cluster.FIRST_PAUSE_SECONDS, cluster._end_half_started = 0.0, end
with cluster.connect(RayConfig(num_cpus=1, object_store_bytes=80 << 20)):
    print(ray.get(ray.remote(lambda: "works").remote()))
    session = ray._private.worker._global_node.get_session_dir_path()
    print(len(cluster._of_session(session)) > 2, cluster._of_session(session[:-1]))
"""


@pytest.mark.ray
def test_of_a_start_that_was_too_slow_nothing_is_left_and_the_next_works():
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment[cluster.SERVER_SECONDS[0]] = "0"
    done = subprocess.run(
        [sys.executable, "-c", SLOW_START], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["['gcs_server']", "[]", "works", "True []"], done.stderr


@pytest.mark.parametrize(
    ("device", "there", "may_come", "expected"),
    [
        ("auto", 0, False, False),
        ("auto", 0, True, False),
        ("auto", 1, False, True),
        ("cpu", 1, True, False),
        ("cuda", 1, False, True),
        ("cuda", 0, True, True),
    ],
)
def test_whether_a_job_takes_gpus(
    device: str, there: int, may_come: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster, "n_gpus", lambda: there)
    assert cluster.wants_gpu(device, "train.device", may_come) is expected
    monkeypatch.setattr(cluster, "n_gpus", lambda: 0)
    with pytest.raises(ConfigError, match=r"train\.device: cuda was asked for"):
        cluster.wants_gpu("cuda", "train.device")


def test_only_a_cluster_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    config = RayConfig(wait_seconds=60)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert cluster.patience_seconds(config) == 60
    monkeypatch.delenv("RAY_ADDRESS")
    assert cluster.patience_seconds(config) == 0
