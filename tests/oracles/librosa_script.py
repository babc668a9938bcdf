"""The 52 features as a user of librosa writes them: the definition that ours are compared with."""

import librosa
import numpy as np


def features(waveform: np.ndarray, sample_rate: int = 22050) -> np.ndarray:
    """(n_samples,) float32 mono -> (n_frames, 52) float32."""
    mfcc = librosa.feature.mfcc(y=waveform, sr=sample_rate, n_mfcc=13)
    chroma = librosa.feature.chroma_stft(y=waveform, sr=sample_rate)
    onset = librosa.onset.onset_strength(y=waveform, sr=sample_rate)
    return _together(mfcc, chroma, onset)


def features_from_one_spectrogram(waveform: np.ndarray, sample_rate: int = 22050) -> np.ndarray:
    """The same, as a user writes it who has seen that the spectrogram is computed three times."""
    power = np.abs(librosa.stft(waveform)) ** 2
    mel = librosa.feature.melspectrogram(S=power, sr=sample_rate)
    mel_db = librosa.power_to_db(mel)
    mfcc = librosa.feature.mfcc(S=mel_db, n_mfcc=13)
    chroma = librosa.feature.chroma_stft(S=power, sr=sample_rate)
    onset = librosa.onset.onset_strength(S=mel_db, sr=sample_rate)
    return _together(mfcc, chroma, onset)


def _together(mfcc: np.ndarray, chroma: np.ndarray, onset: np.ndarray) -> np.ndarray:
    delta = librosa.feature.delta(mfcc)
    delta2 = librosa.feature.delta(mfcc, order=2)
    log_chroma = np.log(np.maximum(chroma, 1e-8))
    log_onset = np.log(np.maximum(onset, 1e-8))[np.newaxis]
    return np.concatenate([mfcc, delta, delta2, log_chroma, log_onset]).T


def tuning(waveform: np.ndarray, sample_rate: int = 22050) -> float:
    """The tuning that `chroma_stft` finds, in fractions of a semitone."""
    power = np.abs(librosa.stft(waveform)) ** 2
    return librosa.estimate_tuning(S=power, sr=sample_rate, bins_per_octave=12)


def load(path: str) -> np.ndarray:
    """A file as mono at 22,050 Hz: (n_samples,) float32."""
    waveform, _ = librosa.load(path, sr=22050, mono=True)
    return waveform
