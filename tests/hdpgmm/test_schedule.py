"""When what happens in a training: the number of first components."""

import pytest

from hdpgmm.schedule import first_components


@pytest.mark.parametrize(
    ("frames", "dependence", "songs", "dim", "expected"),
    [
        (1e9, 4.0, 10**6, 59, 256),  # enough of everything
        (1_041_570, 3.8, 122, 52, 61),  # two songs each
        (47_200, 2.0, 10_000, 59, 50),  # 8 dim independent frames each
        (100, 10.0, 3, 59, 8),  # never fewer
    ],
)
def test_first_components_are_what_the_corpus_can_tell_apart(
    frames: float, dependence: float, songs: int, dim: int, expected: int
) -> None:
    assert first_components(frames, dependence, songs, dim) == expected
