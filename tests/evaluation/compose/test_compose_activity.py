"""Who plays when, from the score."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.compose.activity import energy_shares
from evaluation.compose.plan import plan
from evaluation.compose.writing.score import Note, Part, Song

RATE, WINDOW, HOP = 22050, 2048, 512


def shares_of(song: Song, n_frames: int) -> np.ndarray:
    return energy_shares(song, RATE, WINDOW, HOP, n_frames, np.random.default_rng(0))


def part(instrument: str, start: float, length: float, level_db: float = 0.0) -> Part:
    return Part("melody", instrument, (Note(start, length, 60, 1.0),), (), level_db, 0.0, 0.0)


@pytest.fixture(scope="module")
def song() -> Song:
    return replace(plan(1, 0)[0].song(), bpm=60.0, length=6)


def test_players_who_take_turns_share_nothing(song: Song):
    duet = replace(song, parts=(part("organ", 0.0, 2.0), part("flute", 3.0, 2.0)))
    found = shares_of(duet, 258)
    flute, organ = (found[:, duet.instruments.index(name)] for name in ("flute", "organ"))
    seconds = np.arange(258) * HOP / RATE
    np.testing.assert_allclose(organ[(seconds > 0.1) & (seconds < 1.8)], 1.0)
    np.testing.assert_allclose(flute[(seconds > 3.1) & (seconds < 4.8)], 1.0)
    assert found[(seconds > 5.9)].sum() == 0.0  # nobody plays


def test_levels_are_powers(song: Song):
    """The same player twice, 20 dB apart, under two names: 100 to 1."""
    both = replace(song, parts=(part("organ", 0.0, 2.0), part("organ", 0.0, 2.0, -20.0)))
    alone = shares_of(both, 80)
    np.testing.assert_allclose(alone[:60], 1.0)
    duet = replace(song, parts=(part("organ", 0.0, 2.0), part("flute", 0.0, 2.0, -20.0)))
    louder = replace(song, parts=(part("organ", 0.0, 2.0), part("flute", 0.0, 2.0, 0.0)))
    quiet, even = (shares_of(s, 60)[30, s.instruments.index("flute")] for s in (duet, louder))
    assert even / (1 - even) / (quiet / (1 - quiet)) == pytest.approx(100, rel=0.01)


def test_rows_add_to_one_or_to_nothing():
    for planned in plan(10, 3)[:10:4]:
        written = planned.song()
        found = shares_of(written, 400)
        total = found.sum(axis=1)
        assert found.shape == (400, len(written.instruments))
        np.testing.assert_allclose(total[total > 0], 1.0, rtol=1e-5)
        assert (total > 0).mean() > 0.9
