"""Scales, chords and voicings. Pitches are MIDI numbers (60 = C4, 69 = A4), pitch classes 0..11 with C = 0."""

import re
from dataclasses import dataclass

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic_minor": (0, 2, 3, 5, 7, 8, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "blues": (0, 3, 5, 6, 7, 10),
    "major_pentatonic": (0, 2, 4, 7, 9),
    "minor_pentatonic": (0, 3, 5, 7, 10),
}

QUALITIES: dict[str, tuple[int, ...]] = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "dim": (0, 3, 6),
    "5": (0, 7),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "6": (0, 4, 7, 9),
    "m6": (0, 3, 7, 9),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m7": (0, 3, 7, 10),
    "m7b5": (0, 3, 6, 10),
    "9": (0, 4, 7, 10, 14),
    "maj9": (0, 4, 7, 11, 14),
    "m9": (0, 3, 7, 10, 14),
    "add9": (0, 4, 7, 14),
}

_DEGREES = {"I": 0, "II": 2, "III": 4, "IV": 5, "V": 7, "VI": 9, "VII": 11}
_SYMBOL = re.compile(r"(b?)(VII|III|VI|IV|II|V|I)(.*)")


@dataclass(frozen=True)
class Chord:
    """A root (pitch class) and the intervals above it in semitones, the root first."""

    root: int
    intervals: tuple[int, ...]

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """The chord's tones from the root up."""
        return tuple((self.root + interval) % 12 for interval in self.intervals)


def chord(symbol: str, key: int) -> Chord:
    """The chord that a symbol such as `bVIImaj7` names in a key: degrees count from the major scale of the tonic.

    Raises ValueError for an unknown numeral or quality.
    """
    match = _SYMBOL.fullmatch(symbol)
    if match is None or match[3] not in QUALITIES:
        raise ValueError(f"chord symbol {symbol!r}: expected numeral and quality such as V7, bVI or IIm7")
    degree = _DEGREES[match[2]] - len(match[1])
    return Chord((key + degree) % 12, QUALITIES[match[3]])


def pitches(classes: tuple[int, ...], low: int, high: int) -> tuple[int, ...]:
    """All pitches of these pitch classes from low to high, both included, in rising order."""
    return tuple(pitch for pitch in range(low, high + 1) if pitch % 12 in classes)


def scale_classes(key: int, scale: str) -> tuple[int, ...]:
    """Pitch classes of a scale on a tonic."""
    return tuple((key + step) % 12 for step in SCALES[scale])


def nearest(target: int, candidates: tuple[int, ...]) -> int:
    """The candidate closest to the target, the lower one of two. Raises ValueError without candidates."""
    return min(candidates, key=lambda pitch: (abs(pitch - target), pitch))


def place(pitch_class: int, low: int) -> int:
    """The lowest pitch of this class that is not below `low`."""
    return low + (pitch_class - low) % 12


def voicing(harmony: Chord, previous: tuple[int, ...], low: int, high: int) -> tuple[int, ...]:
    """All tones of a chord in close position, in the inversion that moves least from the previous voicing.

    Without a previous voicing the middle of the range attracts. The voicing lies between low and high where the
    range has room for it (a range of two octaves always has).
    """
    centre = sum(previous) / len(previous) if previous else (low + high) / 2
    candidates = [_inversion(harmony, turn, low, high) for turn in range(len(harmony.intervals))]
    shifted = [tuple(tone + 12 * octave for tone in tones) for tones in candidates for octave in range(3)]
    inside = [tones for tones in shifted if tones[-1] <= high] or candidates
    return min(inside, key=lambda tones: abs(sum(tones) / len(tones) - centre))


def frequency(pitch: float) -> float:
    """Hz of a MIDI pitch, equal temperament, A4 = 440 Hz."""
    return 440.0 * 2.0 ** ((pitch - 69) / 12)


def _inversion(harmony: Chord, turn: int, low: int, high: int) -> tuple[int, ...]:
    classes = harmony.pitch_classes
    tones = [place(classes[turn], low)]
    for step in range(1, len(classes)):
        tones.append(place(classes[(turn + step) % len(classes)], tones[-1] + 1))
    return tuple(tones)
