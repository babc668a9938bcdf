"""How components sound, said by whatever blocks the features have."""

from dataclasses import replace

import librosa
import numpy as np
import pytest

from evaluation.interpretation.sound import Gaussians
from evaluation.report.records import Sound
from features.spec import PRESETS, FeatureSpec, columns
from jobs.report.sound import sounds_of, traits_of

_PAPER = PRESETS["paper-52"]
_MIXED = FeatureSpec(features=("tonnetz", "rms", "spectral_centroid"))


def _heard(spec: FeatureSpec, *high: str, by: float = 1.0) -> list[Sound]:
    """Two components of half of the frames each, alike but in the columns `high`, where the second has more.

    In those the corpus has deviation sqrt(3 + by^2 / 4), each component sqrt(3) about its mean.
    """
    mean = np.zeros((2, spec.n_features))
    mean[1, [columns(spec).index(name) for name in high]] = by
    covariance = np.tile(3.0 * np.eye(spec.n_features), (2, 1, 1))
    return sounds_of(spec, Gaussians(mean, covariance), np.array([0.5, 0.5]), (0, 1))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (_PAPER, ["Loudness", "Brightness", "Tone", "Attacks"]),
        (_MIXED, ["Loudness", "Brightness"]),
        (PRESETS["log-mel-128"], ["Loudness", "Brightness"]),
        (FeatureSpec(features=("tonnetz", "spectral_flatness")), ["Tone"]),
        (FeatureSpec(features=("tonnetz",)), []),
    ],
)
def test_traits_are_those_that_the_blocks_tell_of(spec: FeatureSpec, told: list[str], caplog):
    caplog.set_level("INFO")
    assert [trait.name for trait in traits_of(spec)] == told
    first, second = _heard(spec, columns(spec)[0])
    assert [trait.name for trait in first.traits] == [trait.name for trait in second.traits] == told
    missing = [name for name in ("Loudness", "Brightness", "Tone", "Attacks") if name not in told]
    assert [message.split(": ")[1] for message in caplog.messages] == (
        [", ".join(missing)] if missing else []
    )


@pytest.mark.parametrize(
    ("spec", "high", "name", "words"),
    [
        (_PAPER, ["mfcc_00"], "Loudness", ("quiet", "loud")),
        (_PAPER, ["mfcc_01"], "Brightness", ("bright", "dark")),  # more of it is more bass
        (_PAPER, ["log_onset"], "Attacks", ("smooth", "percussive")),
        (_PAPER, [c for c in columns(_PAPER) if "chroma" in c], "Tone", ("tonal", "noisy")),
        (_MIXED, ["rms"], "Loudness", ("quiet", "loud")),
        (_MIXED, ["spectral_centroid"], "Brightness", ("dark", "bright")),
        (FeatureSpec(features=("spectral_flatness",)), ["spectral_flatness"], "Tone", ("tonal", "noisy")),
        (
            FeatureSpec(features=("spectral_contrast",)),
            [f"spectral_contrast_{i:02d}" for i in range(7)],
            "Tone",
            ("noisy", "tonal"),
        ),
        (PRESETS["log-mel-128"], [f"mel_{i:03d}" for i in range(64, 128)], "Brightness", ("dark", "bright")),
    ],
)
def test_a_component_is_called_what_its_gaussian_is(spec, high, name, words):
    for sound, expected in zip(_heard(spec, *high, by=3.0), words, strict=True):
        assert {trait.words.removeprefix("very ") for trait in sound.traits if trait.name == name} == {
            expected
        }
        assert any(word.endswith(expected) for word in sound.words)


def test_a_deviation_is_from_all_the_music_in_deviations_of_a_frame():
    """Means 0 and 2, within each a variance of 3: in all the mean is 1 and the variance 4."""
    first, second = _heard(_PAPER, "mfcc_00", by=2.0)
    assert (first.traits[0].deviation, second.traits[0].deviation) == (
        pytest.approx(-0.5),
        pytest.approx(0.5),
    )
    assert (first.words, second.words) == (("quiet",), ("loud",))
    assert _heard(_PAPER, "mfcc_00", by=1.0)[0].words == ()  # 0.28: below the threshold


def test_words_come_in_the_order_of_what_they_tell():
    spec = FeatureSpec(features=("rms", "spectral_centroid"))
    mean = np.array([[0.0, 0.0], [1.0, 2.0]])
    (_, second) = sounds_of(spec, Gaussians(mean, np.full((2, 2), 1.0)), np.array([0.5, 0.5]), (0, 1))
    assert second.words == ("bright", "loud")


def test_pitch_classes_are_named_next_to_the_mean_of_all():
    assert [sound.words for sound in _heard(_PAPER, "log_chroma_A", by=3.0)][1] == ("on A",)
    chord = [f"log_chroma_{name}" for name in ("D", "F#", "A")]
    assert "on D major" in _heard(_PAPER, *chord, by=3.0)[1].words
    for high in (["mfcc_03"], [name for name in columns(_PAPER) if "chroma" in name]):
        assert not any("on " in word for word in _heard(_PAPER, *high, by=3.0)[1].words)
    figure = _heard(_PAPER, "log_chroma_A", by=-2.0)[1].chroma
    assert figure is not None
    np.testing.assert_allclose(figure.own, [1.0] * 9 + [np.exp(-2.0)] + [1.0] * 2)
    np.testing.assert_allclose(figure.corpus[9], np.exp(-1.0))


def test_the_spectrum_is_what_librosa_makes_of_the_coefficients():
    mfcc = np.random.default_rng(0).normal(size=13) * 20
    mean = np.zeros((1, 52))
    mean[0, :13] = mfcc
    (sound,) = sounds_of(_PAPER, Gaussians(mean, np.ones((1, 52))), np.ones(1), (0,))
    theirs = librosa.power_to_db(librosa.feature.inverse.mfcc_to_mel(mfcc[:, None]), amin=1e-20, top_db=None)[
        :, 0
    ]
    assert sound.spectrum is not None
    np.testing.assert_allclose(sound.spectrum.own, theirs, atol=1e-3)
    np.testing.assert_allclose(sound.spectrum.corpus, theirs, atol=1e-3)
    assert sound.spectrum.hertz.shape == (128,)
    level = next(item for item in sound.dynamics if item.name == "Level")
    assert level.mean == pytest.approx(theirs.mean(), abs=1e-3)
    assert level.sd == pytest.approx(1 / np.sqrt(128))


def test_a_log_mel_spectrum_is_the_bands_themselves():
    spec = replace(PRESETS["log-mel-128"], n_mels=4, n_mfcc=4)
    mean, variance = np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[1.0, 4.0, 9.0, 16.0]])
    (sound,) = sounds_of(spec, Gaussians(mean, variance), np.ones(1), (0,))
    assert sound.spectrum is not None
    assert sound.spectrum.own.tolist() == [1, 2, 3, 4]
    assert sound.spectrum.sd.tolist() == [1, 2, 3, 4]
    assert (sound.chroma, [item.name for item in sound.dynamics]) == (None, ["Level"])


def test_dynamics_are_in_decibels_and_seconds():
    """A delta of 1 a frame, of the first coefficient: 1 / sqrt(128) dB a frame, 43 frames a second."""
    change = next(d for d in _heard(_PAPER, "delta_00", by=1.0)[1].dynamics if d.name == "Change of level")
    assert (change.unit, change.mean) == (" dB/s", pytest.approx(22050 / 512 / np.sqrt(128)))
