"""Containers that libsndfile does not know, written here by FFmpeg's own encoders."""

import contextlib
import subprocess
import sys

import numpy as np
import pytest

from features.audio.decode import decode
from features.errors import BadTrack
from features.extract import extract
from features.spec import PRESETS
from tests.features import signals

_SPEC = PRESETS["paper-52"]
_RATE_HZ = 48000


def _music(seconds: float = 3.0) -> np.ndarray:
    return signals.stereo(signals.chords(seconds, _RATE_HZ), _RATE_HZ)


def _lag(one: np.ndarray, two: np.ndarray) -> tuple[int, float]:
    """By how many samples `two` is late (negative: early), and the correlation then."""
    n = min(len(one), len(two))
    one, two = one[:n], two[:n]
    cross = np.fft.irfft(np.fft.rfft(two, 2 * n) * np.fft.rfft(one, 2 * n).conj())
    lag = (int(np.argmax(cross)) + n) % (2 * n) - n
    if lag < 0:
        one, two = two, one
    late = abs(lag)
    return lag, float(np.corrcoef(one[: n - late], two[late:])[0, 1])


@pytest.mark.parametrize("kind", signals.FOREIGN)
def test_the_waveform_is_that_of_the_music(kind):
    samples = _music()
    audio = decode(signals.encode_foreign(kind, samples), "track", _SPEC)
    wav = decode(signals.encode(samples, _RATE_HZ, "WAV", "PCM_16"), "track", _SPEC)
    lag, correlation = _lag(wav.samples, audio.samples)
    assert abs(lag) < 0.06 * _SPEC.sample_rate  # an encoder's delay
    assert correlation > 0.9
    assert (audio.source_rate, audio.channels) == (_RATE_HZ, 2)
    assert audio.duration_seconds == pytest.approx(3.0, abs=0.1)
    assert audio.decoder.startswith("ffmpeg ")


@pytest.mark.parametrize("kind", ["m4a, alac", "matroska, pcm"])
def test_lossless_is_exact(kind):
    samples = np.round(_music() * 32767) / 32768
    audio = decode(signals.encode_foreign(kind, samples), "track", _SPEC)
    wav = decode(signals.encode(samples, _RATE_HZ, "WAV", "PCM_16"), "track", _SPEC)
    np.testing.assert_allclose(audio.samples, wav.samples, atol=2**-14)
    assert len(audio.samples) == len(wav.samples)


@pytest.mark.parametrize("kind", signals.FOREIGN)
@pytest.mark.parametrize("kept", [0.4, 0.97])
def test_truncated(kind, kept):
    data = signals.encode_foreign(kind, _music())
    with pytest.raises(BadTrack) as bad:
        decode(data[: int(kept * len(data))], "track", _SPEC)
    assert bad.value.reason == "TRUNCATED"


def test_an_index_that_did_not_arrive():
    data = signals.encode_foreign("m4a, aac", _music())
    with pytest.raises(BadTrack, match="no moov box"):
        decode(data[: data.index(b"moov") - 4], "track", _SPEC)


@pytest.mark.parametrize("kind", signals.FOREIGN)
def test_too_short(kind):
    with pytest.raises(BadTrack) as bad:
        extract(signals.encode_foreign(kind, _music(0.05)), "track", _SPEC)
    assert bad.value.reason == "TOO_SHORT"


@pytest.mark.parametrize("kind", signals.FOREIGN)
def test_damage_never_raises_anything_else(kind):
    data = signals.encode_foreign(kind, _music(0.5))
    for damaged in signals.damaged(data, 20):
        with contextlib.suppress(BadTrack):
            assert np.isfinite(extract(damaged, "track", _SPEC).frames).all()


def test_ffmpeg_is_not_loaded_for_nothing():
    script = "import sys; import features.worker; print('av' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, timeout=60
    ).stdout
    assert output.split() == [b"False"]
