"""Harmony and rhythm against spelled-out music and laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.compose.writing.rhythm import onsets, swung
from evaluation.compose.writing.theory import (
    NAMES,
    QUALITIES,
    chord,
    frequency,
    nearest,
    pitches,
    place,
    scale_classes,
    voicing,
)


@pytest.mark.parametrize(
    ("symbol", "key", "tones"),
    [
        ("I", "C", "C E G"),
        ("V7", "C", "G B D F"),
        ("IIm7", "F", "G Bb D F"),
        ("bVIImaj7", "D", "C E G B"),
        ("VIIdim", "Bb", "A C Eb"),
        ("bVI", "A", "F A C"),
        ("IIm7b5", "C", "D F Ab C"),
        ("Im9", "A", "A C E G B"),
    ],
)
def test_chords_are_spelled_as_in_a_textbook(symbol: str, key: str, tones: str) -> None:
    found = chord(symbol, NAMES.index(key)).pitch_classes
    assert [NAMES[tone] for tone in found] == tones.split()


@pytest.mark.parametrize("symbol", ["VIII", "Imaj", "xV", ""])
def test_an_unknown_chord_symbol_is_named(symbol: str) -> None:
    with pytest.raises(ValueError, match="chord symbol"):
        chord(symbol, 0)


@pytest.mark.parametrize(
    ("tonic", "scale", "tones"),
    [
        ("Eb", "major", "Eb F G Ab Bb C D"),
        ("A", "minor", "A B C D E F G"),
        ("D", "dorian", "D E F G A B C"),
        ("G", "mixolydian", "G A B C D E F"),
        ("A", "harmonic_minor", "A B C D E F Ab"),
        ("E", "blues", "E G A Bb B D"),
    ],
)
def test_scales(tonic: str, scale: str, tones: str) -> None:
    assert [NAMES[tone] for tone in scale_classes(NAMES.index(tonic), scale)] == tones.split()


def test_concert_pitch_and_octaves() -> None:
    assert frequency(69) == 440.0
    assert frequency(57) == pytest.approx(220.0, rel=1e-12)


def test_places_on_the_keyboard() -> None:
    assert place(0, 48) == 48
    assert place(11, 48) == 59
    assert pitches((0, 7), 47, 60) == (48, 55, 60)
    assert nearest(50, (48, 52, 60)) == 48


@given(st.integers(0, 11), st.sampled_from(sorted(QUALITIES)), st.integers(40, 60))
def test_a_voicing_has_all_tones_once_in_rising_order_within_two_octaves(
    key: int, quality: str, low: int
) -> None:
    harmony = chord("I" + quality, key)
    tones = voicing(harmony, (), low, low + 24)
    assert sorted(tone % 12 for tone in tones) == sorted(harmony.pitch_classes)
    assert list(tones) == sorted(set(tones))
    assert low <= tones[0]
    assert tones[-1] <= low + 24


def test_voices_move_less_than_with_chords_in_root_position() -> None:
    first = voicing(chord("I", 0), (), 48, 72)
    second = voicing(chord("IV", 0), first, 48, 72)
    assert sum(abs(a - b) for a, b in zip(first, second, strict=True)) <= 5


def test_a_pattern_reads_as_starts_lengths_and_strengths() -> None:
    found = onsets("X--.o.1-")
    assert [(o.start, o.length, o.mark) for o in found] == [
        (0.0, 0.75, "X"),
        (1.0, 0.25, "o"),
        (1.5, 0.5, "1"),
    ]
    assert found[0].velocity > found[2].velocity > found[1].velocity


def test_swing_moves_the_off_beat_only() -> None:
    assert swung(3.5, 0.66, 1.0) == pytest.approx(3.66)
    assert swung(3.25, 0.6, 0.5) == pytest.approx(3.3)
    assert swung(2.0, 0.66, 1.0) == 2.0
    assert swung(2.75, 0.66, 1.0) == pytest.approx(2.83)


@given(st.floats(0, 50), st.floats(0, 50), st.floats(0.5, 0.7))
def test_swing_keeps_the_order_and_half_is_straight(a: float, b: float, share: float) -> None:
    early, late = sorted((a, b))
    assert swung(early, share, 1.0) <= swung(late, share, 1.0) + 1e-9
    assert swung(a, 0.5, 1.0) == pytest.approx(a, abs=1e-9)
