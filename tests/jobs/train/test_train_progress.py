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
from jobs.train.progress import Shown

pytestmark = pytest.mark.ray

ROW: dict[str, Any] = {
    "step": 2,
    "bound": -3.0,
    "heldout": -4.0,
    "components": 5,
    "frames_per_second": 1e3,
    "wait_share": 0.5,
}


def start(step: int, *history: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "start", "step": step, "steps": 8, "history": list(history)}


def step(number: int) -> dict[str, Any]:
    fields = {"step": number, "epoch": 1 + number // 2, "songs": 10, "frames": 100, "wait_share": 0.25}
    return {"kind": "step", **fields, "checkpoint": number - 1, "batch_bound": -3.5, "components": 6}


@pytest.fixture
def shown(tmp_path: Path, ray_session: None) -> Iterator[Shown]:
    with RunFolder(Store(str(tmp_path)), "runs/train-x", "training of model x") as folder:
        folder.begin({})
        yield Shown(folder, "x")


def test_the_line_has_every_figure(shown: Shown, capsys: pytest.CaptureFixture[str]):
    for event in (start(0), step(1), {"kind": "epoch", "epoch": 1, **ROW}, step(2)):
        shown.show(event)
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
    shown: Shown, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    caplog.set_level(logging.INFO)
    before = {"epoch": 1, **ROW, "heldout": None}
    for event in (start(4, before), step(5), {"kind": "rollback", "step": 6, "to": 4}, step(5), step(6)):
        shown.show(event)
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


def test_the_figure_is_drawn_now_and_then_and_at_the_end(shown: Shown, monkeypatch: pytest.MonkeyPatch):
    drawn: list[int] = []
    monkeypatch.setattr(training_figure, "training_figure", lambda rows: drawn.append(len(rows)) or b"")
    shown.show(start(0))
    for epoch in range(1, 5):
        shown.show({"kind": "epoch", "epoch": epoch, **ROW})
    shown.close()
    assert drawn == [1, 4]


def test_metrics_know_the_newest_checkpoint(shown: Shown, monkeypatch: pytest.MonkeyPatch):
    told: dict[str, Any] = {}
    monkeypatch.setattr(shown._metrics, "set", lambda **values: told.update(values))
    monkeypatch.setattr(shown._metrics, "add", lambda **values: told.update(values))
    for event in (start(0), step(3), {"kind": "epoch", "epoch": 1, **ROW}):
        shown.show(event)
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
