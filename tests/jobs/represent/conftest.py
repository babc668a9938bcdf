"""What the tests of representing share."""

from contextlib import nullcontext

import pytest

from infra.config import Config
from jobs.represent import job as represent
from jobs.represent.worker import Representer


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker, in this process."""

    def compute(config: Config, work: represent.Work, _: object) -> int:
        worker = Representer(
            config.root,
            work.tree.prefix,
            work.model.run,
            config.represent.top,
            "cpu",
            config.represent.without,
        )
        return sum([*worker.represent(unit)][-1] for unit in work.todo)

    monkeypatch.setattr(represent, "_by_workers", compute)
    monkeypatch.setattr(represent, "connect", lambda _: nullcontext())
