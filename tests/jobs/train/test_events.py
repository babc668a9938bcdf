"""Events of a training: what of them is on disk, and the figures of an epoch's speed."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.train import trainer
from jobs.train.events import EpochDone, Event, Moved, RolledBack, Started, Stepped, epoch_from, to_fields

EPOCH = EpochDone(
    epoch=2, step=9, bound=-3.25, heldout=None, components=5, n_components=6, gamma=1.5, alpha0=0.5,
    dependence=1.25, prior_dof=4.5, prior_strength=0.125, rho=0.5, frames_per_second=1e3, wait_share=0.5,
    max_bytes_ahead=7, seconds=2.5,
)  # fmt: skip


def test_an_epoch_survives_json_with_the_fields_that_history_json_has():
    fields = to_fields(EPOCH)
    assert list(fields) == [
        *("epoch", "step", "bound", "heldout", "components", "n_components", "gamma", "alpha0", "dependence"),
        *(
            "prior_dof",
            "prior_strength",
            "rho",
            "frames_per_second",
            "wait_share",
            "max_bytes_ahead",
            "seconds",
        ),
    ]
    assert epoch_from(json.loads(json.dumps(fields))) == EPOCH
    assert epoch_from({**fields, "of_a_later_version": 1}) == EPOCH
    with pytest.raises(KeyError, match="bound"):
        epoch_from({name: value for name, value in fields.items() if name != "bound"})


@pytest.mark.parametrize(
    ("event", "kind", "fields"),
    [
        (Moved(4, "merge", (1, 2), 3.5), "move", {"step": 4, "move": "merge", "components": [1, 2], "gain": 3.5}),
        (RolledBack(7, 6), "rollback", {"step": 7, "to": 6}),
        (
            Stepped(3, 1, 8, 160, 0.25, None, -3.5, 6),
            "step",
            {"step": 3, "epoch": 1, "songs": 8, "frames": 160, "wait_share": 0.25, "checkpoint": None,
             "batch_bound": -3.5, "components": 6},
        ),
        (
            Started(0, 12, 8, 90, 10, 1800, 1, ()),
            "start",
            {"step": 0, "steps": 12, "batch_songs": 8, "training_songs": 90, "heldout_songs": 10,
             "training_frames": 1800, "ranks": 1, "history": []},
        ),
        (EPOCH, "epoch", to_fields(EPOCH)),
    ],
)  # fmt: skip
def test_kinds_and_fields_are_those_of_events_jsonl(event: Event, kind: str, fields: dict[str, Any]):
    assert event.kind == kind
    assert json.loads(json.dumps(to_fields(event))) == fields


def test_an_epoch_is_timed_to_its_last_step_or_moves(monkeypatch: pytest.MonkeyPatch):
    """Frames and waiting of its steps since the start: not what an interrupted run did, nor what scoring waited."""
    now = [100.0]
    monkeypatch.setattr(trainer.time, "perf_counter", lambda: now[0])
    feed: Any = SimpleNamespace(waited_seconds=55.0, max_bytes_ahead=9)
    clock = trainer.Clock(feed)
    for frames, seconds, waited in ((300, 3.0, 1.0), (100, 1.0, 0.0), (0, 4.0, 0.0)):
        now[0] += seconds
        feed.waited_seconds += waited
        clock.lap(frames)
    now[0] += 50.0
    feed.waited_seconds += 20.0
    assert clock.figures() == {
        "frames_per_second": 50.0,
        "wait_share": 0.125,
        "max_bytes_ahead": 9,
        "seconds": 8.0,
    }
    clock.start()
    now[0] += 2.0
    clock.lap(10)
    assert (clock.figures()["frames_per_second"], clock.wait_share) == (5.0, 0.0)
