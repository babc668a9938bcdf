"""Reaching Ray, where it does not come up."""

import pytest

from infra import cluster
from infra.cluster import connect
from infra.config import RayConfig
from infra.errors import ConfigError, Incomplete, JobError


@pytest.mark.parametrize(
    ("raised", "error", "text"),
    [
        (Exception("The node timed out\nduring startup."), Incomplete, "timed out during startup. Run the same"),
        (RuntimeError("no\nport"), JobError, "^Ray: no port$"),
        (KeyError("ours"), KeyError, "ours"),
    ],
)  # fmt: skip
def test_how_a_start_failed(
    raised: Exception, error: type[Exception], text: str, monkeypatch: pytest.MonkeyPatch
):
    def init(**_: object) -> None:
        raise raised

    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster, "_stay_local", lambda: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(error, match=text), connect(RayConfig()):
        pass


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
