"""Clips: the right piece, without clicks, inside the range."""

import io

import numpy as np
import soundfile

from evaluation.figures.clips import cut, encode_mp3


def test_the_piece_is_where_it_was_asked_for():
    samples = np.arange(1000, dtype=np.float32) / 1000
    piece = cut(samples, 100, 2.0, 3.0)
    assert len(piece) == 300
    np.testing.assert_allclose(piece[10:-10], samples[210:490])
    assert piece[0] == piece[-1] == 0.0


def test_a_piece_beyond_the_end_is_shorter_and_nothing_is_louder_than_full_scale():
    loud = np.full(100, 3.0, dtype=np.float32)
    piece = cut(loud, 100, 0.5, 3.0)
    assert len(piece) == 50
    assert piece.max() == 1.0
    assert loud.max() == 3.0


def test_mp3_decodes_back():
    time = np.arange(22050) / 22050
    wave = (0.3 * np.sin(2 * np.pi * 200 * time)).astype(np.float32)
    mp3 = encode_mp3(wave, 22050)
    decoded, rate = soundfile.read(io.BytesIO(mp3))
    assert rate == 22050
    assert abs(np.std(decoded) - np.std(wave)) < 0.03
    assert len(mp3) * 8 < 64_000  # a second of a constant 56 kbit/s and the frames at its ends
