"""Objects that have one name for all times: a run that was paused while another replaced them changes nothing later."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.config import load
from infra.errors import TakenOver
from infra.root import lease
from infra.storage.store import Store
from jobs.evaluate import job as evaluate
from jobs.index import job as index
from jobs.interpret import job as interpret
from jobs.interpret import tables as interpret_tables
from jobs.report import job as report
from tests.conftest import write_tone
from tests.jobs.interpret.test_interpret import MOMENTS
from tests.jobs.report import audio_roots
from tests.jobs.scored_roots import make_songs, write_root

pytestmark = pytest.mark.ray

Run = Callable[[], object]


@dataclass(frozen=True)
class Race:
    """Two runs of a job that say different things in the object at `path`."""

    store: Store
    path: str
    first: Run
    second: Run


def tracks(tmp_path: Path, _: pytest.MonkeyPatch) -> Race:
    (tmp_path / "music").mkdir()
    write_tone(tmp_path / "music/a.wav", 200.0)
    config = load(root=str(tmp_path / "root"), music=str(tmp_path / "music"))

    def second() -> object:
        if not (tmp_path / "music/b.wav").exists():
            write_tone(tmp_path / "music/b.wav", 300.0)
        return index.run(config)

    return Race(
        Store(config.root), "corpus/default/tracks.parquet", first=lambda: index.run(config), second=second
    )


def scores(tmp_path: Path, _: pytest.MonkeyPatch) -> Race:
    store = write_root(tmp_path, make_songs(24))
    config, other = (
        load(None, (f"evaluate.seed={n}", "evaluate.repeats=1", "evaluate.folds=2", "evaluate.codewords=4"),
             root=str(tmp_path))
        for n in (0, 1)
    )  # fmt: skip
    return Race(store, "scores/m1/summary.parquet", lambda: evaluate.run(config), lambda: evaluate.run(other))


def interpretations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Race:
    store = write_root(tmp_path, make_songs(48, groups=24))
    monkeypatch.setattr(interpret_tables, "gaussians_in_units", lambda *_: MOMENTS)
    config, other = (
        load(None, (f"interpret.permutations={n}", "evaluate.codewords=6"), root=str(tmp_path))
        for n in (19, 29)
    )
    return Race(
        store, "interpretation/m1/summary.json", lambda: interpret.run(config), lambda: interpret.run(other)
    )


def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Race:
    root = audio_roots.write_audio_root(tmp_path, monkeypatch)
    config, other = (audio_roots.config_of(root, f"report.songs={n}") for n in (1, 2))
    return Race(Store(str(root)), "report/index.html", lambda: report.run(config), lambda: report.run(other))


RACES = {"tracks": tracks, "scores": scores, "interpretations": interpretations, "pages": pages}


@pytest.mark.parametrize("call", ["stage", "move"])
@pytest.mark.parametrize("kind", RACES.values(), ids=RACES)
def test_a_paused_run_changes_nothing_once_another_has_begun(
    kind: Callable[[Path, pytest.MonkeyPatch], Race],
    call: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ray_session: None,
):
    """Paused while it writes what it will commit (which then fails), or when that is committed and to be moved."""
    race = kind(tmp_path, monkeypatch)
    monkeypatch.setattr(lease, "is_gone", lambda _: True)
    original, after = getattr(Store, call), list[bytes]()

    def paused(self: Store, *arguments: str) -> object:
        with monkeypatch.context() as patch:
            patch.setattr(Store, call, original)
            other = threading.Thread(target=race.second)
            other.start()
            other.join()
        after.append(race.store.read(race.path))
        monkeypatch.setattr(Store, call, original)
        return original(self, *arguments)

    monkeypatch.setattr(Store, call, paused)
    if call == "stage":
        with pytest.raises(TakenOver):
            race.first()
    else:
        with suppress(TakenOver):  # raised where there is something left to commit
            race.first()
    assert [race.store.read(race.path)] == after
    assert ".tmp-" not in " ".join(entry.path for entry in race.store.walk(""))
    race.second()
    assert race.store.read(race.path) == after[0]


def test_a_report_that_lost_a_page_to_a_late_deletion_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    race = pages(tmp_path, monkeypatch)
    race.second()
    Store(race.store.root).delete("report/song/2.html")
    race.second()
    assert race.store.exists("report/song/2.html")
