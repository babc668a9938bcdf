"""A root whose songs have audio: component 0 is where a loud tone is, and the model says so."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hdpgmm.ragged import Ragged, ragged
from infra.config import Config, load
from infra.storage.store import Store
from jobs.report import frames as report_frames
from jobs.report import job as report
from jobs.sweep.studies import write_study
from tests.jobs.scored_roots import COMPONENTS, FINGERPRINT, SPEC, Song, write_root, write_tones, write_tracks

SECONDS = 8.0
START, STOP = 4.0, 7.0  # where component 0 is, and the tone an octave higher
FRAMES = 1 + int(SECONDS * SPEC.sample_rate) // SPEC.hop_length
ARTISTS = ("ann", "ann", "ann", "bob", "cyd", "dan")


def planted_song(i: int, artist: str) -> Song:
    """Component 0 from second 4 to 7, component 1 elsewhere; said by feature 20, which the fake model reads."""
    frames = np.zeros((FRAMES, SPEC.n_features), np.float32)
    first, last = (int(t * SPEC.sample_rate / SPEC.hop_length) for t in (START, STOP))
    frames[first:last, 20] = 1.0
    frames[:, 0] = frames[:, 20] * 5  # loud where component 0 is
    share = frames[:, 20].mean() - 0.01 * i
    shares = np.array([share, 0.9 - share, 0.1, *np.zeros(COMPONENTS - 3)])
    return Song(f"{artist}/<b>{i}&.wav", frames, shares, f"style{i % 2}", ["<i>tag</i>"], artist)


def add_study(root: Path) -> None:
    """A study of two settings, as `jobs.sweep` leaves it."""
    about = {
        "series": "",
        "components": 5.0,
        "updates": 9.0,
        "heldout": -70.0,
        "epochs": 3.0,
        "models": 3,
        "sd": float("nan"),
    }
    rows = [
        {"x": x, "settings": f"train.splash={x}", "representation": name, "ours": name.startswith("HDPGMM"),
         "guess": False,
         "task": "style", "metric": "accuracy",
         "mean": mean, "low": mean - 0.1, "high": mean + 0.1, **about}
        for x, mean in (("0", 0.6), ("0.1", 0.5))
        for name in ("HDPGMM sqrt posterior", "G1")
    ]  # fmt: skip
    write_study(Store(str(root)), "sweeps/train.splash", rows, {"name": "train.splash", "corpus": "default"})


def write_audio_root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six songs of four artists with audio; the model is one that reads the responsibilities off a feature."""
    songs = [planted_song(i, artist) for i, artist in enumerate(ARTISTS)]
    store = write_root(folder / "root", songs, bad=["bad/<script>.wav"])
    write_tones(folder / "music", songs, SECONDS, 400.0, {s.track_id: slice(START, STOP) for s in songs})
    write_tracks(store, songs, ["bad/<script>.wav"], uri=str(folder / "music"))

    def responsibilities(_: object, songs: Ragged[np.ndarray]) -> Ragged[np.ndarray]:
        here = songs.values[:, 20]
        shares = np.column_stack([here, 1 - here, *np.zeros((COMPONENTS - 2, len(here)))])
        return ragged(songs.lengths, shares)

    means = np.arange(COMPONENTS)[:, None] * np.ones(2)
    gaussians = means, np.tile(np.eye(2), (COMPONENTS, 1, 1))
    monkeypatch.setattr(
        report, "load_model", lambda _, run: SimpleNamespace(run=run, fingerprint=FINGERPRINT)
    )
    monkeypatch.setattr(report, "component_gaussians", lambda *_: gaussians)
    sounds = np.zeros((COMPONENTS, SPEC.n_features))
    sounds[0, 0] = 5.0  # component 0 is loud
    monkeypatch.setattr(report, "gaussians_in_units", lambda *_: (sounds, np.ones_like(sounds)))
    monkeypatch.setattr(report_frames, "frame_responsibilities", responsibilities)
    return folder / "root"


def config_of(root: Path, *settings: str) -> Config:
    return load(None, settings, root=str(root))
