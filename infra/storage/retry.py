"""Patience with a storage that fails for a moment."""

import time
from collections.abc import Callable
from typing import TypeVar

from infra.errors import StorageError

T = TypeVar("T")


def with_retries(call: Callable[[], T], attempts: int = 4, first_delay_seconds: float = 0.5) -> T:
    """The result of `call`, tried again after a StorageError with doubled delays; the last error passes."""
    for attempt in range(attempts - 1):
        try:
            return call()
        except StorageError:
            time.sleep(first_delay_seconds * 2**attempt)
    return call()
