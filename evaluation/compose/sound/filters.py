"""The two filters everything here is shaped with. Signals are (..., samples) and keep their kind of float."""

import numpy as np
import scipy.signal
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def butterworth(sound: Floats, hertz: float | tuple[float, float], kind: str, rate: int) -> Floats:
    """Second-order `lowpass`, `highpass` or `bandpass` (between a pair of frequencies)."""
    sections = np.asarray(scipy.signal.butter(2, hertz, kind, fs=rate, output="sos"))
    return np.asarray(scipy.signal.sosfilt(sections, sound)).astype(sound.dtype)


def onepole(sound: Floats, hertz: float, rate: int) -> Floats:
    """First-order low-pass, unit gain at zero."""
    keep = np.exp(-2 * np.pi * hertz / rate)
    b, a = np.array([1 - keep], sound.dtype), np.array([1, -keep], sound.dtype)
    return np.asarray(scipy.signal.lfilter(b, a, sound))
