"""The figures (`metrics.py`) of a job whose units a pool shares out: done, waiting, tried again, set aside."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from infra.workers.metrics import Metrics
from infra.workers.pool import Pool

DESCRIBED = {
    "tracks_total": "tracks done since the command began, those set aside included",
    "audio_bytes_total": "bytes of their files",
    "audio_seconds_total": "seconds of their audio",
    "second_decoder_total": "tracks that the second decoder read",
    "incomplete_total": "tracks that lack less than a packet of what their files promise",
    "quarantined_total": "tracks set aside, by reason",
    "songs_total": "songs done since the command began",
    "units_waiting": "units of work that no worker has begun",
    "units_under_way": "units of work that a worker has begun",
    "retries_total": "times that a unit went back, because a worker died or said nothing or its storage failed",
}


class WorkMetrics:
    """Of one `run` of a job whose units a pool shares out. Counts never fall: what is done twice counts once."""

    def __init__(self, job: str, run: str, pool: Pool[Any]) -> None:
        self._metrics, self._pool = Metrics(job, run, DESCRIBED), pool
        self._told: Counter[str] = Counter()

    def tell(self, **totals: float) -> None:
        """How much is done by now, by name."""
        self._add({**totals, "retries_total": self._pool.retries})
        self._metrics.set(units_waiting=self._pool.waiting, units_under_way=self._pool.under_way)

    def quarantined(self, reasons: Mapping[str, int]) -> None:
        """Some more tracks were set aside."""
        self._metrics.add_by("quarantined_total", "reason", reasons)

    def _add(self, totals: Mapping[str, float]) -> None:
        grown = {name: total - self._told[name] for name, total in totals.items()}
        self._metrics.add(**{name: more for name, more in grown.items() if more >= 0})
        self._told.update({name: more for name, more in grown.items() if more > 0})
