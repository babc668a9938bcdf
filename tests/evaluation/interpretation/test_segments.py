"""Segments: the planted window, one per song, from different groups."""

import numpy as np
import pytest

from evaluation.interpretation.segments import Window, best_window, candidates, choose_segments


def test_the_planted_window_is_found():
    responsibility = np.full(200, 0.1)
    responsibility[57:77] = 0.9
    window = best_window("s", responsibility, 20)
    assert (window.start, window.stop) == (57, 77)
    assert window.share == pytest.approx(0.9)


def test_a_song_shorter_than_the_window_is_taken_whole():
    window = best_window("s", np.array([0.2, 0.4]), 10)
    assert (window.start, window.stop, window.share) == (0, 2, pytest.approx(0.3))


def test_candidates_take_every_group_before_second_songs():
    share = np.array([0.9, 0.8, 0.7, 0.1, 0.05])
    groups, ids = ["a", "a", "a", "b", None], list("vwxyz")
    assert candidates(share, groups, ids, 3, 0.0) == [0, 3, 4]
    assert candidates(share, groups, ids, 5, 0.0) == [0, 3, 4, 1, 2]
    assert candidates(share, groups, ids, 3, 0.1) == [0, 3, 1]


def windows(**shares: float) -> list[Window]:
    return [Window(name, 0, 9, share) for name, share in shares.items()]


def test_segments_come_from_different_groups_while_there_are_any():
    found = windows(a1=0.9, a2=0.8, b1=0.5, c1=0.3)
    groups: dict[str, str | None] = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
    assert [w.track_id for w in choose_segments(found, groups, 3)] == ["a1", "b1", "c1"]
    assert [w.track_id for w in choose_segments(found[:3], groups, 3)] == ["a1", "b1", "a2"]


def test_a_song_gives_one_segment_and_unknown_groups_do_not_clash():
    found = [*windows(x=0.9, y=0.8), Window("x", 20, 29, 0.85)]
    chosen = choose_segments(found, {"x": None, "y": None}, 3)
    assert [w.track_id for w in chosen] == ["x", "y"]
