"""What is told of shared work: totals that only grow, whatever is done twice."""

from typing import Any

import pytest

from infra.workers.metrics import Metrics
from infra.workers.pool_metrics import DESCRIBED, WorkMetrics


class Pool:
    waiting, under_way, retries = 5, 2, 0


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Counters' sums and gauges' last values, by name."""
    found: dict[str, Any] = {}

    def add(self: Metrics, **counts: float) -> None:
        found.update({name: found.get(name, 0) + count for name, count in counts.items()})

    def add_by(self: Metrics, name: str, tag: str, counts: dict[str, int]) -> None:
        found[name] = found.get(name, 0) + sum(counts.values())

    monkeypatch.setattr(Metrics, "add", add)
    monkeypatch.setattr(Metrics, "add_by", add_by)
    monkeypatch.setattr(Metrics, "set", lambda self, **values: found.update(values))
    return found


def test_totals_never_fall(told: dict[str, Any]) -> None:
    pool = Pool()
    metrics = WorkMetrics("extract", "default", pool)  # pyright: ignore[reportArgumentType]
    metrics.tell(tracks_total=10, audio_seconds_total=2.5)
    assert told == {
        "tracks_total": 10, "audio_seconds_total": 2.5, "retries_total": 0, "units_waiting": 5, "units_under_way": 2,
    }  # fmt: skip
    pool.retries, pool.waiting = 1, 4
    metrics.tell(tracks_total=6, audio_seconds_total=1.5)  # a worker died, its shard starts over
    assert (told["tracks_total"], told["retries_total"], told["units_waiting"]) == (10, 1, 4)
    metrics.tell(tracks_total=13, audio_seconds_total=4.0)
    assert (told["tracks_total"], told["audio_seconds_total"]) == (13, 4.0)
    metrics.quarantined({"SILENT": 2, "NOT_AUDIO": 1})
    assert told["quarantined_total"] == 3


def test_every_name_is_described(told: dict[str, Any]) -> None:
    metrics = WorkMetrics("represent", "m", Pool())  # pyright: ignore[reportArgumentType]
    metrics.tell(songs_total=1, tracks_total=1, audio_bytes_total=1, audio_seconds_total=1)
    metrics.tell(second_decoder_total=1, incomplete_total=1)
    metrics.quarantined({"SILENT": 1})
    assert told.keys() == DESCRIBED.keys()
