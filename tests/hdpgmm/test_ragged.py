"""Songs one after the other, against plain lists of arrays."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hdpgmm.ragged import Ragged, concat, offsets_of, packed, ragged

lengths = st.lists(st.integers(0, 4), max_size=8)


def songs_of(sizes: list[int]) -> list[np.ndarray]:
    frames = np.arange(2.0 * sum(sizes)).reshape(-1, 2)
    return np.split(frames, np.cumsum(sizes)[:-1]) if sizes else []


def together(songs: list[np.ndarray]) -> Ragged[np.ndarray]:
    sizes = np.array([len(song) for song in songs], np.int64)
    return ragged(sizes, np.concatenate([np.empty((0, 2)), *songs]))


def tensors(songs: Ragged[np.ndarray]) -> Ragged[torch.Tensor]:
    return Ragged(torch.from_numpy(songs.values), torch.from_numpy(songs.offsets))


def equal(found: Ragged, expected: list[np.ndarray]) -> bool:
    values, offsets = np.asarray(found.values), np.asarray(found.offsets)
    sizes = [len(song) for song in expected]
    whole = np.concatenate([np.empty((0, 2)), *expected])
    return values.tolist() == whole.tolist() and offsets.tolist() == [0, *np.cumsum(sizes)]


@given(lengths)
def test_songs_one_by_one_are_views(sizes: list[int]):
    songs = songs_of(sizes)
    for found in (together(songs), tensors(together(songs))):
        assert len(found) == len(songs)
        assert found.lengths.tolist() == sizes
        for song, expected in zip(found, songs, strict=True):
            assert np.array_equal(np.asarray(song), expected)
        for number, expected in enumerate(songs):
            assert np.array_equal(np.asarray(found[number]), expected)
        assert found.starts.tolist() == [sum(sizes[:number]) for number in range(len(sizes))]
    whole = together([np.ones((2, 2)), np.ones((3, 2))])
    whole[1][:] = 7.0
    assert whole.values[:, 0].tolist() == [1.0, 1.0, 7.0, 7.0, 7.0]
    assert np.shares_memory(whole[1:].values, whole.values)
    with pytest.raises(IndexError):
        whole[2]


@given(lengths, st.data())
def test_slices_takes_and_parts_are_those_of_a_list(sizes: list[int], data: st.DataObject):
    songs = songs_of(sizes)
    first, last = data.draw(st.integers(0, 9)), data.draw(st.integers(-3, 9))
    index = data.draw(st.lists(st.integers(0, len(songs) - 1), max_size=9)) if songs else []
    at_once = data.draw(st.integers(1, 4))
    for found in (together(songs), tensors(together(songs))):
        chosen = np.array(index, np.int64)
        own = chosen if isinstance(found.values, np.ndarray) else torch.from_numpy(chosen)
        assert equal(found[first:last], songs[first:last])
        assert equal(found.take(own), [songs[i] for i in index])  # pyright: ignore[reportArgumentType]
        parts = list(found.split(at_once))
        assert [len(part) for part in parts] == [
            len(songs[start : start + at_once]) for start in range(0, len(songs), at_once)
        ]
        if parts:
            assert equal(concat(parts), songs)


@given(lengths.filter(len))
def test_a_list_is_packed_and_lengths_may_be_of_any_kind(sizes: list[int]):
    songs = songs_of(sizes)
    tensor_songs = [torch.from_numpy(song) for song in songs]
    assert equal(packed(songs), songs)
    assert equal(packed(tensor_songs), songs)
    assert not np.shares_memory(packed(songs).values, songs[0])
    whole = torch.cat(tensor_songs)
    for given_lengths in (sizes, np.array(sizes, np.int32), torch.tensor(sizes)):
        found = ragged(given_lengths, whole)
        assert equal(found, songs)
        assert found.offsets.dtype == torch.int64
        assert (offsets_of(given_lengths).dtype, offsets_of(given_lengths)[-1]) == (np.int64, sum(sizes))


def test_what_is_no_part_is_refused():
    with pytest.raises(ValueError, match="at least one song"):
        packed([])
    with pytest.raises(ValueError, match="at least one part"):
        concat([])
    with pytest.raises(ValueError, match="have to follow each other, found a step of 2"):
        together([np.ones((2, 2))] * 4)[::2]
    with pytest.raises(ValueError, match="songs of 3 frames in all, found 2"):
        ragged(np.array([1, 2]), np.ones((2, 2)))
