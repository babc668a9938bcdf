"""Figures of any job for Prometheus, through Ray: every node's agent serves them, at the ports that `ray` registers.

Names are `ray_hdpgmm_<job>_<name>`, with a tag `run`. A name that ends in `_total` is a counter, others are gauges.
"""

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge


class Metrics:
    """The figures of one run: `described` says what each name means. Ray must be connected when one is given."""

    def __init__(self, job: str, run: str, described: Mapping[str, str]) -> None:
        self.job, self.run, self.described = job, run, described
        self._gauges: dict[str, Gauge] = {}
        self._counters: dict[str, Counter] = {}

    def set(self, **values: float | None) -> None:
        """The gauges' values of now; one that is None stays as it was."""
        for name, value in values.items():
            if value is not None:
                if name not in self._gauges:
                    self._gauges[name] = Gauge(*self._named(name), tag_keys=("run",))
                self._gauges[name].set(value, {"run": self.run})

    def add(self, **counts: float) -> None:
        """What has been done since the last time."""
        for name, count in counts.items():
            self._count(name, count, {"run": self.run})

    def add_by(self, name: str, tag: str, counts: Mapping[str, float]) -> None:
        """The same of one counter that is divided by a tag of its own."""
        for value, count in counts.items():
            self._count(name, count, {"run": self.run, tag: value})

    def _count(self, name: str, count: float, tags: dict[str, str]) -> None:
        if name not in self._counters:
            self._counters[name] = Counter(*self._named(name), tag_keys=tuple(tags))
        if count:
            self._counters[name].inc(count, tags)

    def _named(self, name: str) -> tuple[str, str]:
        return f"hdpgmm_{self.job}_{name}", self.described[name]
