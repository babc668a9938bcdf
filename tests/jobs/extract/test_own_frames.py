"""A user's own frames: whose they are, what becomes of those that cannot be used, and their values in the shards."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infra.errors import ConfigError
from infra.root.songs import read_block, read_quarantine, read_songs
from infra.storage.store import Store
from jobs.extract.specification import specification
from jobs.extract.work import prepare
from jobs.extract.worker import child_command
from tests.features import signals
from tests.jobs.extract.standin import config_of, extract_inline

_RNG = np.random.default_rng(3)
_FRAMES = {
    "a/one": _RNG.normal(size=(7, 4)).astype(np.float32),
    "b/one": _RNG.normal(size=(1, 4)).astype(np.float32),
    "b/two": _RNG.normal(size=(12, 4)).astype(np.float32),
}


def _folder(at: Path) -> Path:
    for name, frames in _FRAMES.items():
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(at / f"{name}.npy", frames)
    return at


def _npz(at: Path) -> Path:
    np.savez(at.with_suffix(".npz"), **{f"/data/{name}.wav": frames for name, frames in _FRAMES.items()})
    return at.with_suffix(".npz")


def _parquet(at: Path) -> Path:
    rows = [(f"{name}.mp3", [*map(list, frames)]) for name, frames in _FRAMES.items()]
    pd.DataFrame(rows[::-1], columns=["path", "frames"]).to_parquet(
        at.with_suffix(".parquet"), row_group_size=2
    )
    return at.with_suffix(".parquet")


@pytest.fixture
def music(tmp_path: Path) -> str:
    for name in (*_FRAMES, "b/three"):
        path = tmp_path / "music" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(signals.encode(signals.noise(0.5), signals.RATE_HZ, "wav", "FLOAT"))
    return str(tmp_path / "music")


def _extracted(
    music: str, tmp_path: Path, *settings: str
) -> tuple[dict[str, np.ndarray], dict[str, tuple[str, str]]]:
    config = config_of(str(tmp_path / "root"), music, *settings)
    snapshot, store = (
        extract_inline(config, command=child_command(specification(config.extract))),
        Store(config.root),
    )
    found = {}
    for row in read_songs(store, snapshot).to_pylist():
        found[row["track_id"]] = read_block(store, row["path"], row["row_group"], [row["row"]]).values
    bad = {
        row["track_id"]: (row["reason"], row["message"])
        for row in read_quarantine(store, snapshot).to_pylist()
    }
    assert not prepare(config).todo
    return found, bad


@pytest.mark.parametrize("write", [_folder, _npz, _parquet])
def test_frames_are_found_by_the_rule_of_names(write: Callable[[Path], Path], music: str, tmp_path: Path):
    found, bad = _extracted(music, tmp_path, f"extract.frames.path={write(tmp_path / 'own')}")
    assert set(found) == {f"{name}.wav" for name in _FRAMES}
    for name, frames in _FRAMES.items():
        np.testing.assert_array_equal(found[f"{name}.wav"], frames)
    assert bad == {"b/three.wav": ("MISSING", "no frames of this track are among those that were brought")}


def test_one_vector_a_track_from_columns_of_numbers(music: str, tmp_path: Path):
    vectors = np.stack([frames[0] for frames in _FRAMES.values()])
    table = pd.DataFrame(vectors, columns=[f"x{i}" for i in range(4)]).assign(track_id=list(_FRAMES))
    table.to_parquet(tmp_path / "own.parquet")
    found, _ = _extracted(
        music, tmp_path, f"extract.frames.path={tmp_path / 'own.parquet'}", "extract.frames.storage=float16"
    )
    for name, vector in zip(_FRAMES, vectors, strict=True):
        np.testing.assert_array_equal(found[f"{name}.wav"], vector[None].astype(np.float16))


def test_what_cannot_be_used_is_set_aside_with_a_reason(music: str, tmp_path: Path):
    folder = _folder(tmp_path / "own")
    np.save(folder / "b/one.npy", np.full((2, 4), np.nan))
    np.save(folder / "b/two.npy", np.zeros((2, 5)))
    (folder / "b/three.npy").write_bytes(pickle.dumps({"not": "an array"}))
    found, bad = _extracted(music, tmp_path, f"extract.frames.path={folder}")
    assert set(found) == {"a/one.wav"}
    assert {name: reason for name, (reason, _) in bad.items()} == {
        "b/one.wav": "NON_FINITE",
        "b/two.wav": "DECODE_ERROR",
        "b/three.wav": "DECODE_ERROR",
    }
    assert "float64 (2, 5), expected numbers (frame, 4) or (4,)" in bad["b/two.wav"][1]


def test_other_frames_are_another_tree(tmp_path: Path):
    folder = _folder(tmp_path / "own")
    config = config_of(str(tmp_path / "root"), "x", f"extract.frames.path={folder}")
    before = specification(config.extract)
    other = _folder(tmp_path / "other")
    np.save(other / "b/two.npy", np.zeros((3, 4), np.float32))
    assert specification(config_of("r", "x", f"extract.frames.path={other}").extract) != before


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda at: at, "expected a folder of .npy files, an .npz or a .parquet file"),
        (lambda at: at.mkdir() or at, "no .npy files there"),
        (lambda at: (at.with_suffix(".npz").write_bytes(b"x"), at.with_suffix(".npz"))[1], "not a zip file"),
    ],
)
def test_a_path_without_frames_is_one_line(make: Callable[[Path], Path], rule: str, tmp_path: Path):
    config = config_of("r", "x", f"extract.frames.path={make(tmp_path / 'own')}")
    with pytest.raises(ConfigError, match=rf"^extract\.frames\.path: .*{rule}"):
        specification(config.extract)


def test_excerpts_are_of_audio(tmp_path: Path):
    config = config_of("r", "x", f"extract.frames.path={_folder(tmp_path / 'own')}", "extract.excerpt=first")
    with pytest.raises(
        ConfigError, match=r"^extract\.excerpt must be whole for a user's own frames, got 'first'"
    ):
        specification(config.extract)
