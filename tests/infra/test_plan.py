"""The order of songs: every song once an epoch, whatever the sizes; a pure function of seed and epoch."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdpgmm.training import batch_songs
from infra.ledger import SONGS
from infra.order import epoch_order, heldout_mask
from infra.plan import WINDOW_BATCHES, Plan

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


@given(group_lists, st.integers(0, 5), st.integers(0, 5), st.integers(1, 30))
def test_an_epoch_is_a_permutation(groups: list[int], seed: int, epoch: int, window: int) -> None:
    order = epoch_order(np.array(groups, dtype=np.int64), seed, epoch, window)
    assert sorted(order.tolist()) == list(range(len(groups)))


def test_epochs_and_seeds_differ_and_repeat() -> None:
    groups = np.repeat(np.arange(10), 20)
    orders = [epoch_order(groups, seed, epoch, 50) for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order.tolist()) for order in orders}) == 4
    assert epoch_order(groups, 1, 1, 50).tolist() == orders[3].tolist()


def test_a_row_group_is_read_in_one_stretch() -> None:
    groups = np.repeat(np.arange(40), 10)
    order = epoch_order(groups, 0, 0, 80)
    for group in range(40):
        places = np.flatnonzero(groups[order] == group)
        assert np.ptp(places) < 80


def test_songs_of_a_window_are_mixed() -> None:
    groups = np.repeat(np.arange(8), 10)
    first = groups[epoch_order(groups, 0, 0, 80)][:20]
    assert len(set(first.tolist())) > 4


@given(st.lists(st.integers(0, 9), min_size=3, max_size=60), st.integers(1, 9), st.integers(0, 20))
def test_batches_cover_each_training_song_once_and_resume_anywhere(
    groups: list[int], size: int, done: int
) -> None:
    plan = Plan(songs_table(groups), 0.2, 5, seed=3)
    whole = list(plan.batches(2, size, 0))
    assert list(plan.batches(2, size, done)) == whole[done:]
    picks = [pick for batch in whole[: plan.steps_per_epoch(size)] for pick in batch.picks]
    assert len(picks) == len(set(picks)) == plan.n_songs
    assert [batch.last for batch in whole].count(True) == 2
    assert not set(picks) & set(plan.heldout_batch().picks)
    assert plan.n_songs + len(plan.heldout) == len(groups)
    assert all(batch.n_frames == 7 * len(batch.picks) for batch in whole)


def test_row_groups_hold_the_training_songs() -> None:
    plan = Plan(songs_table([0, 0, 1, 4, 4, 4, 2]), 0.0, 5, seed=0)
    groups = plan.row_groups()
    assert all(len({pick[:2] for pick in picks}) == 1 for picks in groups)
    assert sorted(map(len, groups)) == [1, 1, 2, 3]


def test_neighbouring_batches_share_a_window() -> None:
    plan = Plan(songs_table([0] * 60), 0.0, 5, seed=0)
    windows = [batch.window for batch in plan.epoch(0, 2)]
    assert windows == [index // WINDOW_BATCHES for index in range(30)]


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
    probe = plan.probe_batch(64)
    assert len(set(probe.picks)) == 64
    assert not set(probe.picks) & set(plan.heldout_batch().picks)
    assert set(probe.picks) <= {pick for picks in plan.row_groups() for pick in picks}
    assert probe.n_frames == 7 * 64
    groups = [pick[:2] for pick in probe.picks]
    assert 10 <= len(set(groups)) <= 20  # a window of 256 songs is 13 to 15 of the 40 groups
    assert plan.probe_batch(64) == probe
    assert Plan(songs_table([*range(40)] * 20), 0.1, 1000, seed=3).probe_batch(64).picks != probe.picks


def test_probe_of_a_small_corpus_is_all_of_it() -> None:
    plan = Plan(songs_table([0, 0, 1, 4, 4, 4, 2]), 0.0, 5, seed=0)
    assert sorted(plan.probe_batch(100).picks) == sorted(
        pick for picks in plan.row_groups() for pick in picks
    )


@pytest.mark.parametrize(("n_songs", "size"), [(1, 16), (128, 16), (230, 32), (2000, 256), (10**6, 1024)])
def test_default_batch_size(n_songs: int, size: int) -> None:
    assert batch_songs(n_songs) == size
