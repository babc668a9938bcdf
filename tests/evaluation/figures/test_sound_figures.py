"""Figures of a sound: marks lie where the numbers say, and a sentence says what they show."""

import re

import numpy as np
import pytest

from evaluation.figures import sound
from evaluation.report.template import environment


def drawn(name: str, figure: object) -> str:
    return str(getattr(environment().get_template("figures.html").module, name)(figure))


def points(path: str) -> np.ndarray:
    return np.array([[float(x) for x in pair.split(",")] for pair in re.findall(r"[-\d.]+,[-\d.]+", path)])


def test_a_spectrum_is_a_line_in_a_band_of_one_deviation():
    hertz = np.array([250.0, 500.0, 1000.0, 2000.0])
    own, sd = np.array([0.0, -10.0, -20.0, -20.0]), np.array([2.0, 2.0, 5.0, 0.0])
    figure = sound.spectrum(hertz, own, sd, np.array([-4.0, -10.0, -40.0, -20.0]))
    assert [level for _, level in figure.levels] == ["-40", "-30", "-20", "-10", "0", "10"]
    line = points(figure.line)
    np.testing.assert_allclose(line[:, 0], [12.5, 37.5, 62.5, 87.5])
    np.testing.assert_allclose(10 - line[:, 1] / 2, own, atol=0.05)
    band = points(figure.band)
    np.testing.assert_allclose(10 - band[:, 1] / 2, [*(own + sd), *(own - sd)[::-1]], atol=0.05)
    assert figure.ticks == ((37.5, "0.5"), (62.5, "1"), (87.5, "2"))
    assert "Highest next to all the music at 1 kHz (+20 dB), lowest at 500 Hz (+0 dB)" in figure.description
    assert f'd="{figure.line}"' in drawn("spectrum", figure)


def test_a_flat_spectrum_has_a_scale():
    flat = np.zeros(3)
    assert len(sound.spectrum(np.array([1.0, 2.0, 3.0]), flat, flat, flat).levels) == 2


def test_pitch_classes_are_bars_with_the_corpus_beside_them():
    figure = sound.pitches(("C", "G"), np.array([0.5, 0.25]), np.array([1.0, 0.0]))
    assert [(name, height, corpus) for name, _, height, corpus in figure.bars] == [
        ("C", 50, 100),
        ("G", 25, 0),
    ]
    assert figure.bars[1][1] - figure.bars[0][1] == pytest.approx(50)
    assert "Most: C, G." in figure.description
    assert 'height="25.0"' in drawn("pitches", figure)


def test_ranges_are_in_deviations_of_the_corpus_and_stay_inside():
    rows = [("Level", " dB", -20.0, 5.0, -30.0, 10.0), ("Attack", "", 9.0, 0.5, 0.0, 1.0)]
    figure = sound.ranges(rows)
    level, attack = figure.ranges
    assert (figure.corpus_left, figure.corpus_width) == (pytest.approx(33.3), pytest.approx(33.4))
    assert (level.at, level.left, level.width) == (
        pytest.approx(66.7),
        pytest.approx(58.3),
        pytest.approx(16.7),
    )
    assert (attack.at, attack.left, attack.width) == (100, 100, 0)
    assert (level.value, attack.value) == ("-20.0 ± 5.0 dB", "9.00 ± 0.50")
    assert "Level -20.0 ± 5.0 dB, all the music -30 ± 10 dB;" in figure.description
    assert 'x="58.3"' in drawn("ranges", figure)
