"""The training loop by itself: what it does with a state that is not finite, and when it is asked to end."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hdpgmm import fit, training_step
from hdpgmm.memory import MemoryKeeper, MemorySongs
from hdpgmm.model import BatchInfo, State
from hdpgmm.moves.merge_delete import Move
from hdpgmm.training_step import Settings
from hdpgmm.validation import checked

RULES = fit.Rules(Settings(n_components=6, n_atoms=4), epochs=3, batch_songs=8)


@pytest.fixture(scope="module")
def songs() -> MemorySongs:
    rng = np.random.default_rng(0)
    means = 5.0 * rng.normal(size=(4, 2))
    frames = [means[rng.integers(0, 4, 20)] + rng.normal(size=(20, 2)) for _ in range(30)]
    heldout = np.arange(30) % 10 == 0
    return MemorySongs(checked(frames), heldout, RULES.settings, 0, "cpu")


def events(
    songs: MemorySongs, begin: fit.Progress | None = None, stopping: Callable[[], bool] = lambda: False
) -> list[fit.Event]:
    begin = begin or fit.Progress(songs.state)
    return list(fit.fit(begin, songs, RULES, MemoryKeeper(begin), stopping=stopping))


def bits(state: State) -> list[bytes]:
    return [part.numpy().tobytes() for part in state.stats.tensors()]


def steps(told: list[fit.Event]) -> list[int]:
    return [event.progress.step for event in told if isinstance(event, fit.Step)]


def last(told: list[fit.Event]) -> fit.Progress:
    return [event for event in told if isinstance(event, fit.EpochEnd)][-1].progress


def breaking(monkeypatch: pytest.MonkeyPatch, *broken: int) -> None:
    """Steps of these numbers end in no numbers, each time that one is listed."""
    learn, left = training_step.learn, list(broken)

    def broken_learn(state: State, *rest: Any) -> tuple[State, BatchInfo]:
        new, info = learn(state, *rest)
        if new.step in left:
            left.remove(new.step)
            return replace(new, stats=new.stats.scaled(math.nan)), info
        return new, info

    monkeypatch.setattr(training_step, "learn", broken_learn)


def test_every_step_every_epoch(songs: MemorySongs):
    told = events(songs)
    assert steps(told) == list(range(1, 13))  # 27 songs, 8 at a time
    history = last(told).history
    assert [(row.epoch, row.step) for row in history] == [(1, 4), (2, 8), (3, 12)]
    assert all(row.heldout is not None for row in history)


def test_training_continues_from_any_step_with_the_same_bits(songs: MemorySongs):
    """From the progress of the last event of a step, as a keeper would have it."""
    whole = events(songs)
    for step in (3, 4, 7):
        held = [
            e.progress
            for e in whole
            if not isinstance(e, fit.Rollback | fit.Stop) and e.progress.step == step
        ]
        again = events(songs, held[-1])
        assert steps(again) == list(range(step + 1, 13))
        assert bits(last(again).state) == bits(last(whole).state)
        assert last(again).history == last(whole).history


def test_a_state_that_is_not_finite_is_rolled_back_once(songs: MemorySongs, monkeypatch: pytest.MonkeyPatch):
    whole = events(songs)
    breaking(monkeypatch, 7)
    told = events(songs)
    assert [event for event in told if isinstance(event, fit.Rollback)] == [fit.Rollback(7, 6)]
    assert bits(last(told).state) == bits(last(whole).state)
    breaking(monkeypatch, 7, 7)
    with pytest.raises(fit.NotFinite, match="step 7: the state is not finite, again") as raised:
        events(songs)
    assert raised.value.step == 7


def test_it_ends_after_the_step_at_which_it_is_asked_to(songs: MemorySongs):
    asked = iter([False] * 4 + [True])
    told = events(songs, stopping=lambda: next(asked))
    assert steps(told) == [1, 2, 3, 4, 5]
    assert told[-1] == fit.Stop(5)
    asked = iter([False] * 11 + [True])
    told = events(songs, stopping=lambda: next(asked))
    assert steps(told)[-1] == 12
    assert isinstance(told[-1], fit.EpochEnd)  # it was over anyway


def test_nothing_follows_convergence(songs: MemorySongs):
    """Scores that never change: a plateau after four epochs, and no step where training is begun again after it."""
    row = last(events(songs)).history[-1]
    flat = tuple(replace(row, epoch=epoch, heldout=-1.0) for epoch in range(1, 5))
    begin = fit.Progress(songs.state, flat)
    assert events(songs, begin) == []
    unscored = tuple(replace(row, epoch=epoch, heldout=None, bound=-1.0) for epoch in range(1, 5))
    assert not RULES.converged(unscored)
    assert replace(RULES, bound_decides=True).converged(unscored)
    assert not replace(RULES, early_stopping=False).converged(flat)


def test_a_move_that_made_nothing_rests_the_next_time(
    songs: MemorySongs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two moves: one always makes something, the other never does and is tried every second time."""
    tried: list[str] = []

    def move(name: str, *made: Move) -> Any:
        def step(state: State, *_: object) -> tuple[State, list[Move]]:
            tried.append(name)
            return state, [*made]

        return step

    monkeypatch.setattr(
        training_step, "MOVES", {"busy": move("busy", Move("merge", (0, 1), 1.0)), "idle": move("idle")}
    )
    rules = replace(RULES, epochs=9, early_stopping=False)
    begin = fit.Progress(songs.state)
    told = list(fit.fit(begin, songs, rules, MemoryKeeper(begin)))
    times = [event.progress.resting for event in told if isinstance(event, fit.Moves)]
    assert times == [{"idle"}, set(), {"idle"}, set()]  # after passes 1, 2, 4 and 8
    assert tried == ["busy", "idle", "busy", "busy", "idle", "busy"]
    ends = [event.progress.resting for event in told if isinstance(event, fit.EpochEnd)]
    assert ends[:4] == [{"idle"}, set(), set(), {"idle"}]  # an epoch's end forgets nothing
