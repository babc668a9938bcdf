"""Written songs: in key, within the style, as long as promised. No sound is rendered here."""

from dataclasses import replace

import pytest

from evaluation.compose.sound.kits import KITS
from evaluation.compose.sound.mix import duration_seconds
from evaluation.compose.sound.timbres import TIMBRES
from evaluation.compose.writing.composer import composer
from evaluation.compose.writing.score import Part, Song, generator
from evaluation.compose.writing.style import Style
from evaluation.compose.writing.styles import STYLES
from evaluation.compose.writing.theory import chord
from evaluation.compose.writing.writer import harmony, tempo_band, write

each_style = pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
SONGS = 15


def songs(style: Style) -> list[Song]:
    """Songs on the grid: nobody plays loosely or swings."""
    straight = replace(style, swing=(0.5, 0.5))
    artists = [replace(composer(7, number), looseness_seconds=0.0) for number in range(SONGS)]
    return [write(straight, artist, generator(7, number, "score")) for number, artist in enumerate(artists)]


def parts(style: Style, *roles: str) -> list[tuple[Song, Part]]:
    return [(song, part) for song in songs(style) for part in song.parts if part.role in roles]


def test_there_are_at_least_eight_styles_and_no_two_with_one_name() -> None:
    assert len({style.name for style in STYLES}) == len(STYLES) >= 8


@each_style
def test_records_are_well_formed(style: Style) -> None:
    lengths = {len(pattern) for voice in style.voices for pattern in voice.patterns}
    lengths |= {len(pattern) for groove in style.grooves for pattern in groove.values()}
    assert lengths == {4 * style.beats}
    assert set(style.modes) == set(style.progressions)
    for voice in style.voices:
        assert set(voice.instruments) <= set(KITS if voice.role == "drums" else TIMBRES)
    for kit in KITS.values():
        assert all(set(groove) <= set(kit) for groove in style.grooves)


@each_style
def test_songs_are_in_the_styles_tempo_and_mode_and_15_to_30_seconds_long(style: Style) -> None:
    for song in songs(style):
        assert style.bpm[0] - 0.1 <= song.bpm <= style.bpm[1] + 0.1
        assert song.mode in style.modes
        assert 15 <= duration_seconds(song) <= 30


@each_style
def test_accompaniment_plays_the_chord_of_its_beat(style: Style) -> None:
    found = parts(style, "pad", "comp", "arp", "bass", "hits")
    assert found
    for song, part in found:
        for note in part.notes:
            assert note.pitch % 12 in song.chords[int(note.start)].pitch_classes, (
                song.style,
                part.role,
                note,
            )


@each_style
def test_melodies_stay_in_the_scale_or_on_the_chord(style: Style) -> None:
    found = parts(style, "melody")
    assert found or all(voice.role != "melody" for voice in style.voices)
    for song, part in found:
        for note in part.notes:
            assert note.pitch % 12 in {*song.scale, *song.chords[int(note.start)].pitch_classes}


def test_a_walking_bass_meets_the_root_where_the_chord_changes_and_leads_to_it() -> None:
    blues = next(style for style in STYLES if style.name == "blues")
    for song, part in parts(blues, "walk"):
        for note in part.notes:
            beat = int(note.start)
            here, following = song.chords[beat], song.chords[(beat + 1) % len(song.chords)]
            if beat % song.beats == 0 or song.chords[beat - 1] != here:
                assert note.pitch % 12 == here.root
            else:
                assert note.pitch % 12 in {
                    *here.pitch_classes,
                    (following.root - 1) % 12,
                    (following.root + 1) % 12,
                }


def test_melodies_use_more_than_one_pitch_and_differ_between_songs() -> None:
    waltz = next(style for style in STYLES if style.name == "waltz")
    tunes = [tuple(note.pitch for note in part.notes) for _, part in parts(waltz, "melody")]
    assert len(set(tunes)) == len(tunes)
    assert min(len(set(tune)) for tune in tunes) >= 3


def test_a_progression_repeats_and_a_slash_halves_the_bar() -> None:
    found = harmony("I/IV V7", 0, 4, 3)
    names = ("I", "I", "IV", "IV", "V7", "V7", "V7", "V7", "I", "I", "IV", "IV")
    assert found == tuple(chord(name, 0) for name in names)


@each_style
def test_every_player_plays_and_notes_begin_within_the_song(style: Style) -> None:
    for song in songs(style):
        assert len(song.parts) >= 1
        for part in song.parts:
            assert bool(part.notes) != bool(part.hits)
            assert all(0 <= event.start < song.length for event in (*part.notes, *part.hits))
            assert all(0 < event.velocity <= 1.1 for event in (*part.notes, *part.hits))


def test_styles_with_an_ending_close_on_their_first_chord() -> None:
    for style in (style for style in STYLES if style.ending):
        for song in songs(style):
            last = len(song.chords) - song.beats
            final = [note for part in song.parts for note in part.notes if note.start >= last]
            assert {note.start for note in final} <= {float(last)}
            assert {note.pitch % 12 for note in final} <= set(song.chords[0].pitch_classes)


def test_lofi_and_blues_swing_and_a_loose_composer_is_off_the_grid() -> None:
    by_name = {style.name: style for style in STYLES}
    tight, loose = (
        replace(composer(7, 0), looseness_seconds=0.0),
        replace(composer(7, 0), looseness_seconds=0.01),
    )

    def off_grid(name: str, artist_of: object) -> bool:
        song = write(by_name[name], artist_of, generator(7, 3, "score"))  # pyright: ignore[reportArgumentType]
        events = [event for part in song.parts for event in (*part.notes, *part.hits)]
        return any(abs(event.start * 4 - round(event.start * 4)) > 1e-6 for event in events)

    assert off_grid("blues", tight)
    assert off_grid("lofi", tight)
    assert not off_grid("techno", tight)
    assert off_grid("techno", loose)


@pytest.mark.parametrize(("bpm", "band"), [(89.9, "slow"), (90, "medium"), (129.9, "medium"), (130, "fast")])
def test_tempo_bands(bpm: float, band: str) -> None:
    assert tempo_band(bpm) == band


def test_the_same_generator_writes_the_same_song_and_another_does_not() -> None:
    first, again, other = (write(STYLES[3], composer(0, 1), generator(0, n, "score")) for n in (5, 5, 6))
    assert first == again != other
