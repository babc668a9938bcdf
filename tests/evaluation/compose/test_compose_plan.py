"""The plan of a corpus: balance of styles, composers and formats, and labels that tell the truth."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from evaluation.compose.plan import CHANNELS, COLUMNS, FORMATS, RATES, labels, plan
from evaluation.compose.writing.styles import STYLES
from evaluation.compose.writing.theory import NAMES

DEFAULT = plan(128, 0)


@pytest.mark.parametrize("tracks", [60, 128, 150, 400])
def test_every_style_has_five_composers_and_every_composer_two_styles(tracks: int) -> None:
    composers, styles = defaultdict(set), defaultdict(set)
    for track in plan(tracks, 1):
        composers[track.style.name].add(track.artist.name)
        styles[track.artist.name].add(track.style.name)
    assert len(composers) == len(STYLES)
    assert min(map(len, composers.values())) >= 5
    assert set(map(len, styles.values())) == {2}


def test_composers_write_three_to_five_tracks_and_styles_are_balanced() -> None:
    assert set(Counter(track.artist.name for track in DEFAULT).values()) <= {3, 4, 5}
    assert set(Counter(track.style.name for track in DEFAULT).values()) <= {12, 13}


def test_all_formats_rates_and_channels_meet() -> None:
    kinds = {(track.extension, track.rate, track.channels) for track in DEFAULT}
    assert len(kinds) == len(FORMATS) * len(RATES) * len(CHANNELS)


def test_no_format_rate_or_channel_count_gives_a_style_away() -> None:
    for name in ("extension", "rate", "channels"):
        table = defaultdict(Counter)
        for track in DEFAULT:
            table[track.style.name][getattr(track, name)] += 1
        shares = [np.array(list(counts.values())) / counts.total() for counts in table.values()]
        assert all(len(share) == len(shares[0]) for share in shares)
        assert max(abs(share - 1 / len(share)).max() for share in shares) < 0.16


def test_one_track_per_style_from_ten_tracks_on() -> None:
    assert {track.style.name for track in plan(10, 3)} == {style.name for style in STYLES}


def test_files_have_their_own_names_in_a_folder_per_style() -> None:
    assert len({track.file for track in DEFAULT}) == 128
    assert all(track.file.startswith(f"{track.style.name}/") for track in DEFAULT)


def test_another_seed_is_another_corpus_and_the_same_seed_the_same() -> None:
    assert plan(20, 5) == plan(20, 5)
    assert all(a.song() != b.song() for a, b in zip(plan(10, 5), plan(10, 6), strict=True))


def test_labels_say_what_is_played() -> None:
    for track in DEFAULT[:30]:
        song = track.song()
        row = labels(track, song)
        assert tuple(row) == COLUMNS
        assert row["file"] == track.file
        assert row["instruments"].split("|") == sorted({part.instrument for part in song.parts})
        band = "slow" if float(row["bpm"]) < 90 else "medium" if float(row["bpm"]) < 130 else "fast"
        assert (row["style"], row["mode"], row["tempo"]) == (song.style, song.mode, band)
        assert row["group"] == track.artist.name
        if track.style.name in ("techno", "waltz", "blues", "chorale", "dub"):
            # Their progressions all begin on the tonic.
            assert NAMES.index(row["key"]) == song.chords[0].root


def test_labels_vary_within_styles_and_instruments_are_shared_between_them() -> None:
    rows = [labels(track, track.song()) for track in DEFAULT]
    assert {row["tempo"] for row in rows} == {"slow", "medium", "fast"}
    assert len({row["mode"] for row in rows}) >= 4
    homes = defaultdict(set)
    for row in rows:
        for instrument in row["instruments"].split("|"):
            homes[instrument].add(row["style"])
    assert len(homes["piano"]) >= 4
    assert len(homes["drum_kit"]) >= 4
    assert sum(len(home) > 1 for home in homes.values()) > 0.7 * len(homes)
