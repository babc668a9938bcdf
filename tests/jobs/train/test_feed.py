"""Feeding: every song's own frames, the same bits whoever makes them, within the budget of bytes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch

from hdpgmm.data.survey import Survey
from hdpgmm.data.whitening import Whitening, moments, whitening
from hdpgmm.ragged import Ragged, ragged
from infra.errors import StorageError
from infra.root.records import Snapshot
from infra.root.songs import SongBlock, read_columns
from infra.storage.store import Store
from jobs.train import survey
from jobs.train.events import Surveyed
from jobs.train.feed import worker as data_worker
from jobs.train.feed.feed import Feed
from jobs.train.feed.plan import COLUMNS, Batch, Places, Plan
from jobs.train.feed.worker import DataWorker
from jobs.train.survey import SnapshotSurvey
from tests.jobs.trees import clustered_songs, commit_songs

pytestmark = pytest.mark.ray

N_SONGS, DIM = 60, 5
SONGS = clustered_songs(0, n_songs=N_SONGS, n_clusters=6, dim=DIM, n_frames=20)
MOMENTS = moments(np.concatenate(SONGS))
WHITE = whitening(MOMENTS)
Made = list[tuple[bytes, bytes]]


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Snapshot]:
    """12 row groups of 5 songs in 3 shards."""
    root = tmp_path_factory.mktemp("features")
    return root, commit_songs(root, SONGS)


@pytest.fixture
def plan(committed: tuple[Path, Snapshot]) -> Plan:
    root, snapshot = committed
    return Plan(read_columns(Store(str(root)), snapshot.songs, COLUMNS), 0.2, 256, seed=0)


def actors(root: Path, number: int) -> list[Any]:
    actor: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(DataWorker)
    return [actor.remote(str(root)) for _ in range(number)]


def made(feed: Feed, plan: Plan) -> Made:
    """Two epochs of batches of 8 songs, in windows of two batches."""
    batches = plan.batches(2, 8, 2 * 8 * 30, 0)
    return [bytes_of(songs) for _, songs in feed.batches(batches, WHITE)]


def bytes_of(songs: Ragged[torch.Tensor]) -> tuple[bytes, bytes]:
    return songs.values.numpy().tobytes(), songs.offsets.numpy().tobytes()


@pytest.fixture(scope="module")
def one_worker(committed: tuple[Path, Snapshot], ray_session: None) -> Made:
    root, snapshot = committed
    plan = Plan(read_columns(Store(str(root)), snapshot.songs, COLUMNS), 0.2, 256, seed=0)
    return made(Feed(actors(root, 1), plan.paths, 1 << 30), plan)


def test_a_batch_is_its_songs_whitened(committed: tuple[Path, Snapshot], plan: Plan) -> None:
    """Where songs lie is known here from how they were committed: 20 a shard, 5 a row group, in order."""
    worker = DataWorker(str(committed[0]))
    for batch in plan.epoch(0, 8, 1000):
        places = batch.places
        numbers = 20 * places.shard + 5 * places.row_group + places.row
        songs = worker.batch(plan.paths, places, WHITE)
        assert songs.lengths.tolist() == [len(SONGS[number]) for number in numbers]
        wanted = np.concatenate([SONGS[number] for number in numbers])
        np.testing.assert_allclose(songs.values, (wanted - WHITE.mean) @ WHITE.transform, atol=1e-5)


@pytest.mark.parametrize("workers", [3, 6])
def test_workers_do_not_change_a_bit(
    committed: tuple[Path, Snapshot], plan: Plan, one_worker: Made, workers: int
) -> None:
    feed = Feed(actors(committed[0], workers), plan.paths, 20_000)
    assert made(feed, plan) == one_worker


def test_a_worker_killed_in_the_middle_changes_nothing(
    committed: tuple[Path, Snapshot], plan: Plan, one_worker: Made
) -> None:
    workers = actors(committed[0], 2)
    feed = Feed(workers, plan.paths, 20_000)
    found: Made = []
    for number, (_, songs) in enumerate(feed.batches(plan.batches(2, 8, 480, 0), WHITE)):
        if number in (2, 5):
            ray.kill(workers[number % 2], no_restart=False)
        found.append(bytes_of(songs))
    assert found == one_worker


class StandIn:
    """In an actor's place: has every batch ready at once, and lists the bytes of what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.batch = self

    def remote(self, paths: Any, places: Places, shared: Any) -> Any:
        songs = ragged(places.n_frames, np.zeros((int(places.n_frames.sum()), DIM), np.float32))
        self.asked.append(songs.nbytes)
        return ray.put(songs)


@pytest.mark.parametrize(("budget", "alone"), [(20_000, False), (9_000, False), (4_000, True), (1, True)])
def test_bytes_ahead_stay_within_the_budget(plan: Plan, ray_session: None, budget: int, alone: bool) -> None:
    """What was asked for and not yet released; batches of 8 songs are 3 to 7 kB, one larger than all may pass alone."""
    worker = StandIn()
    feed = Feed([worker], plan.paths, budget)
    released = 0
    for number, _ in enumerate(feed.batches(plan.batches(2, 8, 480, 0), WHITE), start=1):
        held = worker.asked[released:]
        assert sum(held) <= budget or (alone and len(held) == 1)
        assert sum(held) <= feed.max_bytes_ahead
        released = number
    assert len(worker.asked) == 2 * plan.steps_per_epoch(8)
    assert feed.max_bytes_ahead == pytest.approx(budget, rel=0.5) or alone
    assert feed.max_bytes_ahead <= (max(worker.asked) if alone else budget)


def test_two_readings_at_once_share_the_budget(plan: Plan, ray_session: None) -> None:
    """One keeps its part while the other takes its own; what was there is the sum of both."""
    worker = StandIn()
    feed = Feed([worker], plan.paths, 40_000)
    steps = feed.batches(plan.batches(2, 8, 480, 0), WHITE, share=0.75)
    next(steps)
    held = sum(worker.asked)
    assert 15_000 < held <= 30_000
    assert len([*feed.batches(plan.batches(1, 8, 480, 0), WHITE, share=0.25)]) == plan.steps_per_epoch(8)
    assert held < feed.max_bytes_ahead <= 40_000


def test_a_feed_that_is_left_early_begins_again_with_its_whole_budget(plan: Plan, ray_session: None) -> None:
    worker = StandIn()
    feed = Feed([worker], plan.paths, 20_000)
    next(feed.batches(plan.batches(1, 8, 480, 0), WHITE))
    first = len(worker.asked)
    next(feed.batches(plan.batches(1, 8, 480, 0), WHITE))
    assert len(worker.asked) == 2 * first


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The row groups that data workers in this process read."""
    read_block, listed = data_worker.read_block, []

    def listing(store: Store, path: str, group: int, *rest: Any) -> SongBlock:
        listed.append((path, group))
        return read_block(store, path, group, *rest)

    monkeypatch.setattr(data_worker, "read_block", listing)
    return listed


def test_a_row_group_is_read_once_by_whoever_has_its_window(
    committed: tuple[Path, Snapshot], plan: Plan, reads: list[tuple[str, int]]
) -> None:
    """And again only at a window's border; the cache, smaller than the epoch, holds a window."""
    workers = [DataWorker(str(committed[0]), cache_bytes=16_000) for _ in range(3)]
    windows = 0
    for batch in plan.epoch(0, 4, 8 * 30):
        worker = workers[batch.window % 3]
        worker.batch(plan.paths, batch.places, WHITE)
        assert sum(kept.nbytes for kept in worker._cache.values()) <= 16_000
        windows = batch.window + 1
    assert windows > 3
    assert len(reads) <= 12 + windows - 1
    assert set(reads) == {(path, group) for path in plan.paths.tolist() for group in range(4)}


def test_the_cache_is_bounded_and_forgets_what_was_whitened_otherwise(
    committed: tuple[Path, Snapshot], plan: Plan, reads: list[tuple[str, int]]
) -> None:
    worker = DataWorker(str(committed[0]), cache_bytes=1 << 20)
    places = plan.row_group(0)
    before = worker.batch(plan.paths, places, WHITE).values
    worker.batch(plan.paths, places, WHITE)
    assert len(reads) == 1
    after = worker.batch(plan.paths, places, Whitening(WHITE.mean, 2.0 * WHITE.transform)).values
    assert len(reads) == 2
    np.testing.assert_allclose(after, 2.0 * before, rtol=1e-6)
    worker.cache_bytes = 1
    for number in range(1, 5):
        worker.batch(plan.paths, plan.row_group(number), WHITE)
        assert len(worker._cache) == 1


def test_another_length_than_the_table_says_is_an_error(committed: tuple[Path, Snapshot], plan: Plan) -> None:
    places = plan.row_group(0)
    wrong = Places(places.shard, places.row_group, places.row, places.n_frames + 1)
    with pytest.raises(
        StorageError, match=r"row group 0, row 0: not the .* frames that the songs table says"
    ):
        DataWorker(str(committed[0])).batch(plan.paths, wrong, WHITE)


def surveyed(root: Path, snapshot: Snapshot, plan: Plan, workers: int = 2) -> tuple[Survey, int]:
    """A survey for about 100 frames, and how many row groups it read."""
    running = SnapshotSurvey(Store(str(root)), snapshot.songs, plan).run(
        Feed(actors(root, workers), plan.paths, 1), 100
    )
    ticks: list[Surveyed] = []
    while True:
        try:
            ticks.append(next(running))
        except StopIteration as end:
            assert ticks == [Surveyed(number, len(ticks)) for number in range(1, len(ticks) + 1)]
            return end.value, len(ticks)


def bits(survey: Survey) -> Iterator[bytes]:
    assert survey.moments is not None
    yield from (part.tobytes() for part in (survey.moments.mean, survey.moments.scatter, survey.sample))
    yield bytes(survey.moments.count)
    assert survey.lagged is not None
    yield from (part.tobytes() for part in (survey.lagged.products, survey.lagged.pairs))


def test_moments_are_kept_and_a_second_survey_reads_some_row_groups_only(
    tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "SAMPLE_GROUPS", 6)
    snapshot = commit_songs(tmp_path, SONGS)
    plan = Plan(read_columns(Store(str(tmp_path)), snapshot.songs, COLUMNS), 0.2, 256, seed=0)
    first, groups = surveyed(tmp_path, snapshot, plan)
    again, sampled = surveyed(tmp_path, snapshot, plan, workers=3)
    assert (groups, sampled) == (plan.n_row_groups, 6)
    assert list(bits(first)) == list(bits(again))
    heldout = {20 * shard + 5 * group + row for shard, group, row in _numbers(plan.heldout_batch().places)}
    frames = np.concatenate([song for number, song in enumerate(SONGS) if number not in heldout])
    assert first.moments is not None
    assert first.moments.count == len(frames)
    np.testing.assert_allclose(first.moments.scatter / len(frames), np.cov(frames.T, bias=True), rtol=1e-9)
    known = {frame.tobytes() for frame in frames}
    assert all(frame.tobytes() in known for frame in first.sample)
    assert 60 < len(first.sample) < 140  # 100 frames wanted, each of about 750 by chance
    assert first.lagged is not None
    assert len(first.sample) < first.lagged.pairs[0] < len(frames)  # all frames of the row groups sampled


def test_moments_of_other_songs_or_damaged_ones_are_not_taken(tmp_path: Path, ray_session: None) -> None:
    snapshot = commit_songs(tmp_path, SONGS)
    songs = read_columns(Store(str(tmp_path)), snapshot.songs, COLUMNS)
    plan, other = (Plan(songs, 0.2, 256, seed) for seed in (0, 1))
    first, _ = surveyed(tmp_path, snapshot, plan)
    different, _ = surveyed(tmp_path, snapshot, other)
    assert different.moments is not None
    assert first.moments is not None
    assert different.moments.count != first.moments.count
    for file in tmp_path.glob("features/*/moments/*/*.safetensors"):
        file.write_bytes(file.read_bytes()[:-1])
    again, _ = surveyed(tmp_path, snapshot, plan)
    assert list(bits(again)) == list(bits(first))


def _numbers(places: Places) -> list[tuple[int, int, int]]:
    return list(zip(places.shard.tolist(), places.row_group.tolist(), places.row.tolist(), strict=True))


def test_a_batch_of_no_songs_is_empty(committed: tuple[Path, Snapshot], plan: Plan) -> None:
    """As a rank has it whose part of a short mini-batch is none."""
    (batch,) = plan.epoch(0, 100, 1)
    none: Batch = batch.share(1, 2, 128)
    songs = DataWorker(str(committed[0])).batch(plan.paths, none.places, WHITE)
    assert (songs.values.shape, songs.offsets.tolist()) == ((0, DIM), [0])
