"""A written song: what is played when, and how it is mixed. Times are beats from the start, pitches MIDI."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from evaluation.compose.writing.theory import Chord

T = TypeVar("T")


@dataclass(frozen=True)
class Note:
    """One note of a pitched part; velocity 0..1."""

    start: float
    length: float
    pitch: int
    velocity: float


@dataclass(frozen=True)
class Hit:
    """One stroke of a drum kit; `drum` names a record of the kit, velocity 0..1."""

    start: float
    drum: str
    velocity: float


@dataclass(frozen=True)
class Part:
    """One player. Exactly one of notes and hits is used. `pan` -1..1, `send` 0..1 goes to the room."""

    role: str
    instrument: str
    notes: tuple[Note, ...]
    hits: tuple[Hit, ...]
    level_db: float
    pan: float
    send: float


@dataclass(frozen=True)
class Mix:
    """What happens between the players and the file."""

    room_seconds: float
    room_level: float
    echo_beats: float
    echo_level: float
    pump: float
    drive: float
    tilt_db: float
    lowpass_hz: float
    hiss_db: float
    crackle: float
    wow_cents: float
    crush_bits: int
    level_db: float
    tuning_cents: float
    softness: float


@dataclass(frozen=True)
class Song:
    """Style, harmony and players. `beats` make a bar, `length` is beats until the room has the last word.

    `chords` has one entry per beat, `scale` is the melody's pitch classes.
    """

    style: str
    key: int
    mode: str
    scale: tuple[int, ...]
    bpm: float
    beats: int
    length: int
    chords: tuple[Chord, ...]
    parts: tuple[Part, ...]
    mix: Mix

    @property
    def instruments(self) -> tuple[str, ...]:
        """Names of the players, each once, sorted."""
        return tuple(sorted({part.instrument for part in self.parts}))


def sub_seed(*path: int | str) -> int:
    """A 64-bit seed for one purpose, by hashing the path that names it, such as (seed, track, "notes")."""
    digest = hashlib.sha256(json.dumps(path).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def generator(*path: int | str) -> np.random.Generator:
    """The random generator of one purpose."""
    return np.random.default_rng(sub_seed(*path))


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of the choices, all equally likely."""
    return choices[int(rng.integers(len(choices)))]
