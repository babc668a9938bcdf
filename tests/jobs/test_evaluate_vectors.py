"""The simple models see the same songs in the same order however the songs are packed and the shards are called."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from infra.config import EvaluateConfig
from infra.storage import Store
from jobs.evaluate_inputs import Inputs
from jobs.evaluate_vectors import baseline_vectors
from tests.jobs.trees import clustered_songs, commit_songs

SETTINGS = EvaluateConfig(codewords=7)  # pyright: ignore[reportCallIssue]


def vectors(
    root: Path, songs: list[np.ndarray], wanted: list[str], **packing: object
) -> dict[str, np.ndarray]:
    snapshot = commit_songs(root, songs, **packing)  # pyright: ignore[reportArgumentType]
    inputs = Inputs(Store(str(root)), "default", "m", snapshot, snapshot, "features", pa.table({}))
    return baseline_vectors(inputs, wanted, SETTINGS)


@pytest.mark.parametrize(
    "packing", [{"names": "hgfedcba"}, {"shards": 1, "group": 50}, {"shards": 5, "group": 2}]
)
def test_packing_and_names_of_shards_change_nothing(tmp_path: Path, packing: dict[str, object]) -> None:
    songs = clustered_songs(3, n_songs=30, n_clusters=9, dim=4, n_frames=40)
    wanted = [f"s{i:04d}" for i in range(0, 30, 2)]
    first, second = vectors(tmp_path / "a", songs, wanted), vectors(tmp_path / "b", songs, wanted, **packing)
    assert first.keys() == second.keys()
    for name, matrix in first.items():
        np.testing.assert_array_equal(matrix, second[name], err_msg=name)
