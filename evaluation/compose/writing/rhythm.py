"""Rhythm text to onsets, and swing. Four steps to a beat."""

from dataclasses import dataclass

STEPS = 4
_STRENGTH = {"X": 1.0, "x": 0.8, "o": 0.45}


@dataclass(frozen=True)
class Onset:
    """A played step: beats from the start of the pattern, sounding length, the character, its velocity 0..1."""

    start: float
    length: float
    mark: str
    velocity: float


def onsets(pattern: str) -> tuple[Onset, ...]:
    """The played steps of a pattern; `-` lengthens the step before it. Digits are played steps too."""
    found = []
    for step, mark in enumerate(pattern):
        if mark in "-.":
            continue
        held = len(pattern[step + 1 :]) - len(pattern[step + 1 :].lstrip("-"))
        found.append(Onset(step / STEPS, (1 + held) / STEPS, mark, _STRENGTH.get(mark, 0.8)))
    return tuple(found)


def swung(beat: float, share: float, pair: float) -> float:
    """Where a straight time falls when each pair of equal halves becomes share : 1 - share. Beats in, beats out."""
    whole, part = divmod(beat / pair, 1.0)
    bent = 2 * share * part if part < 0.5 else share + (2 * part - 1) * (1 - share)
    return pair * (whole + bent)
