"""Reaching Ray, where it does not come up."""

import pytest

from infra import cluster
from infra.cluster import connect
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
