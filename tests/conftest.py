"""What the tests share: one Ray session of 2 CPUs, S3 through moto as a server on 127.0.0.1."""

from collections.abc import Iterator

import hypothesis
import pytest

from infra.cluster import connect
from infra.config import RayConfig

# Deadlines of single examples say nothing on a shared machine.
hypothesis.settings.register_profile("shared", deadline=None)
hypothesis.settings.load_profile("shared")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A local Ray that the jobs called in this process share."""
    with connect(RayConfig(num_cpus=2, object_store_bytes=256 << 20)):
        yield
