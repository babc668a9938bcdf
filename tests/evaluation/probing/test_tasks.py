"""Which songs and labels take part, counted by hand."""

import numpy as np
import pytest

from evaluation.probing.tasks import Skipped, Task, multi_label, single_label

IDS = [f"song{i}.wav" for i in range(8)]
STYLES = ["rock", "rock", "jazz", "jazz", "jazz", None, "polka", "rock"]


def task_of(made: Task | Skipped) -> Task:
    assert isinstance(made, Task), made
    return made


def test_a_rare_label_and_a_song_without_one_are_left_out_and_reported():
    task = task_of(single_label("style", IDS, STYLES, None, 2))
    assert task.classes == ("jazz", "rock")
    assert task.songs == tuple(IDS[i] for i in (0, 1, 2, 3, 4, 7))
    assert task.targets.tolist() == [1, 1, 0, 0, 0, 1]
    assert task.groups is None
    assert any("polka (1)" in note for note in task.notes)
    assert any("1 songs without a label" in note for note in task.notes)


def test_a_label_of_one_group_cannot_be_tested():
    groups = ["a", "b", "c", "c", "c", "x", "y", "a"]
    made = single_label("style", [*IDS, "s8", "s9"], [*STYLES, "folk", "folk"], [*groups, "p", "q"], 2)
    task = task_of(made)
    assert task.classes == ("folk", "rock")
    assert task.groups is not None
    assert len(np.unique(task.groups)) == 4
    assert any("jazz (3)" in note and "two groups" in note for note in task.notes)


def test_groups_that_are_the_labels_are_given_up_with_the_reason():
    groups = [style or "none" for style in STYLES]
    task = task_of(single_label("style", IDS, STYLES, groups, 2))
    assert task.groups is None
    assert task.classes == ("jazz", "rock")
    assert "fewer than two labels occur in two groups" in task.notes[0]


def test_songs_of_unknown_group_stand_alone():
    task = task_of(single_label("style", IDS, STYLES, ["a", None, None, "b", "b", None, None, "a"], 2))
    assert task.groups is not None
    a, loner, other, b, same, a_again = task.groups
    assert a == a_again
    assert b == same
    assert len({a, loner, other, b}) == 4


@pytest.mark.parametrize("labels", [[None] * 8, ["rock"] * 8, ["rock"] * 7 + ["jazz"], list("abcdefgh")])
def test_fewer_than_two_usable_labels_is_a_reason_not_an_error(labels: list[str | None]):
    made = single_label("style", IDS, labels, None, 2)
    assert isinstance(made, Skipped)
    assert made.reason


def test_tags_keep_songs_with_none_and_drop_the_tag_everyone_has():
    tags = [["all", "a"], ["all", "b"], ["all", "a", "b"], ["all"], None]
    task = task_of(multi_label("tags", IDS[:5], tags, None, 2))
    assert task.classes == ("a", "b")
    assert task.songs == tuple(IDS[:4])
    assert task.targets.tolist() == [[True, False], [False, True], [True, True], [False, False]]


def test_a_track_id_that_occurs_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        single_label("style", ["x", "x"], ["a", "b"], None, 2)
