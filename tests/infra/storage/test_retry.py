"""Patience with a storage."""

import pytest

from infra.errors import StorageError
from infra.storage import retry
from infra.storage.retry import with_retries


class Flaky:
    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error, self.calls = failures, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "done"


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    delays: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", delays.append)
    return delays


def test_it_waits_longer_each_time(slept: list[float]):
    assert with_retries(Flaky(3, StorageError("busy"))) == "done"
    assert slept == [0.5, 1.0, 2.0]


def test_it_gives_up_with_the_last_error(slept: list[float]):
    call = Flaky(9, StorageError("busy"))
    with pytest.raises(StorageError, match="busy"):
        with_retries(call)
    assert call.calls == 4


def test_other_errors_pass_at_once(slept: list[float]):
    call = Flaky(1, FileNotFoundError())
    with pytest.raises(FileNotFoundError):
        with_retries(call)
    assert (call.calls, slept) == (1, [])
