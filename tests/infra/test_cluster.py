"""Reaching Ray, where it does not come up."""

import pytest

from infra import cluster
from infra.cluster import await_room, connect
from infra.config import RayConfig
from infra.errors import Incomplete, JobError


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


class Growing:
    """Resources that come when they are asked for, some looks later."""

    def __init__(self, **there: float) -> None:
        self.there, self.asked, self.looks = there, [], 0

    def resources(self) -> dict[str, float]:
        self.looks += 1
        came = self.asked and self.asked[0] and self.looks > 3
        return {"CPU": 2.0, "GPU": 1.0} if came else self.there

    def request(self, bundles: list[dict[str, float]]) -> None:
        self.asked.append(bundles)


@pytest.fixture
def growing(monkeypatch: pytest.MonkeyPatch) -> Growing:
    found = Growing(CPU=2.0)
    monkeypatch.setattr(cluster.ray, "cluster_resources", found.resources)
    monkeypatch.setattr(cluster, "request_resources", found.request)
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.001)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    return found


def test_a_cluster_is_asked_to_grow_and_then_left_alone(growing: Growing) -> None:
    await_room(RayConfig(wait_seconds=60), [{"CPU": 1.0, "GPU": 1.0}])
    assert growing.asked == [[{"CPU": 1.0, "GPU": 1.0}], []]
    assert growing.looks == 4


@pytest.mark.parametrize(
    ("config", "bundles"),
    [
        (RayConfig(wait_seconds=60), [{"CPU": 1.0}] * 2),
        (RayConfig(), [{"CPU": 1.0, "GPU": 1.0}]),
    ],
    ids=["there is room", "not to wait"],
)
def test_nothing_is_asked_for(config: RayConfig, bundles: list[dict[str, float]], growing: Growing) -> None:
    await_room(config, bundles)
    assert growing.asked == []


def test_waiting_has_an_end_and_so_has_the_request(growing: Growing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.ray, "cluster_resources", dict)
    with pytest.raises(Incomplete, match="did not grow"):
        await_room(RayConfig(wait_seconds=0.01), [{"CPU": 1.0}])
    assert growing.asked == [[{"CPU": 1.0}], []]
