"""Checkpoints: whole or absent, the newest and the best kept, written beside the work."""

from pathlib import Path

import numpy as np
import pytest

from infra.errors import StorageError, TakenOver
from infra.root.checkpoints import Checkpoints
from infra.root.lease import Lease
from infra.storage.store import Store

ARRAYS = {"count": np.arange(5.0)}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(Store(str(tmp_path)), "models/m")


def steps(checkpoints: Checkpoints) -> list[str]:
    store = checkpoints.store
    files = [name for name in store.names("models/m") if name.endswith(".safetensors")]
    entries = [name.removesuffix(".json") for name in store.names("models/m/index")]
    assert [name.removesuffix(".safetensors") for name in files] == entries
    return [str(int(name.removeprefix("step-"))) for name in entries]


def test_the_newest_are_kept_and_the_best(checkpoints: Checkpoints):
    for step in range(1, 8):
        checkpoints.save(step, ARRAYS, {}, keep=2, best=3 if step >= 3 else None)
    assert steps(checkpoints) == ["3", "6", "7"]
    checkpoints.save(8, ARRAYS, {}, keep=2, best=8)
    assert steps(checkpoints) == ["7", "8"]


def test_written_beside_and_waited_for(checkpoints: Checkpoints):
    for step in (1, 2):
        assert checkpoints.save_beside(step, ARRAYS, {"step": step}, 3, None) is None
    assert checkpoints.wait() is None
    found = checkpoints.load()
    assert found is not None
    assert (found[0], found[2]) == (2, {"step": 2})
    np.testing.assert_array_equal(found[1]["count"], ARRAYS["count"])


def test_a_write_that_failed_is_told_and_forgotten(checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise StorageError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.store, "write", full)
        assert checkpoints.save_beside(1, ARRAYS, {}, 3, None) is None
        assert "no space left" in str(checkpoints.wait())
    assert checkpoints.written is None
    assert checkpoints.wait() is None
    assert checkpoints.save_beside(2, ARRAYS, {}, 3, None) is None
    assert checkpoints.wait() is None
    assert steps(checkpoints) == ["2"]
    assert checkpoints.written == 2


def test_what_is_damaged_is_passed_over(checkpoints: Checkpoints, tmp_path: Path):
    for step in (1, 2):
        checkpoints.save(step, ARRAYS, {}, 3)
    (tmp_path / "models/m/step-00000002.safetensors").write_bytes(b"half")
    found = checkpoints.load()
    assert found is not None
    assert found[0] == 1
    assert checkpoints.damaged == ["step-00000002"]
    checkpoints.save(2, ARRAYS, {}, 3)
    assert checkpoints.load()
    assert checkpoints.damaged == []


def test_a_trainer_that_was_taken_over_leaves_nothing_that_counts(tmp_path: Path):
    """It goes on in the middle of its commit, after the next one has gone far beyond."""
    store = Store(str(tmp_path))
    with Lease(store, "runs/m/lease", "training of model m") as held:
        first = Checkpoints(store, "models/m", held.hand_over())
        for step in (1, 2, 3):
            first.save(step, ARRAYS, {"by": "first"}, keep=2)
        last = held._journal.head().effect
        second = Checkpoints(store, "models/m", held.hand_over())
        for step in (4, 5, 6):
            second.save(step, ARRAYS, {"by": "second"}, keep=2)
        before = [*store.walk("models/m/index")]
        last.apply(store)
        with pytest.raises(TakenOver):
            first.save(7, ARRAYS, {"by": "first"}, keep=2)
        assert {entry.path for entry in store.walk("models/m/index")} == {entry.path for entry in before}
    # The first one's last checkpoint stays: deleted, it would have come back.
    labels = sorted(name.removesuffix(".json") for name in store.names("models/m/index"))
    assert [int(label.split("-")[1]) for label in labels] == [3, 5, 6]
    found = Checkpoints(store, "models/m").load()
    assert found is not None
    assert (found[0], found[2]) == (6, {"by": "second"})


def test_a_step_that_is_done_again_has_another_name(tmp_path: Path):
    store = Store(str(tmp_path))
    with Lease(store, "runs/m/lease", "training of model m") as held:
        kept = Checkpoints(store, "models/m", held.fence)
        kept.save(1, ARRAYS, {"try": 1}, keep=3)
        (damaged,) = (tmp_path / "models/m").glob("*.safetensors")
        damaged.write_bytes(b"half")
        kept.save(1, ARRAYS, {"try": 2}, keep=3)
        for step in (None, 1):
            found = kept.load(step)
            assert found is not None
            assert found[2] == {"try": 2}
            assert kept.damaged == []
