"""What exists under a root."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.errors import ConfigError
from infra.root import models
from infra.storage.store import Store
from jobs.upkeep import status
from tests.jobs.extract.standin import config_of, extract_inline, write_corpus


def test_an_extracted_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    music = write_corpus(str(tmp_path / "music"), {"a.mp3": "ok 2", "b.mp3": "bad SILENT"})
    config = config_of(str(tmp_path / "root"), music)
    snapshot = extract_inline(config)
    store = Store(config.root)
    store.write("models/m/index/step-00000007-00000003-00001.json", b"{}")
    store.write("runs/train-m/00000001-config.json", b"{}")
    store.write(
        "runs/extract-default/00000001-summary.json", json.dumps({"time": "now", "shards": 1}).encode()
    )
    store.write("runs/refused/lease/00000001.json", b"{}")
    tables = status.run(config)
    assert tables["corpus"] == [("default", "2", "1.4e-08", music, "-")]
    ((_, *features),) = tables["features"]
    size = sum(shard.bytes for shard in snapshot.shards)
    assert features == ["default", "1", "1", "1", "2", "0.00", f"{size / 1e6:.1f}", "1"]
    assert tables["quarantined"][1:] == [("  SILENT: 1",), ("    b.mp3: as asked",)]
    assert tables["models"] == [("m", "1", "step-00000007", "no", "-")]
    models.finish(store, "m", {}, [], {}, 7)
    models.finish(store, "of-another", {}, [], {}, 7, origin={"root": "s3://songs/a-million"})
    store.write("models/torn/final.json", b"{")
    assert [row[::3] + row[4:] for row in status.run(config)["models"]] == [
        ("m", "yes", "here"),
        ("of-another", "yes", "s3://songs/a-million"),
        ("torn", "damaged", "-"),
    ]
    runs = [row for row in tables["runs"] if row[0] != "index-default"]
    assert runs == [("extract-default", "now", "shards 1"), ("train-m", "-", "no summary yet")]
    assert "vectors" not in tables
    status.main(root=config.root)
    assert "b.mp3: as asked" in capsys.readouterr().out


def test_watching(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    store, now = Store(str(tmp_path)), datetime.now(UTC)
    line = {"time": (now - timedelta(seconds=90)).isoformat(), "message": "train: 3/9 steps"}
    store.write(
        "runs/train-m/00000001-log.jsonl",
        (json.dumps({**line, "message": "x"}) + "\n" + json.dumps(line)).encode(),
    )
    store.write(
        "runs/extract-a/00000001-summary.json",
        json.dumps({"time": "now", "exit_code": 4, "error": "gone"}).encode(),
    )
    store.write("runs/new/00000001-config.json", b"{}")
    store.write("runs/odd/00000001-log.jsonl", b'{"time": 3}\n[]\n')
    assert [*status.watched(store)] == [
        ("extract-a", "ended with 4, now", "gone"),
        ("new", "no log yet", "-"),
        ("odd", "no log yet", "-"),
        ("train-m", "last words 90 s ago", "train: 3/9 steps"),
    ]
    looks = []

    def sleep(_: float) -> None:
        looks.append(len(looks))
        if len(looks) == 1:
            more = {"time": now.isoformat(), "message": "train: 4/9 steps"}
            store.write("runs/train-m/00000001-log.jsonl", json.dumps(more).encode())
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", sleep)
    status.main(root=str(tmp_path), is_watched=True)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("train-m")]
    assert [line.rpartition(": train: ")[2] for line in told] == ["3/9 steps", "4/9 steps"]


def test_an_empty_root(tmp_path: Path):
    with pytest.raises(ConfigError, match="nothing there yet"):
        status.run(config_of(str(tmp_path / "none"), "x"))
    assert not (tmp_path / "none").exists()
