"""Songs side by side: each once, its frames in order, next to songs of about its length."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hdpgmm.local_step.groups import groups, partition
from hdpgmm.ragged import Ragged, ragged

song_lengths = st.lists(st.one_of(st.integers(0, 3), st.integers(0, 400)), max_size=60)
limits = st.integers(1, 2000)


def _batch(lengths: list[int]) -> Ragged[Tensor]:
    """Frames (frame, 2), each different from every other and none zero."""
    frames = torch.arange(1.0, 1 + sum(lengths))
    return ragged(lengths, torch.stack([frames, -frames], dim=1))


@given(song_lengths, limits)
def test_every_song_with_frames_is_in_one_group(lengths: list[int], most: int):
    found = list(itertools.chain(*partition(lengths, most)))
    assert sorted(found) == [song for song, length in enumerate(lengths) if length]


@given(song_lengths, limits)
def test_padding_is_at_most_an_eighth(lengths: list[int], most: int):
    """Of any song, so of all of them."""
    for group in partition(lengths, most):
        own = [lengths[song] for song in group]
        assert own == sorted(own)
        assert own[-1] <= 1.125 * own[0]


@given(song_lengths, limits)
def test_a_group_has_at_most_so_many_frames_or_one_song(lengths: list[int], most: int):
    for group in partition(lengths, most):
        assert len(group) == 1 or len(group) * max(lengths[song] for song in group) <= most


@given(song_lengths, limits)
def test_no_group_could_take_the_next_ones_first_song(lengths: list[int], most: int):
    for one, two in itertools.pairwise(partition(lengths, most)):
        longest = lengths[two[0]]
        assert (len(one) + 1) * longest > most or longest > 1.125 * lengths[one[0]]


@given(song_lengths, limits)
def test_a_group_holds_its_songs_frames_in_order_and_zeros(lengths: list[int], most: int):
    songs = _batch(lengths)
    seen = []
    for group in groups(songs, most):
        for song, frames, mask in zip(group.songs.tolist(), group.values, group.mask, strict=True):
            seen.append(song)
            assert mask.tolist() == [1.0] * lengths[song] + [0.0] * (len(mask) - lengths[song])
            assert torch.equal(frames[: lengths[song]], songs[song])
            assert not bool(frames[lengths[song] :].any())
    assert sorted(seen) == [song for song, length in enumerate(lengths) if length]


def test_an_eighth_more_is_the_limit():
    assert list(partition([46, 40, 45], 1000)) == [[1, 2], [0]]


def test_groups_follow_from_the_lengths_alone():
    lengths = [40, 3, 0, 44, 41, 3, 90]
    assert list(partition(lengths, 130)) == [[1, 5], [0, 4], [3], [6]]
    assert list(partition(lengths, 132)) == [[1, 5], [0, 4, 3], [6]]
    frames = _batch(lengths).values
    one, two = (list(groups(ragged(lengths, some), 132)) for some in (frames, torch.flip(frames, [0])))
    assert [a.songs.tolist() for a in one] == [b.songs.tolist() for b in two] == [[1, 5], [0, 4, 3], [6]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_group_is_of_the_frames_type(dtype: torch.dtype):
    (group,) = groups(ragged([3, 3], _batch([3, 3]).values.to(dtype)), 100)
    assert (group.values.dtype, group.mask.dtype, group.songs.dtype) == (dtype, dtype, torch.int64)


def test_no_frames_no_groups():
    assert list(groups(ragged([0, 0], torch.empty(0, 2)), 10)) == []
    assert list(groups(ragged([], torch.empty(0, 2)), 10)) == []
