"""One worker: vectors do not depend on what is computed together, memory does not depend on the shard's size."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from hdpgmm.ragged import packed
from hdpgmm.represent import floored_log
from infra.errors import StorageError
from infra.root.records import Snapshot
from infra.root.songs import SongBlock, shard_blocks
from infra.storage.parquet import decode
from infra.storage.store import Store
from jobs.represent import worker as representer
from jobs.represent.model import batch_of, load_model, whitened
from jobs.represent.plan import Source, Unit, vectors_shard
from jobs.represent.worker import Part, Representer, batches
from tests.jobs.trees import clustered_songs, commit_songs, write_model

SONGS = clustered_songs(2, n_songs=24, n_clusters=5, dim=4, n_frames=30)


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Four shards of six songs, five and one in their row groups, and a model."""
    write_model(Store(str(tmp_path)), "m", packed(SONGS), 8)
    return commit_songs(tmp_path, SONGS, shards=4)


def sources(snapshot: Snapshot) -> list[Source]:
    return [Source(vectors_shard(item), item.path, 6, item.bytes) for item in snapshot.shards]


def worker(root: Path) -> Representer:
    return Representer(str(root), "vectors/m", "m", 3, "cpu")


def committed(root: Path, source: Source) -> pa.Table:
    store = Store(str(root))
    (path,) = (root / f"vectors/m/data/{source.name}").iterdir()
    return decode(store.read(str(path.relative_to(root))))


@pytest.mark.parametrize("most_bytes", [1, 3200, 1 << 25])
def test_vectors_are_those_of_each_song_alone(
    tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, most_bytes: int
):
    monkeypatch.setattr(representer, "BATCH_BYTES", most_bytes)
    a, b, c, d = sources(snapshot)
    assert [*worker(tmp_path).represent(Unit(((a, b, c), (d,))))][-1] == 24
    table = pa.concat_tables([committed(tmp_path, source) for source in (a, b, c, d)])
    assert table["track_id"].to_pylist() == [f"s{i:04}" for i in range(24)]
    model = load_model(Store(str(tmp_path)), "m")
    for song, row in zip(SONGS, table.to_pylist(), strict=True):
        found = batch_of(model, packed([song])).vectors
        assert (row["n_frames"], row["version"]) == (len(song), "1")
        for name, vector in (
            ("posterior_log", floored_log(found.posterior)),
            ("posterior_sqrt", found.posterior.sqrt()),
            ("soft_sqrt", found.soft.sqrt()),
            ("responsibility", found.responsibility),
            ("expected", found.expected),
        ):
            np.testing.assert_allclose(row[name], vector[0], atol=1e-5, rtol=1e-4, err_msg=name)
        assert row["log_likelihood"] == pytest.approx(
            found.log_likelihood.item() + model.whitening.log_det, abs=1e-4
        )
        np.testing.assert_allclose(np.array(row["responsibility"])[row["top_components"]], row["top_shares"])
        assert row["top_shares"] == sorted(row["responsibility"], reverse=True)[:3]


def test_what_is_committed_stays_and_the_rest_of_its_group_has_the_same_bits(
    tmp_path: Path, snapshot: Snapshot
):
    group = tuple(sources(snapshot))
    all_of_it = Unit((group,))
    assert [*worker(tmp_path).represent(all_of_it)] == [24]
    before = [committed(tmp_path, source) for source in group]
    for lost in group[1:3]:
        (tmp_path / f"vectors/m/commits/{lost.name}.json").unlink()
    assert [*worker(tmp_path).represent(all_of_it)] == [24]
    assert [committed(tmp_path, source) for source in group] == before
    assert [*worker(tmp_path).represent(all_of_it)] == []


def test_one_batch_is_read_ahead_and_no_more(tmp_path: Path, snapshot: Snapshot):
    reading, taken = worker(tmp_path), []
    enough = threading.Semaphore(0)

    def items() -> Iterator[list[Part]]:
        for number in range(9):
            taken.append(number)
            enough.release()
            yield [(str(number), None)]  # pyright: ignore

    for number, item in enumerate(reading._ahead(items())):
        assert item[0][0] == str(number)
        for _ in range(1 + (number == 0) if number < 8 else 0):
            enough.acquire(timeout=60)
        assert len(taken) == min(number + 2, 9)


def test_batches_are_consecutive_and_bounded():
    parts = [(str(i), block(frames)) for i, frames in enumerate([5, 4, 1, 12, 3, 3, 3, 3])]
    found = [[name for name, _ in batch] for batch in batches(parts, 80)]
    assert found == [["0", "1", "2"], ["3"], ["4", "5", "6"], ["7"]]
    assert [*batches([], 10)] == []


def block(frames: int) -> SongBlock:
    return SongBlock(["x"], ["1"], np.zeros((frames, 2), np.float32), np.array([frames]))


def test_whitened_frames_are_those_of_the_whitening(tmp_path: Path, snapshot: Snapshot):
    """Across the edge of a block."""
    model = load_model(Store(str(tmp_path)), "m")
    values = np.random.default_rng(0).normal(size=(9001, 4)).astype(np.float32)
    torch.testing.assert_close(
        whitened(model, packed([values])).values,
        torch.from_numpy(model.whitening(values)),
        atol=1e-6,
        rtol=1e-6,
    )


def test_a_lost_features_file_is_a_storage_error(tmp_path: Path, snapshot: Snapshot):
    (source, *_) = sources(snapshot)
    (tmp_path / source.path).unlink()
    with pytest.raises(StorageError, match="parquet"):
        [*worker(tmp_path).represent(Unit(((source,),)))]
    with pytest.raises(StorageError, match="absent"):
        [*shard_blocks(Store(str(tmp_path)), "absent.parquet")]


def test_a_shard_that_cannot_be_written_is_a_storage_error(
    tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise StorageError("full")

    monkeypatch.setattr(Store, "write", refuse)
    monkeypatch.setattr("infra.storage.retry.time.sleep", lambda _: None)
    with pytest.raises(StorageError, match="full"):
        [*worker(tmp_path).represent(Unit((tuple(sources(snapshot)),)))]
