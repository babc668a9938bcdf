"""gc beside a running pipeline, at some moments; `tests.bench.resilience.gc_races` is the same with 200, and in S3."""

from pathlib import Path

import pytest

from tests.bench.resilience import gc_races


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_that_counts_is_missing(tmp_path: Path):
    found = gc_races.run(str(tmp_path / "root"), 12, seed=1)
    assert found["moments"] == 12
    assert found["missing"] == 0
    assert found["deleted"] > 0
    assert found["rounds"] > 0
