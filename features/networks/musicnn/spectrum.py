"""What musicnn is given: log-mel spectra at 16 kHz, cut into patches of 3 s."""

import numpy as np

from features.networks.musicnn.reader import HOP, PATCH_FRAMES, RATE
from features.networks.network import Floats
from features.parameters import Parameters
from features.spectral.mel import bands, filtered
from features.spectral.spectrogram import Spectra

_SPECTRUM = Parameters(sample_rate=RATE, n_fft=512, hop_length=HOP, n_mels=96, mel_fmax_hz=RATE / 2)
_BATCH = 4  # patches at a time, 0.4 GB


def log_mel(samples: Floats) -> Floats:
    """Mono samples at 16 kHz (n_samples,) -> (frame, 96): log10(1 + 10,000 m) of the mel bands m rounded to 16 bits.

    The bands are librosa's of today, whose ends are silent; librosa's of 2019 mirrored the track there.
    """
    spectra = Spectra(samples, _SPECTRUM)
    mel = np.empty((_SPECTRUM.n_mels, spectra.n_padded), np.float32)
    for start, power in spectra.blocks():
        filtered(power, *bands(_SPECTRUM), mel[:, start:])
    rounded = mel[:, : spectra.n_frames].T.astype(np.float16).astype(np.float32)
    return np.log10(np.float32(10000) * rounded + np.float32(1))


def in_patches(mel: Floats) -> list[Floats]:
    """(frame, 96) as batches of whole patches (patch, 187, 96), and what is left as a patch of its own."""
    whole = len(mel) // PATCH_FRAMES
    patches = mel[: whole * PATCH_FRAMES].reshape(whole, PATCH_FRAMES, mel.shape[1])
    batches = [patches[start : start + _BATCH] for start in range(0, whole, _BATCH)]
    rest = mel[whole * PATCH_FRAMES :]
    return batches + ([rest[np.newaxis]] if len(rest) else [])
