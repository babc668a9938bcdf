"""A training that loses a node; `python -m tests.bench.resilience.train_faults` kills twenty times and in all ways."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.mark.timeout(900)
def test_a_training_that_loses_a_node_ends_in_the_same_bits():
    # A process of its own: Ray reads its switch to stay on 127.0.0.1 when it is imported.
    # Drivers and ranks are killed in test_rank_group.py, data workers in test_feed.py.
    kinds = ["node"]
    command = [sys.executable, "-m", "tests.bench.resilience.train_faults", "--kills", "1", "--kinds", *kinds]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["kills"] == dict.fromkeys(kinds, 1)
    assert (result["different"], result["lost"]) == (0, 0), done.stderr[-3000:]
