"""The bench of the lease, small: real processes, the disk, holders that are dead and holders that are stopped."""

from pathlib import Path

from tests.bench.resilience.lease_races import run


def test_a_few_races(tmp_path: Path):
    found = run(str(tmp_path), 25, seed=1)
    assert (found["token_twice"], found["stale_visible"], found["lost"]) == (0, 0, 0)
    assert found["woken"] == 5
    assert found["took_over"] >= 25
