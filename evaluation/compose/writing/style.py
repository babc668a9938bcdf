"""What a style is: ranges and choices from which a composer draws. `styles` holds the records.

Rhythms are text, four characters to a beat: `x` plays, `X` accents, `o` plays softly, `-` holds, `.` rests. A bass
line names the chord tone instead: 1, 3, 5, 7 or 8 (the octave). Chords are Roman numerals, one word a bar; `/`
divides a bar in halves.
"""

from dataclasses import dataclass, field

Range = tuple[float, float]
Groove = dict[str, str]


@dataclass(frozen=True)
class Voice:
    """One seat of the band: a role, who may take it, what it may play, and how often the seat is taken."""

    role: str
    instruments: tuple[str, ...]
    low: int = 48
    high: int = 72
    patterns: tuple[str, ...] = ()
    level_db: float = 0.0
    send: float = 0.3
    chance: float = 1.0


@dataclass(frozen=True)
class Sound:
    """Ranges of the mix; the meaning of each is in `score.Mix`."""

    room_seconds: Range = (0.4, 1.2)
    room_level: Range = (0.1, 0.3)
    echo_beats: tuple[float, ...] = (0.75,)
    echo_level: Range = (0.0, 0.0)
    pump: Range = (0.0, 0.0)
    drive: Range = (0.0, 0.4)
    lowpass_hz: Range = (9000.0, 18000.0)
    crackle: Range = (0.0, 0.0)
    wow_cents: Range = (0.0, 0.0)
    crush_bits: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Style:
    """A kind of music. `swing` is the share of a swung pair's first half, `swing_beats` the length of the pair."""

    name: str
    bpm: Range
    modes: tuple[str, ...]
    progressions: dict[str, tuple[str, ...]]
    voices: tuple[Voice, ...]
    grooves: tuple[Groove, ...] = ()
    beats: int = 4
    swing: Range = (0.5, 0.5)
    swing_beats: float = 1.0
    melody_scales: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ending: bool = False
    sound: Sound = Sound()
