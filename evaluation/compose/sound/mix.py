"""Plays a song: every part becomes a stem, the stems become the samples of a file."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evaluation.compose.sound import effects
from evaluation.compose.sound.drums import strike
from evaluation.compose.sound.filters import Floats
from evaluation.compose.sound.kits import KITS
from evaluation.compose.sound.timbres import TIMBRES
from evaluation.compose.sound.tone import Timbre, tone
from evaluation.compose.writing.score import Part, Song
from evaluation.compose.writing.theory import frequency

_ECHOED = ("comp", "arp", "melody")
_PUMPED = ("comp", "arp", "pad", "bass")
_GRID = 24


def duration_seconds(song: Song) -> float:
    """Length of the file: the beats and the time the room takes to fall silent."""
    return song.length * 60 / song.bpm + 0.6 + 0.4 * song.mix.room_seconds


def render(song: Song, rate: int, channels: int, rng: np.random.Generator) -> Floats:
    """The mixed song, float32 (channels, samples), peak below 1."""
    samples = int(duration_seconds(song) * rate)
    dry = np.zeros((channels, samples), np.float32)
    send, echoed = np.zeros((2, samples), np.float32)
    dips = effects.pump(samples, _kicks(song, rate), song.mix.pump, rate)
    for part in song.parts:
        sound = stem(song, part, rate, samples, rng) * np.float32(0.12 * 10 ** (part.level_db / 20))
        if part.role in _PUMPED:
            sound *= dips
        if part.role in _ECHOED:
            echoed += sound
        dry += _gains(part.pan, channels)[:, None] * sound
        send += np.float32(part.send) * sound
    repeats = _repeats(song, echoed, rate)
    dry += repeats
    send += np.float32(0.4) * repeats
    wet = effects.room(send, song.mix.room_seconds, channels, rate, rng)
    return _mastered(dry + np.float32(2 * song.mix.room_level) * wet, song, rate, rng)


def stem(song: Song, part: Part, rate: int, samples: int, rng: np.random.Generator) -> Floats:
    """One part alone, dry, float32 (samples,), unit RMS where it plays."""
    sound = _strokes(song, part, rate, samples, rng) if part.hits else _notes(song, part, rate, samples, rng)
    loud = sound[np.abs(sound) > 1e-3]
    return sound / np.float32(math.sqrt(np.mean(loud**2)) if len(loud) else 1.0)


def _notes(song: Song, part: Part, rate: int, samples: int, rng: np.random.Generator) -> Floats:
    timbre = _voiced(TIMBRES[part.instrument], song.mix.softness)
    sound = np.zeros(samples, np.float32)
    played: dict[tuple[int, int, int], Floats] = {}
    for note in part.notes:
        ticks = max(1, round(note.length * _GRID))
        key = (note.pitch, ticks, round(note.velocity * 6))
        if key not in played:
            hertz = frequency(note.pitch + song.mix.tuning_cents / 100)
            seconds = 0.96 * ticks / _GRID * 60 / song.bpm
            played[key] = tone(timbre, hertz, seconds, max(key[2], 1) / 6, rate, rng)
        _add(sound, played[key], round(note.start * 60 / song.bpm * rate))
    return sound


def _strokes(song: Song, part: Part, rate: int, samples: int, rng: np.random.Generator) -> Floats:
    kit = KITS[part.instrument]
    tune = float(rng.uniform(0.8, 1.25))
    sound = np.zeros(samples, np.float32)
    takes = {drum: [strike(kit[drum], 1.0, tune, rate, rng) for _ in range(3)] for drum in _drums(part)}
    for count, hit in enumerate(part.hits):
        stroke = takes[hit.drum][count % 3] * np.float32(hit.velocity)
        _add(sound, stroke, round(hit.start * 60 / song.bpm * rate))
    return sound


def _drums(part: Part) -> list[str]:
    return sorted({hit.drum for hit in part.hits})


def _voiced(timbre: Timbre, softness: float) -> Timbre:
    start, end, seconds = timbre.cutoff
    return replace(timbre, cutoff=(start / softness, end / softness, seconds))


def _add(sound: Floats, piece: Floats, start: int) -> None:
    target = sound[start : start + len(piece)]
    target += piece[: len(target)]


def _kicks(song: Song, rate: int) -> NDArray[np.int64]:
    starts = [hit.start for part in song.parts for hit in part.hits if hit.drum == "kick"]
    return np.round(np.array(starts) * 60 / song.bpm * rate).astype(np.int64)


def _repeats(song: Song, sound: Floats, rate: int) -> Floats:
    delay = round(song.mix.echo_beats * 60 / song.bpm * rate)
    return effects.echoes(sound, delay, song.mix.echo_level, rate)


def _gains(pan: float, channels: int) -> Floats:
    if channels == 1:
        return np.ones(1, np.float32)
    angle = (pan + 1) * math.pi / 4
    return np.array([math.cos(angle), math.sin(angle)], np.float32) * np.float32(math.sqrt(2))


def _mastered(mix: Floats, song: Song, rate: int, rng: np.random.Generator) -> Floats:
    desk = song.mix
    mix = effects.drive(effects.wow(mix, desk.wow_cents, rate, rng), desk.drive)
    mix = effects.tilt(effects.crush(mix, desk.crush_bits), desk.tilt_db, rate)
    mix = effects.lowpass(effects.without_dc(mix, rate), desk.lowpass_hz, rate)
    mix = effects.level(mix, desk.level_db)
    mix = mix + np.float32(10 ** (desk.hiss_db / 20)) * rng.standard_normal(mix.shape[1], np.float32)
    if desk.crackle:
        mix = mix + effects.crackle(mix.shape[1], desk.crackle, rate, rng)
    return effects.faded(mix, 0.5 + 0.3 * desk.room_seconds, rate)
