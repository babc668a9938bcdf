"""The order of songs: every song once an epoch, whatever the sizes; a pure function of seed and epoch."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdpgmm.data.order import epoch_windows, heldout_mask
from hdpgmm.ragged import offsets_of
from hdpgmm.schedule import batch_songs
from infra.root.schemas import SONGS
from infra.root.songs import read_columns
from infra.storage.parquet import encode
from infra.storage.store import Store
from jobs.train.feed.plan import COLUMNS, Batch, Places, Plan

group_lists = st.lists(st.integers(0, 9), max_size=60)


def songs_table(groups: list[int], frames: int = 7) -> pa.Table:
    """One song per entry, in row group entry % 3 of shard entry // 3, after the songs of the same group."""
    columns = {
        "track_id": [f"t{i:03d}" for i in range(len(groups))],
        "version": ["1"] * len(groups),
        "shard": [f"shard-{group // 3}" for group in groups],
        "path": [f"data/{group // 3}.parquet" for group in groups],
        "row_group": [group % 3 for group in groups],
        "row": [groups[:i].count(group) for i, group in enumerate(groups)],
        "n_frames": [frames] * len(groups),
    }
    return pa.table(columns, schema=SONGS)


def picks(plan: Plan, places: Places) -> list[tuple[str, int, int]]:
    """(path, row group, row) of every song."""
    columns = (plan.paths[places.shard], places.row_group, places.row)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def described(plan: Plan, batch: Batch) -> tuple[object, ...]:
    fields = (batch.epoch, batch.index, batch.last, batch.window, batch.n_frames)
    return *fields, *picks(plan, batch.places)


def starts_of(sizes: list[int]) -> np.ndarray:
    return offsets_of(sizes)


@given(st.lists(st.integers(1, 9), max_size=20), st.integers(0, 5), st.integers(0, 5), st.integers(1, 30))
def test_the_windows_of_an_epoch_are_a_permutation(
    sizes: list[int], seed: int, epoch: int, window: int
) -> None:
    windows = list(epoch_windows(starts_of(sizes), seed, epoch, window))
    assert sorted(song for part in windows for song in part.tolist()) == list(range(sum(sizes)))
    assert all(len(part) == window for part in windows[:-1])
    for skip in range(len(windows)):
        later = epoch_windows(starts_of(sizes), seed, epoch, window, skip)
        assert next(later).tolist() == windows[skip].tolist()


def test_epochs_and_seeds_differ_and_repeat() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(list(epoch_windows(starts_of([20] * 10), seed, epoch, 50))).tolist()

    orders = [order(seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(map(tuple, orders))) == 4
    assert order(1, 1) == orders[3]


def test_a_row_group_is_met_in_one_window_or_at_a_border() -> None:
    """Row groups of 7, windows of 80: one at each border is met twice, all others once."""
    windows = list(epoch_windows(starts_of([7] * 40), 0, 0, 80))
    met = [group for window in windows for group in set((window // 7).tolist())]
    assert len(met) <= 40 + len(windows) - 1
    assert set(met) == set(range(40))


def test_songs_of_a_window_are_mixed() -> None:
    first = next(epoch_windows(starts_of([10] * 8), 0, 0, 80))[:20] // 10
    assert len(set(first.tolist())) > 4


@given(
    st.lists(st.integers(0, 9), min_size=3, max_size=60),
    st.integers(1, 9),
    st.integers(0, 20),
    st.integers(0, 200),
)
def test_batches_cover_each_training_song_once_and_resume_anywhere(
    groups: list[int], size: int, done: int, window_frames: int
) -> None:
    plan = Plan(songs_table(groups), 0.2, 5, seed=3)
    whole = [described(plan, batch) for batch in plan.batches(2, size, window_frames, 0)]
    assert [described(plan, batch) for batch in plan.batches(2, size, window_frames, done)] == whole[done:]
    batches = list(plan.epoch(0, size, window_frames))
    found = [pick for batch in batches for pick in picks(plan, batch.places)]
    assert len(found) == len(set(found)) == plan.n_songs
    assert len(batches) == plan.steps_per_epoch(size)
    assert [batch.last for batch in batches] == [False] * (len(batches) - 1) + [True]
    assert not set(found) & set(picks(plan, plan.heldout_batch().places))
    assert plan.n_songs + len(plan.heldout) == len(groups)
    assert all(batch.n_frames == 7 * len(batch.places) for batch in batches)


@given(group_lists.filter(bool), st.integers(1, 5), st.integers(1, 4))
def test_ranks_share_a_batch(groups: list[int], ranks: int, part: int) -> None:
    plan = Plan(songs_table(groups), 0.0, 5, seed=0)
    (batch,) = plan.epoch(0, len(groups), 1)
    shares = [batch.share(rank, ranks, part).places for rank in range(ranks)]
    found = [picks(plan, places) for places in shares]
    assert sorted(pick for share in found for pick in share) == sorted(picks(plan, batch.places))
    assert found[0][:part] == picks(plan, batch.places)[:part]


def test_pieces_of_a_batch_are_the_batch_in_order() -> None:
    plan = Plan(songs_table([0, 1, 1, 2, 5, 5, 5]), 0.0, 5, seed=0)
    (batch,) = plan.epoch(0, 7, 1)
    pieces = list(batch.pieces(3))
    assert [len(piece.places) for piece in pieces] == [3, 3, 1]
    assert [piece.window for piece in pieces] == [0, 1, 2]
    assert [pick for piece in pieces for pick in picks(plan, piece.places)] == picks(plan, batch.places)


@pytest.mark.parametrize("subset", [None, 25])
def test_rows_of_the_table_are_those_of_the_songs_that_moves_are_judged_on(subset: int | None) -> None:
    table = songs_table([*range(20), *range(20)])
    plan = Plan(table, 0.2, 5, seed=1, subset=subset)
    rows, places = plan.probe_rows(9), plan.probe_batch(9).places
    assert len(rows) == 9
    for name, found in (("row_group", places.row_group), ("row", places.row)):
        assert table[name].take(pa.array(rows)).to_pylist() == found.tolist()
    assert table["path"].take(pa.array(rows)).to_pylist() == plan.paths[places.shard].tolist()


def test_a_window_is_as_many_whole_batches_as_its_frames_allow() -> None:
    plan = Plan(songs_table([0] * 60), 0.0, 5, seed=0)
    assert [batch.window for batch in plan.epoch(0, 2, 7 * 8)] == [index // 4 for index in range(30)]
    assert [batch.window for batch in plan.epoch(0, 20, 7 * 8)] == [0, 1, 2]


def test_row_groups_hold_the_training_songs() -> None:
    plan = Plan(songs_table([0, 0, 1, 4, 4, 4, 2]), 0.0, 5, seed=0)
    groups = [picks(plan, plan.row_group(number)) for number in range(plan.n_row_groups)]
    assert all(len({pick[:2] for pick in members}) == 1 for members in groups)
    assert sorted(map(len, groups)) == [1, 1, 2, 3]


def test_some_row_groups_are_random_ones_each_once() -> None:
    plans = [Plan(songs_table([*range(40)]), 0.0, 5, seed) for seed in range(200)]
    chosen = [plan.some_row_groups(10).tolist() for plan in plans]
    assert all(sorted(set(some)) == some and len(some) == 10 for some in chosen)
    counts = np.bincount(np.concatenate(chosen), minlength=40)
    assert abs(counts - 50).max() < 5 * np.sqrt(50 * 0.75)
    assert plans[0].some_row_groups(100).tolist() == list(range(40))


def test_the_table_is_read_without_what_nobody_needs(any_root: str) -> None:
    """From a file, with its paths as a dictionary, the plan is that of the table itself."""
    table = songs_table([3, 1, 1, 0, 4, 4, 2, 3])
    Store(any_root).write("songs.parquet", encode(table, [5, 3]))
    read = read_columns(Store(any_root), "songs.parquet", COLUMNS)
    assert sorted(read.column_names) == sorted(COLUMNS)
    plans = [Plan(songs, 0.2, 5, seed=1) for songs in (table, read)]
    one, other = ([described(plan, batch) for batch in plan.epoch(0, 3, 20)] for plan in plans)
    assert one == other


def test_heldout_share_is_stable_and_bounded() -> None:
    names = [f"track {i}" for i in range(2000)]
    mask = heldout_mask(names, 0.1, 10_000, seed=0)
    assert mask.sum() == pytest.approx(200, abs=4 * np.sqrt(180))
    assert (heldout_mask(names[:1500], 0.1, 10_000, seed=0) == mask[:1500]).all()
    assert heldout_mask(names, 0.1, 50, seed=0).sum() < 100
    assert (heldout_mask(names, 0.1, 10_000, seed=1) != mask).any()


@pytest.mark.parametrize("n_songs", [2, 3, 5])
def test_heldout_leaves_songs_on_both_sides(n_songs: int) -> None:
    for seed in range(20):
        mask = heldout_mask([str(i) for i in range(n_songs)], 0.05, 256, seed)
        assert 0 < mask.sum() < n_songs
    assert not heldout_mask(["a", "b"], 0.0, 256, 0).any()
    assert not any(heldout_mask([name], 0.9, 256, 0).any() for name in "abcdefgh")


def test_probe_is_some_training_songs_from_few_row_groups() -> None:
    """The same each time, and of every row group in its window a fair share."""
    plan = Plan(songs_table(sorted([*range(40)] * 20)), 0.1, 1000, seed=2)
    probe = picks(plan, plan.probe_batch(64).places)
    assert len(set(probe)) == 64
    assert not set(probe) & set(picks(plan, plan.heldout_batch().places))
    assert plan.probe_batch(64).n_frames == 7 * 64
    groups = [pick[:2] for pick in probe]
    assert 10 <= len(set(groups)) <= 20  # a window of 256 songs is 13 to 15 of the 40 groups
    assert picks(plan, plan.probe_batch(64).places) == probe
    other = Plan(songs_table([*range(40)] * 20), 0.1, 1000, seed=3)
    assert picks(other, other.probe_batch(64).places) != probe


def test_probe_of_a_small_corpus_is_all_of_it() -> None:
    plan = Plan(songs_table([0, 0, 1, 4, 4, 4, 2]), 0.0, 5, seed=0)
    (epoch,) = plan.epoch(0, 100, 1)
    assert sorted(picks(plan, plan.probe_batch(100).places)) == sorted(picks(plan, epoch.places))


@pytest.mark.parametrize(("n_songs", "size"), [(1, 16), (128, 16), (230, 32), (2000, 256), (10**6, 1024)])
def test_default_batch_size(n_songs: int, size: int) -> None:
    assert batch_songs(n_songs) == size
