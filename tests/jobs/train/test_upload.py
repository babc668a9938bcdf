"""The way to the device: nothing is copied on a CPU; elsewhere one item is made ahead, in order, errors included."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from hdpgmm.ragged import Ragged
from jobs.train.feed.plan import Batch, Places
from jobs.train.feed.upload import loaded, one_ahead

NOWHERE = Places(*(np.zeros(1, np.int32) for _ in range(4)))


def test_on_a_cpu_the_tensors_are_the_arrays(recwarn: pytest.WarningsRecorder) -> None:
    values, offsets = np.ones((3, 2), np.float32), np.array([0, 3])
    values.setflags(write=False)
    batch = Batch(0, 0, True, 0, NOWHERE)
    ((same, songs),) = loaded([(batch, Ragged(values, offsets))], torch.device("cpu"))
    assert same is batch
    assert (songs.values.data_ptr(), songs.offsets.data_ptr()) == (values.ctypes.data, offsets.ctypes.data)
    assert not recwarn.list


def test_the_next_one_is_made_while_the_caller_is_busy() -> None:
    """The second is asked for and made before the caller comes back for it, the third is not asked for."""
    asked, made = [], threading.Event()

    def items() -> Iterator[int]:
        for number in range(4):
            asked.append(number)
            yield number

    def make(number: int) -> int:
        if number == 1:
            made.set()
        return 10 * number

    results = one_ahead(items(), make)
    assert next(results) == 0
    assert made.wait(60)
    assert asked == [0, 1]
    assert list(results) == [10, 20, 30]


def test_an_error_comes_where_its_item_would() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise ValueError("the third")
        return number

    results = one_ahead(range(5), make)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(results)


def test_nothing_is_nothing() -> None:
    assert list(one_ahead([], str)) == []
