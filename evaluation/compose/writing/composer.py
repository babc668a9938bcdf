"""The composers: each works in two styles and takes habits from one to the other.

A composer is the `group` of a track. Habits (favourite instruments, brightness, room, noise, level, timing) make
tracks of one composer alike across styles, so a fair split keeps a composer on one side.
"""

from dataclasses import dataclass

import numpy as np

from evaluation.compose.sound.kits import KITS
from evaluation.compose.sound.timbres import TIMBRES
from evaluation.compose.writing.score import generator, pick

COMPOSERS = 30
_SHIFTS = (3, 4, 1)


@dataclass(frozen=True)
class Composer:
    """Habits. `ranking` orders instruments by taste; `loyalty` is how often the favourite of a choice wins."""

    name: str
    ranking: tuple[str, ...]
    loyalty: float
    tilt_db: float
    wetness: float
    drive: float
    hiss_db: float
    level_db: float
    tuning_cents: float
    looseness_seconds: float
    softness: float


def composer(seed: int, number: int) -> Composer:
    """The composer with this number, the same in every corpus of the seed."""
    rng = generator(seed, "composer", number)
    names = (*TIMBRES, *KITS)
    return Composer(
        name=f"composer_{number:02d}",
        ranking=tuple(names[index] for index in rng.permutation(len(names))),
        loyalty=rng.uniform(0.15, 0.5),
        tilt_db=rng.normal(0.0, 1.7),
        wetness=rng.uniform(0.6, 1.4),
        drive=rng.uniform(0.0, 0.5),
        hiss_db=rng.uniform(-88.0, -58.0),
        level_db=rng.uniform(-23.0, -15.0),
        tuning_cents=rng.normal(0.0, 8.0),
        looseness_seconds=rng.uniform(0.0, 0.012),
        softness=rng.uniform(0.75, 1.35),
    )


def style_number(track: int, styles: int, composers: int) -> int:
    """Which style a track is in: consecutive tracks run through all styles, composers alternate between two."""
    number = track % composers
    second = (track // composers) % 2
    shift = _SHIFTS[(number // styles) % len(_SHIFTS)]
    return (number + second * shift) % styles


def composers_for(tracks: int, styles: int) -> int:
    """How many composers share a corpus: about four tracks each, a whole number of rounds through the styles."""
    return max(COMPOSERS, styles * round(tracks / (4.3 * styles)))


def choose(artist: Composer, instruments: tuple[str, ...], rng: np.random.Generator) -> str:
    """An instrument for a seat: the composer's favourite of the choices, or any of them."""
    if rng.random() < artist.loyalty:
        return min(instruments, key=artist.ranking.index)
    return pick(rng, instruments)
