"""Extraction under faults of every kind, a few of each; `tests.bench.resilience.faults` is the same with a thousand."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.slow]


@pytest.mark.timeout(900)
def test_no_track_is_lost_repeated_or_wrongly_blamed():
    # A process of its own: Ray reads its switch to stay on 127.0.0.1 when it is imported.
    command = [sys.executable, "-m", "tests.bench.resilience.faults", "--faults", "20", "--tracks", "64"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["injected"] >= 16
    for kind in ("lost", "twice", "wrong_values", "wrongly_blamed", "audit_problems"):
        assert result[kind] == 0, result
