"""Composes one song: style and composer in, score out."""

import math
from dataclasses import replace

import numpy as np

from evaluation.compose.writing.composer import Composer, choose
from evaluation.compose.writing.parts import ROLES, Sheet, beat
from evaluation.compose.writing.rhythm import swung
from evaluation.compose.writing.score import Hit, Mix, Note, Part, Song, pick
from evaluation.compose.writing.style import Range, Style, Voice
from evaluation.compose.writing.theory import Chord, chord, scale_classes

_SHORTEST_SECONDS = 14.5
_FINAL_BEATS = 2
_TARGET_SECONDS = (14.5, 20.0)


def write(style: Style, artist: Composer, rng: np.random.Generator) -> Song:
    """A new song. Equal arguments and generator states give equal songs."""
    mode = pick(rng, style.modes)
    key = int(rng.integers(12))
    bpm = round(float(rng.uniform(*style.bpm)), 1)
    bars = _bars(style, bpm, rng)
    scale = scale_classes(key, pick(rng, style.melody_scales.get(mode, (mode,))))
    chords = harmony(pick(rng, style.progressions[mode]), key, style.beats, bars)
    if style.ending:
        chords = chords[: -style.beats] + (chords[0],) * style.beats
    sheet = Sheet(style.beats, bars, chords, scale)
    parts = _arranged(_band(style, artist, sheet, rng), sheet, rng)
    if style.ending:
        parts = [_ended(part, sheet) for part in parts]
    share = float(rng.uniform(*style.swing))
    loose_beats = artist.looseness_seconds * bpm / 60
    heard = [part for part in parts if part.notes or part.hits]
    parts = tuple(_played(part, share, style.swing_beats, loose_beats, rng) for part in heard)
    length = bars * style.beats - (style.beats - _FINAL_BEATS if style.ending else 0)
    return Song(
        style.name, key, mode, scale, bpm, style.beats, length, chords, parts, _mix(style, artist, rng)
    )


def harmony(progression: str, key: int, beats: int, bars: int) -> tuple[Chord, ...]:
    """One chord per beat for this many bars of a repeated progression; a bar with `/` changes in its middle."""
    words = progression.split()
    line: list[Chord] = []
    for bar in range(bars):
        halves = words[bar % len(words)].split("/")
        line += [chord(halves[b * len(halves) // beats], key) for b in range(beats)]
    return tuple(line)


def tempo_band(bpm: float) -> str:
    """The label of a tempo: slow below 90 beats a minute, fast from 130."""
    if bpm < 90:
        return "slow"
    return "medium" if bpm < 130 else "fast"


def _bars(style: Style, bpm: float, rng: np.random.Generator) -> int:
    """An even number of bars whose length is near the target and not below the shortest."""
    pair_seconds = 2 * style.beats * 60 / bpm
    unplayed_seconds = (style.beats - _FINAL_BEATS) * 60 / bpm if style.ending else 0.0
    fewest = math.ceil((_SHORTEST_SECONDS + unplayed_seconds) / pair_seconds)
    return 2 * max(fewest, round(rng.uniform(*_TARGET_SECONDS) / pair_seconds))


def _band(style: Style, artist: Composer, sheet: Sheet, rng: np.random.Generator) -> tuple[Part, ...]:
    seated = [voice for voice in style.voices if rng.random() < voice.chance]
    return tuple(_part(style, voice, artist, sheet, rng) for voice in seated)


def _part(style: Style, voice: Voice, artist: Composer, sheet: Sheet, rng: np.random.Generator) -> Part:
    instrument = choose(artist, voice.instruments, rng)
    notes: tuple[Note, ...] = ()
    hits: tuple[Hit, ...] = ()
    if voice.role == "drums":
        hits = beat(sheet, pick(rng, style.grooves), rng)
    else:
        notes = ROLES[voice.role](sheet, voice, rng)
    low = voice.role in ("bass", "walk", "drums")
    return Part(
        voice.role,
        instrument,
        notes,
        hits,
        level_db=voice.level_db + rng.normal(0.0, 2.0),
        pan=rng.uniform(-0.1, 0.1) if low else rng.uniform(-0.7, 0.7),
        send=voice.send,
    )


def _arranged(parts: tuple[Part, ...], sheet: Sheet, rng: np.random.Generator) -> list[Part]:
    """Sections of four bars: in each one player of three or more may rest; the first player never does."""
    if len(parts) < 3:
        return list(parts)
    resting: dict[int, set[int]] = {number: set() for number in range(len(parts))}
    for section in range(math.ceil(sheet.bars / 4)):
        if rng.random() < 0.6:
            resting[int(rng.integers(1, len(parts)))].add(section)
    return [_rest(part, resting[number], 4 * sheet.beats) for number, part in enumerate(parts)]


def _rest(part: Part, sections: set[int], beats: int) -> Part:
    notes = tuple(note for note in part.notes if int(note.start // beats) not in sections)
    hits = tuple(hit for hit in part.hits if int(hit.start // beats) not in sections)
    return replace(part, notes=notes, hits=hits)


def _ended(part: Part, sheet: Sheet) -> Part:
    """The last bar is one stroke, held for two beats: all players stop on its first beat, where all are in chord."""
    last = (sheet.bars - 1) * sheet.beats
    notes = tuple(note for note in part.notes if note.start < last)
    held = tuple(replace(note, length=_FINAL_BEATS) for note in part.notes if note.start == last)
    hits = tuple(hit for hit in part.hits if hit.start <= last)
    return replace(part, notes=notes + held, hits=hits)


def _played(part: Part, share: float, pair: float, loose_beats: float, rng: np.random.Generator) -> Part:
    """Swing and the composer's loose timing."""

    def when(start: float) -> float:
        return max(0.0, swung(start, share, pair) + loose_beats * float(rng.standard_normal()))

    notes = tuple(replace(note, start=when(note.start)) for note in part.notes)
    hits = tuple(replace(hit, start=when(hit.start)) for hit in part.hits)
    return replace(part, notes=notes, hits=hits)


def _mix(style: Style, artist: Composer, rng: np.random.Generator) -> Mix:
    sound = style.sound

    def drawn(values: Range) -> float:
        return float(rng.uniform(*values))

    return Mix(
        room_seconds=drawn(sound.room_seconds),
        room_level=artist.wetness * drawn(sound.room_level),
        echo_beats=pick(rng, sound.echo_beats),
        echo_level=drawn(sound.echo_level),
        pump=drawn(sound.pump),
        drive=drawn(sound.drive) + artist.drive,
        tilt_db=artist.tilt_db + float(rng.normal(0.0, 1.0)),
        lowpass_hz=drawn(sound.lowpass_hz),
        hiss_db=artist.hiss_db + float(rng.normal(0.0, 3.0)),
        crackle=max(0.0, drawn(sound.crackle) - 0.2),
        wow_cents=drawn(sound.wow_cents),
        crush_bits=pick(rng, sound.crush_bits),
        level_db=artist.level_db + float(rng.normal(0.0, 1.5)),
        tuning_cents=artist.tuning_cents,
        softness=artist.softness,
    )
