"""The power spectrogram of a track, block by block, from one float64 spectrum of each frame.

Frames go eight side by side through the Fourier transform (features.spectral.fft), the mel bands and the search for
spectral peaks, a block at a time, so that all of it stays in the processor's cache.
"""

from collections.abc import Iterator

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from features.parameters import Parameters
from features.spectral.fft import LANES, Transform

BLOCK_FRAMES = 64
# Of power spectrogram, 25 minutes. That of a longer track is computed a second time for the chroma.
KEPT_BYTES = 256 << 20

Frames = NDArray[np.float32]


class Spectra:
    """Power spectrogram of a track, block by block: centred frames, zero padding."""

    def __init__(self, samples: Frames, parameters: Parameters) -> None:
        self._samples, self._parameters = samples, parameters
        self._transform = Transform(
            np.asarray(scipy.signal.get_window(parameters.window, parameters.n_fft), np.float64)
        )
        self.n_frames = parameters.stft_frames(len(samples))
        self._n_groups = -(-self.n_frames // LANES)
        keeps = 4 * self._transform.n_bins * self.n_padded <= KEPT_BYTES
        self._kept: list[Frames] | None = [] if keeps else None

    @property
    def n_padded(self) -> int:
        """Frames, made a multiple of the lanes by silent ones."""
        return self._n_groups * LANES

    def blocks(self) -> Iterator[tuple[int, Frames]]:
        """(first frame, |STFT|^2 as (group, bin, lane))."""
        for number, group in enumerate(range(0, self._n_groups, BLOCK_FRAMES // LANES)):
            if self._kept is None:
                yield group * LANES, self._power(group)
                continue
            if number == len(self._kept):
                self._kept.append(self._power(group))
            yield group * LANES, self._kept[number]

    def _power(self, group: int) -> Frames:
        n_fft, hop = self._parameters.n_fft, self._parameters.hop_length
        n_groups = min(BLOCK_FRAMES // LANES, self._n_groups - group)
        n_needed = n_fft + (n_groups * LANES - 1) * hop
        start = group * LANES * hop - n_fft // 2
        needed = part = self._samples[max(0, start) : start + n_needed]
        if len(part) < n_needed:  # at the ends
            needed, begin = np.zeros(n_needed, np.float32), max(0, -start)
            needed[begin : begin + len(part)] = part
        # complex64 before the modulus, as in librosa: the tuning estimate counts peaks and feels the last bit
        magnitude = np.abs(self._transform(needed, hop, n_groups))
        return np.square(magnitude, out=magnitude)
