"""What each role plays over a chord sheet. Every function returns notes in straight time, in key by construction."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evaluation.compose.writing.rhythm import Onset, onsets
from evaluation.compose.writing.score import Hit, Note, pick
from evaluation.compose.writing.style import Groove, Voice
from evaluation.compose.writing.theory import Chord, nearest, pitches, place, voicing

_TONES = {"1": 0, "3": 1, "5": 2, "7": 3, "8": 0}


@dataclass(frozen=True)
class Sheet:
    """What all players read: bars of `beats` beats, one chord per beat, the pitch classes of the melody's scale."""

    beats: int
    bars: int
    chords: tuple[Chord, ...]
    scale: tuple[int, ...]

    def changes(self) -> tuple[tuple[int, int, Chord], ...]:
        """(first beat, beats, chord) of each stretch with one chord; a stretch ends at the bar line."""
        starts = [
            b for b in range(len(self.chords)) if b % self.beats == 0 or self.chords[b] != self.chords[b - 1]
        ]
        ends = [*starts[1:], len(self.chords)]
        return tuple(
            (start, end - start, self.chords[start]) for start, end in zip(starts, ends, strict=True)
        )


def pad(sheet: Sheet, voice: Voice, rng: np.random.Generator) -> tuple[Note, ...]:
    """Held chords that move as little as possible."""
    notes: list[Note] = []
    previous: tuple[int, ...] = ()
    for start, length, harmony in sheet.changes():
        previous = voicing(harmony, previous, voice.low, voice.high)
        notes += [Note(start, length, pitch, 0.6) for pitch in previous]
    return tuple(notes)


def comp(sheet: Sheet, voice: Voice, rng: np.random.Generator) -> tuple[Note, ...]:
    """Chords in a rhythm."""
    rhythm = onsets(pick(rng, voice.patterns))
    notes: list[Note] = []
    previous: tuple[int, ...] = ()
    for start, onset in _through(sheet, rhythm):
        previous = voicing(sheet.chords[int(start)], previous, voice.low, voice.high)
        accent = onset.velocity * rng.uniform(0.85, 1.05)
        notes += [Note(start, onset.length, pitch, accent) for pitch in previous]
    return tuple(notes)


def arp(sheet: Sheet, voice: Voice, rng: np.random.Generator) -> tuple[Note, ...]:
    """Chord tones one after another: up, down, up and down, or a fixed random order."""
    rhythm = onsets(pick(rng, voice.patterns))
    low = voice.low + int(rng.integers(0, 6))
    width = pick(rng, (4, 5, 6))
    order = _order(width, rng)
    notes = []
    for count, (start, onset) in enumerate(_through(sheet, rhythm)):
        tones = pitches(sheet.chords[int(start)].pitch_classes, low, low + 36)
        pitch = tones[order[count % len(order)] % len(tones)]
        notes.append(Note(start, onset.length, pitch, onset.velocity * rng.uniform(0.7, 1.0)))
    return tuple(notes)


def bass(sheet: Sheet, voice: Voice, rng: np.random.Generator) -> tuple[Note, ...]:
    """A riff of named chord tones, one or two bars long."""
    riffs = tuple(onsets(pick(rng, voice.patterns)) for _ in range(2))
    turn = pick(rng, ((0, 0), (0, 1), (0, 0)))
    notes = []
    for bar in range(sheet.bars):
        for onset in riffs[turn[bar % 2]]:
            start = bar * sheet.beats + onset.start
            pitch = _bass_pitch(sheet.chords[int(start)], onset.mark, voice)
            notes.append(Note(start, onset.length, pitch, rng.uniform(0.75, 0.95)))
    return tuple(notes)


def walk(sheet: Sheet, voice: Voice, rng: np.random.Generator) -> tuple[Note, ...]:
    """A walking bass: roots where chords change, chord tones between, a semitone below or above before a change."""
    notes: list[Note] = []
    pitch = (voice.low + voice.high) // 2
    for start, length, harmony in sheet.changes():
        root = nearest(pitch, pitches((harmony.root,), voice.low, voice.high))
        tones = pitches(harmony.pitch_classes, voice.low, voice.high)
        line = [root, *(int(rng.choice([t for t in tones if abs(t - root) <= 9])) for _ in range(length - 1))]
        following = sheet.chords[(start + length) % len(sheet.chords)]
        pitch = nearest(root, pitches((following.root,), voice.low, voice.high))
        if length > 2:
            line[-1] = pitch + (1 if pitch == voice.low else pick(rng, (-1, 1, -1)))
        notes += [Note(start + beat, 0.95, tone, rng.uniform(0.75, 0.95)) for beat, tone in enumerate(line)]
    return tuple(notes)


def melody(sheet: Sheet, voice: Voice, rng: np.random.Generator) -> tuple[Note, ...]:
    """Two one-bar motifs as a tune: a a b a'. Strong beats take chord tones, the others steps of the scale."""
    motifs = tuple((onsets(pick(rng, voice.patterns)), rng.integers(-2, 3, 16)) for _ in range(2))
    form = pick(rng, ((0, 0, 1, 0), (0, 1, 0, 1), (0, 0, 0, 1)))
    ladder = pitches(sheet.scale, voice.low, voice.high)
    anchor = (2 * voice.low + voice.high) // 3 + 2
    notes: list[Note] = []
    for bar in range(sheet.bars):
        rhythm, moves = motifs[form[bar % 4]]
        phrase = _phrase(sheet, bar, rhythm, moves, ladder, anchor)
        notes += [Note(*place_, float(rng.uniform(0.7, 0.95))) for place_ in phrase]
    return tuple(notes)


def beat(sheet: Sheet, groove: Groove, rng: np.random.Generator) -> tuple[Hit, ...]:
    """A groove through all bars with a fill at the end of every fourth."""
    strokes = {drum: onsets(pattern) for drum, pattern in groove.items()}
    hits = []
    for bar in range(sheet.bars):
        filled = bar % 4 == 3 and rng.random() < 0.7
        for drum, rhythm in strokes.items():
            kept = [onset for onset in rhythm if not (filled and onset.start >= sheet.beats - 1)]
            hits += [Hit(bar * sheet.beats + o.start, drum, o.velocity * rng.uniform(0.8, 1.0)) for o in kept]
        if filled:
            hits += _fill(bar * sheet.beats + sheet.beats - 1, tuple(strokes), rng)
    return tuple(sorted(hits, key=lambda hit: hit.start))


ROLES: dict[str, Callable[[Sheet, Voice, np.random.Generator], tuple[Note, ...]]] = {
    "pad": pad,
    "comp": comp,
    "arp": arp,
    "bass": bass,
    "hits": bass,
    "walk": walk,
    "melody": melody,
}


def _through(sheet: Sheet, rhythm: tuple[Onset, ...]) -> list[tuple[float, Onset]]:
    return [(bar * sheet.beats + onset.start, onset) for bar in range(sheet.bars) for onset in rhythm]


def _order(width: int, rng: np.random.Generator) -> list[int]:
    up = list(range(width))
    return pick(rng, (up, up[::-1], up + up[-2:0:-1], [int(i) for i in rng.permutation(width)]))


def _bass_pitch(harmony: Chord, mark: str, voice: Voice) -> int:
    interval = harmony.intervals[min(_TONES[mark], len(harmony.intervals) - 1)]
    pitch = place(harmony.root, voice.low) + interval + (12 if mark == "8" else 0)
    return pitch if pitch <= voice.high else pitch - 12


def _phrase(
    sheet: Sheet,
    bar: int,
    rhythm: tuple[Onset, ...],
    moves: np.ndarray,
    ladder: tuple[int, ...],
    anchor: int,
) -> list[tuple[float, float, int]]:
    """(start, length, pitch) of one bar; the tune drifts by `moves` steps from the anchor and turns at the ends."""
    index = ladder.index(nearest(anchor, ladder))
    phrase = []
    for count, onset in enumerate(rhythm):
        start = bar * sheet.beats + onset.start
        index = abs(index + int(moves[count]))
        index = min(index, 2 * (len(ladder) - 1) - index)
        pitch = ladder[index]
        if onset.start % 2 == 0 or onset.length >= 1:
            pitch = nearest(pitch, pitches(sheet.chords[int(start)].pitch_classes, ladder[0], ladder[-1]))
        phrase.append((start, onset.length, pitch))
    return phrase


def _fill(start: float, drums: tuple[str, ...], rng: np.random.Generator) -> list[Hit]:
    usable = tuple(drum for drum in ("snare", "tom", "rim", "clap") if drum in drums) or ("tom",)
    steps = [step for step in range(4) if rng.random() < 0.75] or [0]
    return [Hit(start + step / 4, pick(rng, usable), 0.55 + 0.1 * step) for step in steps]
