"""Files that strangers made, corrupted: a result, a one-line error or a quarantine reason, and nothing else."""

import pytest

from tests.bench.resilience.fuzz import fuzz

pytestmark = pytest.mark.slow

CHILD_MB = 1500  # several decoders' worst on files of a second; a promise of gigabytes would be far above


def test_corrupted_files_get_clean_errors() -> None:
    found = fuzz(405, first=1_000_000)
    assert found["inputs"] == 405
    assert found["wrong"] == []
    assert found["child_peak_mb"] < CHILD_MB
    for kind in ("labels", "lists", "tracks", "snapshots", "plays", "splits"):
        assert found["outcomes"][kind].get("refused", 0) > 5  # it is corrupted indeed
    assert len(found["outcomes"]["audio"]) >= 3
