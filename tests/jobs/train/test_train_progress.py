"""What is shown of a training, from made-up events."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.figures import training as training_figure
from infra.root.runs import RunFolder
from infra.storage.store import Store
from jobs.train import progress as train_progress
from jobs.train.events import EpochDone, RolledBack, Started, Stepped
from jobs.train.progress import TrainingProgress

pytestmark = pytest.mark.ray


def epoch(number: int, heldout: float | None = -4.0) -> EpochDone:
    return EpochDone(
        epoch=number, step=2, bound=-3.0, heldout=heldout, components=5, n_components=6, gamma=1.0, alpha0=1.0,
        dependence=1.0, prior_dof=4.0, prior_strength=0.1, rho=0.5, frames_per_second=1e3, wait_share=0.5,
        max_bytes_ahead=1, seconds=2.0,
    )  # fmt: skip


def start(step: int, *history: EpochDone) -> Started:
    return Started(step, 8, 4, 30, 2, 300, 1, history)


def step(number: int) -> Stepped:
    return Stepped(number, 1 + number // 2, 10, 100, 0.25, number - 1, -3.5, 6)


@pytest.fixture
def shown(tmp_path: Path, ray_session: None) -> Iterator[TrainingProgress]:
    with RunFolder(Store(str(tmp_path)), "runs/train-x", "training of model x") as folder:
        folder.begin({})
        yield TrainingProgress(folder, "x")


def test_the_line_has_every_figure(shown: TrainingProgress, capsys: pytest.CaptureFixture[str]):
    for event in (start(0), step(1), epoch(1), step(2)):
        shown.update(event)
    shown.close()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train: ")]
    assert line.startswith("train: 2/8 steps ")
    for figure in (
        "epoch 2",
        "songs/s",
        "frames/s",
        "waited 25 %",
        "components 6",
        "bound -3",
        "held-out -4",
    ):
        assert f"  {figure}" in line
    assert line.endswith(" left")


def test_a_run_that_continues_is_shown_from_there(
    shown: TrainingProgress,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
):
    caplog.set_level(logging.INFO)
    before = epoch(1, heldout=None)
    for event in (start(4, before), step(5), RolledBack(6, 4), step(5), step(6)):
        shown.update(event)
    shown.close()
    assert [text for text in caplog.messages if not text.startswith("train: 6/8 steps")] == [
        "train: continues from step 4 of 8",
        "step 6: the state was not finite; back to step 4",
    ]
    assert shown.history == [before]
    assert "train: 6/8 steps " in capsys.readouterr().err
    kinds = [event["kind"] for event in shown.folder.events()]
    assert kinds == ["begin", "start", "step", "rollback"]  # steps seconds apart only
    sample = shown.folder.events()[2]
    assert (sample["step"], sample["songs"], sample["batch_bound"]) == (5, 10, -3.5)
    assert sample["frames_per_second"] == pytest.approx(10 * sample["songs_per_second"])
    assert (tmp_path / "runs/train-x/00000001-training.png").read_bytes().startswith(b"\x89PNG")


def test_the_figure_is_drawn_now_and_then_and_at_the_end(
    shown: TrainingProgress, monkeypatch: pytest.MonkeyPatch
):
    drawn: list[int] = []
    monkeypatch.setattr(training_figure, "training_figure", lambda rows: drawn.append(len(rows)) or b"")
    shown.update(start(0))
    for number in range(1, 5):
        shown.update(epoch(number))
    shown.close()
    assert drawn == [1, 4]


def test_metrics_know_the_newest_checkpoint(shown: TrainingProgress, monkeypatch: pytest.MonkeyPatch):
    told: dict[str, Any] = {}
    monkeypatch.setattr(shown._metrics, "set", lambda **values: told.update(values))
    monkeypatch.setattr(shown._metrics, "add", lambda **values: told.update(values))
    for event in (start(0), step(3), epoch(1)):
        shown.update(event)
    shown.close()
    assert told == {
        "step": 3,
        "checkpoint_step": 2,
        "wait_share": 0.25,
        "components": 6,
        "batch_bound": -3.5,
        "songs_total": 10,
        "frames_total": 100,
        "bound": -3.0,
        "heldout_score": -4.0,
        "restarts_total": 1,
        "rollbacks_total": 0,
    }
    assert told.keys() == train_progress.METRICS.keys()
