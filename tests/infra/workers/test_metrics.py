"""Metrics as Prometheus reads them, from the agent of a running Ray."""

import re
import time
import urllib.request

import pytest
import ray

from infra.workers.metrics import Metrics

pytestmark = pytest.mark.ray


def test_prometheus_reads_what_was_told(ray_session: None):
    described = {
        "step": "steps done",
        "bound": "nats per frame",
        "songs_total": "songs",
        "bad_total": "bad ones",
    }
    for run, step in (("one", 7), ("two", 8)):
        metrics = Metrics("made_up", run, described)
        metrics.set(step=1, bound=-3.5)
        metrics.set(step=step, bound=None)
        metrics.add(songs_total=5)
        metrics.add(songs_total=6)
        metrics.add_by("bad_total", "reason", {"SILENT": step, "NOT_AUDIO": 1})
        metrics.add_by("bad_total", "reason", {"SILENT": 1, "TOO_SHORT": 0})
    found = scraped("hdpgmm_made_up_")
    reasons = {key: found.pop(key) for key in [*found] if key[0].startswith("bad_total")}
    assert reasons == {
        ("bad_total SILENT", "one"): 8.0,
        ("bad_total NOT_AUDIO", "one"): 1.0,
        ("bad_total SILENT", "two"): 9.0,
        ("bad_total NOT_AUDIO", "two"): 1.0,
    }
    assert found == {
        ("step", "one"): 7.0,
        ("bound", "one"): -3.5,
        ("songs_total", "one"): 11.0,
        ("step", "two"): 8.0,
        ("bound", "two"): -3.5,
        ("songs_total", "two"): 11.0,
    }


def scraped(prefix: str) -> dict[tuple[str, str], float]:
    """Values by name (and reason) and run, once there are any; agents hear from processes every ten seconds."""
    url = f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}/metrics"
    line = re.compile(rf"^ray_{prefix}(\w+){{(.*)}} (\S+)$", re.MULTILINE)
    found: list[tuple[str, str, str]] = []
    deadline = time.monotonic() + 120
    while not found and time.monotonic() < deadline:
        time.sleep(0.5)
        with urllib.request.urlopen(url, timeout=30) as answer:
            found = line.findall(answer.read().decode())
    tags = [dict(re.findall(r'(\w+)="(.*?)"', text)) for _, text, _ in found]
    return {
        (" ".join(filter(None, [name, tag.get("reason")])), tag["run"]): float(value)
        for (name, _, value), tag in zip(found, tags, strict=True)
    }
