"""How components sound, said by whatever blocks the features have."""

from types import SimpleNamespace

import numpy as np
import pytest

from features.spec import PRESETS, FeatureSpec, columns
from hdpgmm.ragged import packed
from infra.config import ReportConfig
from infra.root.songs import SongBlock
from jobs.report import frames
from jobs.report.frames import FrameSummary, Request, summarise_frames, traits_of

_MIXED = FeatureSpec(features=("tonnetz", "rms", "spectral_centroid"))

_PAPER = {"Loudness": "mfcc_00", "Brightness": "mfcc_01", "Attacks": "log_onset"}


def _heard(spec: FeatureSpec, loud: str, monkeypatch: pytest.MonkeyPatch) -> FrameSummary:
    """A song of 40 frames whose second half is component 1, where the column `loud` is high."""
    values = np.zeros((40, spec.n_features), np.float32)
    values[20:, columns(spec).index(loud)] = 1.0
    share = np.column_stack([np.arange(40) < 20, np.arange(40) >= 20]).astype(float)
    block = SongBlock(["song"], ["1"], values, np.array([40]))
    monkeypatch.setattr(frames, "blocks", lambda *_: [block])
    monkeypatch.setattr(frames, "read_songs", lambda *_: None)
    monkeypatch.setattr(frames, "frame_responsibilities", lambda *_: packed([share]))
    inputs = SimpleNamespace(store=None, features=None)
    asked = Request((0, 1), ({"song"}, {"song"}), frozenset({"song"}))
    return summarise_frames(inputs, None, asked, spec, ReportConfig())  # pyright: ignore


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (PRESETS["paper-52"], _PAPER),
        (_MIXED, {"Loudness": "rms", "Brightness": "spectral_centroid"}),
        (FeatureSpec(features=("onset_strength", "rms", "mfcc")), _PAPER),
        (PRESETS["log-mel-128"], {}),
    ],
)
def test_traits_are_read_from_the_columns_of_their_blocks(spec: FeatureSpec, told: dict[str, str]):
    found = {trait.name: columns(spec)[column] for trait, (column, _) in traits_of(spec).items()}
    assert found == told


@pytest.mark.parametrize(
    ("spec", "column", "name", "words"),
    [
        (PRESETS["paper-52"], "mfcc_00", "Loudness", ("quieter", "louder")),
        (PRESETS["paper-52"], "mfcc_01", "Brightness", ("brighter", "darker")),  # more of it is more bass
        (PRESETS["paper-52"], "log_onset", "Attacks", ("smoother", "sharper")),
        (_MIXED, "rms", "Loudness", ("quieter", "louder")),
        (_MIXED, "spectral_centroid", "Brightness", ("darker", "brighter")),
    ],
)
def test_a_component_is_called_what_its_frames_are(spec, column, name, words, monkeypatch):
    first, second = _heard(spec, column, monkeypatch).traits(spec)
    for traits, expected in zip((first, second), words, strict=True):
        assert {trait.name: trait.words for trait in traits if trait.words != "as usual"} == {name: expected}


def test_what_features_do_not_tell_is_said_and_left_out(monkeypatch, caplog):
    caplog.set_level("INFO")
    spec = PRESETS["log-mel-128"]
    heard = _heard(spec, "mel_003", monkeypatch)
    assert heard.traits(spec) == [(), ()]
    assert heard.windows[1][0].share > 0
    assert caplog.messages == [
        "report: Loudness, Brightness, Attacks: left out, no feature block (mel) tells of it"
    ]
    caplog.clear()
    assert len(_heard(_MIXED, "rms", monkeypatch).traits(_MIXED)[0]) == 2
    assert caplog.messages == [
        "report: Attacks: left out, no feature block (tonnetz, rms, spectral_centroid) tells of it"
    ]
