"""The simple models see the same songs in the same order however the songs are packed and the shards are called."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evaluation.baselines.codebook import VQCodebook
from evaluation.baselines.g1 import G1
from hdpgmm.kinds.kind import Kind
from infra.config import EvaluateConfig
from infra.errors import ConfigError
from infra.storage.store import Store
from jobs.evaluate.inputs import Inputs, find_inputs
from jobs.evaluate.sources import read_vectors
from jobs.evaluate.vectors import Named, baseline_shares, baseline_vectors, model_vectors, n_sampled
from tests.jobs.scored_roots import make_songs, write_root
from tests.jobs.trees import clustered_songs, commit_songs

SETTINGS = EvaluateConfig(codewords=7)  # pyright: ignore[reportCallIssue]
BOOK = VQCodebook(SETTINGS.model_dump())


def vectors(root: Path, songs: list[np.ndarray], wanted: list[str], **packing: object) -> Named:
    snapshot = commit_songs(root, songs, **packing)  # pyright: ignore[reportArgumentType]
    inputs = Inputs(Store(str(root)), "default", "m", snapshot, snapshot, "features", pa.table({}))
    return baseline_vectors(inputs, wanted, SETTINGS, [(G1(), 0), (BOOK, 0)])


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
    found = baseline_vectors(inputs, ["s0000", "s0002"], SETTINGS, [(G1(), 0), (BOOK, 0), (BOOK, 1)])
    name = BOOK.name(n_sampled(inputs, SETTINGS))
    assert name == f"VQCodebook {sum(map(len, songs)) // 10}"
    assert set(found) == {
        ("G1", 0),
        *((f"{name} {kind}", seed) for kind in ("log", "sqrt") for seed in (0, 1)),
    }
    assert not np.array_equal(found[f"{name} sqrt", 0], found[f"{name} sqrt", 1])
    (other,) = [EvaluateConfig(codewords=7, seed=1)]  # pyright: ignore[reportCallIssue]
    again = baseline_vectors(inputs, ["s0000", "s0002"], other, [(BOOK, 0)])
    np.testing.assert_array_equal(again[f"{name} sqrt", 0], found[f"{name} sqrt", 1])
    ((known, shares),) = baseline_shares(inputs, ["s0000", "s0002"], SETTINGS).items()
    assert known == name
    np.testing.assert_array_equal(np.sqrt(shares), found[f"{name} sqrt", 0])


def vector_file(folder: Path, text: str) -> str:
    (folder / "v.csv").write_text(text)
    return str(folder / "v.csv")


def test_others_vectors_are_matched_like_labels(tmp_path: Path) -> None:
    """R's row numbers name nobody; a track that is not wanted keeps its row."""
    file = vector_file(tmp_path, '"","id","v1"\n"1",2,.2\n"2",3,.3\n"3",1,.1\n')
    assert read_vectors(file, ["x/1.mp3", "x/2.mp3"], ["x/1.mp3", "x/2.mp3", "x/3.mp3"]).tolist() == [
        [3, 0.1],
        [1, 0.2],
    ]
    file = vector_file(tmp_path, "path,v\nB/1.wav,2\nA/1.wav,1\n")
    assert read_vectors(file, ["A/1.mp3"], ["A/1.mp3", "B/1.mp3"]).tolist() == [[1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,v\n1.wav,1\n",
            r"1 of 1 rows fit more than one track .* or 'B/1.mp3' \(column path\)",
        ),
        ("path,v\nC/1.wav,1\nA/1.wav,2\n", None),
        (
            "path,v\nB/1.wav,1\n1.wav,2\n",
            r"have no vector, .* \(column path; 1 of 2 rows fit more than one track",
        ),
        ("path,v\nx/A/1.wav,1\ny/A/1.wav,2\n", r"2 of 2 rows want a track that another one fits as well"),
        ("path,file,v\nA/1.wav,B/1.wav,1\n", None),
        (
            "file,filename,v\nA/1.wav,B/1.wav,1\nB/1.wav,A/1.wav,1\n",
            "they disagree: file .* call it track_id",
        ),
    ],
)
def test_vectors_of_nobody_are_refused(tmp_path: Path, text: str, message: str | None) -> None:
    listed, file = ["A/1.mp3", "B/1.mp3"], vector_file(tmp_path, text)
    if message is None:
        assert read_vectors(file, ["A/1.mp3"], listed).shape == (1, 1)
        return
    with pytest.raises(ConfigError, match=message):
        read_vectors(file, ["A/1.mp3"], listed)


def test_vectors_that_lack_a_kind_are_told_of(tmp_path: Path) -> None:
    songs = make_songs(6)
    store = write_root(tmp_path, songs)
    inputs = find_inputs(store, "default", "m1")
    kind = Kind("newer_kind", "of a later version", lambda batch: batch.vectors.soft, row="newer")
    with pytest.raises(ConfigError, match="vectors without newer_kind: of an older version; delete"):
        model_vectors(inputs, [song.track_id for song in songs], [kind])
