"""What is heard: pitch, level, silence, and that the players on the label are in the sound."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.compose.plan import Track, plan
from evaluation.compose.sound import effects
from evaluation.compose.sound.drums import strike
from evaluation.compose.sound.kits import KITS
from evaluation.compose.sound.mix import duration_seconds, render, stem
from evaluation.compose.sound.timbres import TIMBRES
from evaluation.compose.sound.tone import Timbre, tone
from evaluation.compose.writing.score import Hit, Note, Part, generator
from evaluation.compose.writing.styles import STYLES

RATE = 22050
ONE_PER_STYLE = plan(len(STYLES), 0)


def spectrum(sound: NDArray[np.floating], rate: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Frequencies and power."""
    return np.fft.rfftfreq(len(sound), 1 / rate), np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2


@pytest.mark.parametrize("name", sorted(TIMBRES))
@pytest.mark.parametrize("rate", [22050, 48000])
def test_an_instrument_sounds_at_its_pitch_and_level(name: str, rate: int) -> None:
    hertz = 261.6
    sound = tone(TIMBRES[name], hertz, 0.8, 0.8, rate, generator(0, name))
    assert sound.dtype == np.float32
    frequencies, power = spectrum(sound, rate)
    harmonic = np.abs((frequencies / (hertz / 2) + 0.5) % 1 - 0.5) * hertz / 2 < 12
    assert power[harmonic].sum() > 0.85 * power.sum()
    assert 0.02 < np.sqrt(np.mean(sound[: rate // 2] ** 2)) < 0.4


def test_nothing_folds_back_from_above_the_band() -> None:
    buzz = Timbre(rolloff=0.3, cutoff=(1e6, 1e6, 1.0))
    frequencies, power = spectrum(tone(buzz, 3300.0, 0.5, 1.0, RATE, generator(0)), RATE)
    off = np.abs((frequencies / 3300 + 0.5) % 1 - 0.5) * 3300 > 100
    assert power[off].sum() < 1e-4 * power.sum()


def test_a_plucked_string_loses_its_highs_first_and_falls_silent() -> None:
    sound = tone(TIMBRES["nylon_guitar"], 200.0, 1.5, 0.9, RATE, generator(0))
    early, late = sound[1000:6000], sound[20000:25000]
    assert np.mean(late**2) < 0.2 * np.mean(early**2)
    shares = [p[f > 1000].sum() / p.sum() for f, p in (spectrum(early, RATE), spectrum(late, RATE))]
    assert shares[1] < 0.3 * shares[0]
    assert abs(sound[-1]) < 1e-3


@pytest.mark.parametrize("kit", sorted(KITS))
def test_drums_speak_and_stop(kit: str) -> None:
    for name, drum in KITS[kit].items():
        sound = strike(drum, 1.0, 1.0, RATE, generator(0, name))
        assert 0.03 < np.abs(sound).max() < 2
        assert np.abs(sound[-5:]).max() < 0.05, name


@pytest.mark.parametrize("track", ONE_PER_STYLE, ids=lambda track: track.style.name)
def test_every_labelled_player_is_heard_in_a_sane_mix(track: Track) -> None:
    song = track.song()
    samples = int(duration_seconds(song) * RATE)
    for part in song.parts:
        alone = stem(song, part, RATE, samples, generator(0, "stem"))
        assert np.mean(np.abs(alone) > 0.05) > 0.005, part.instrument
    mix = render(song, RATE, 1, generator(0, "mix"))
    assert mix.shape == (1, samples)
    assert np.abs(mix).max() < 1
    assert -32 < 20 * np.log10(np.sqrt(np.mean(mix**2))) < -8
    assert abs(mix.mean()) < 1e-3
    assert longest_silence_seconds(mix[0]) < 1.6


def test_stereo_has_two_different_sides_of_one_song() -> None:
    track = ONE_PER_STYLE[4]
    mix = render(track.song(), RATE, 2, generator(0, "mix"))
    assert mix.shape[0] == 2
    assert 0.2 < np.asarray(np.corrcoef(mix))[0, 1] < 0.999


def test_a_kick_ducks_the_rest_and_lets_go() -> None:
    gain = effects.pump(RATE, np.array([1000]), 0.6, RATE)
    assert gain[999] == 1.0
    assert gain[1000] == pytest.approx(0.4, abs=1e-6)
    assert gain[-1] == pytest.approx(1.0, abs=1e-6)


def test_the_pad_of_a_song_breathes_with_its_kick() -> None:
    song = ONE_PER_STYLE[0].song()
    held = Part("pad", "organ", (Note(0, 16, 60, 0.8),), (), level_db=0, pan=0, send=0)
    kick = Part("drums", "drum_machine", (), (Hit(8, "kick", 1.0),), level_db=-90, pan=0, send=0)
    desk = replace(song.mix, pump=0.8, room_level=0.0, drive=0.0, hiss_db=-90.0, wow_cents=0.0)
    mix = render(replace(song, parts=(held, kick), length=16, mix=desk), RATE, 1, generator(0))[0]
    at = round(8 * 60 / song.bpm * RATE)
    before, after = mix[at - 1000 : at], mix[at : at + 1000]
    assert np.mean(after**2) < 0.25 * np.mean(before**2)


def test_echoes_come_at_multiples_of_the_delay_and_fade() -> None:
    click = np.zeros(5000, np.float32)
    click[0] = 1.0
    repeats = effects.echoes(click, 1000, 0.5, RATE)
    assert not repeats[:1000].any()
    energies = [np.sum(repeats[start : start + 1000]) for start in (1000, 2000, 3000)]
    assert energies == pytest.approx([0.5, 0.25, 0.125], rel=1e-3)


def test_the_room_rings_for_its_decay_time() -> None:
    click = np.zeros(2 * RATE, np.float32)
    click[0] = 1.0
    wet = effects.room(click, 1.0, 2, RATE, generator(0))
    assert wet.shape == (2, 2 * RATE)
    halves = [np.sum(wet[0, start : start + RATE // 2] ** 2) for start in (0, RATE // 2)]
    # 60 dB a second: half a second later 30 dB less, give or take the darker tail.
    assert 20 < 10 * np.log10(halves[0] / halves[1]) < 45
    assert not np.allclose(wet[0], wet[1])


def test_the_level_is_met_and_peaks_are_bent_not_cut() -> None:
    noise = generator(0).normal(size=(1, RATE)).astype(np.float32)
    quiet = effects.level(noise, -24.0)
    assert 20 * np.log10(np.sqrt(np.mean(quiet**2))) == pytest.approx(-24, abs=0.01)
    assert np.abs(effects.level(noise, 0.0)).max() < 0.98


def longest_silence_seconds(sound: np.ndarray) -> float:
    """Longest run of 50 ms windows below -50 dBFS."""
    windows = sound[: len(sound) // 1102 * 1102].reshape(-1, 1102)
    quiet = np.sqrt(np.mean(windows**2, axis=1)) < 10 ** (-50 / 20)
    runs = "".join("q" if silent else " " for silent in quiet).split()
    return max(map(len, runs), default=0) * 0.05
