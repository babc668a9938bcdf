"""The simple models see the same songs in the same order however the songs are packed and the shards are called."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from infra.config import EvaluateConfig
from infra.storage import Store
from jobs.evaluate_inputs import Inputs
from jobs.evaluate_vectors import Named, baseline_vectors, codebook_name
from tests.jobs.trees import clustered_songs, commit_songs

SETTINGS = EvaluateConfig(codewords=7)  # pyright: ignore[reportCallIssue]


def vectors(root: Path, songs: list[np.ndarray], wanted: list[str], **packing: object) -> Named:
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
        np.testing.assert_array_equal(matrix, second[name], err_msg=str(name))


def test_a_codebook_for_each_seed_and_its_name_before_it_is_made(tmp_path: Path) -> None:
    songs = clustered_songs(3, n_songs=4, n_clusters=9, dim=4, n_frames=12)
    snapshot = commit_songs(tmp_path, songs)
    inputs = Inputs(Store(str(tmp_path)), "default", "m", snapshot, snapshot, "features", pa.table({}))
    found = baseline_vectors(inputs, ["s0000", "s0002"], SETTINGS, seeds=(0, 1))
    name = codebook_name(inputs, SETTINGS)
    assert name == f"VQCodebook {sum(map(len, songs)) // 10}"
    assert set(found) == {
        ("G1", 0),
        *((f"{name} {kind}", seed) for kind in ("log", "sqrt") for seed in (0, 1)),
    }
    assert not np.array_equal(found[f"{name} sqrt", 0], found[f"{name} sqrt", 1])
    (other,) = [EvaluateConfig(codewords=7, seed=1)]  # pyright: ignore[reportCallIssue]
    again = baseline_vectors(inputs, ["s0000", "s0002"], other)
    np.testing.assert_array_equal(again[f"{name} sqrt", 0], found[f"{name} sqrt", 1])
