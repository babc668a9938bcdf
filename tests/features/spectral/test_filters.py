"""The filter banks against librosa's."""

import dataclasses

import librosa
import numpy as np
import pytest

from features.spec import PRESETS
from features.spectral.filters import chroma_filters, mel_centres, mel_filters

_PAPER = PRESETS["paper-52"]
_SPECS = [
    _PAPER,
    dataclasses.replace(_PAPER, sample_rate=16000, n_fft=1024, n_mels=40, mel_fmax_hz=8000.0),
    dataclasses.replace(_PAPER, mel_fmin_hz=50.0, n_chroma=24),
]


@pytest.mark.parametrize("spec", _SPECS)
def test_mel_is_that_of_librosa(spec):
    theirs = librosa.filters.mel(
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        fmin=spec.mel_fmin_hz,
        fmax=spec.mel_fmax_hz,
    )
    np.testing.assert_array_equal(mel_filters(spec), theirs)
    assert mel_filters(spec).dtype == theirs.dtype


@pytest.mark.parametrize("spec", _SPECS)
def test_mel_bands_are_centred_where_librosas_are(spec):
    theirs = librosa.mel_frequencies(spec.n_mels + 2, fmin=spec.mel_fmin_hz, fmax=spec.mel_fmax_hz)
    np.testing.assert_allclose(mel_centres(spec), theirs[1:-1])


@pytest.mark.parametrize("spec", _SPECS)
def test_chroma_is_that_of_librosa_at_every_tuning(spec):
    for tuning in np.linspace(-0.5, 0.5, 101):
        theirs = librosa.filters.chroma(
            sr=spec.sample_rate, n_fft=spec.n_fft, n_chroma=spec.n_chroma, tuning=tuning
        )
        np.testing.assert_array_equal(chroma_filters(spec, float(tuning)), theirs)
