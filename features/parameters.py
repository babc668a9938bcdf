"""The numbers that feature blocks are computed with."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from features.networks.network import Network
from features.own_frames import OwnFrames


@dataclass(frozen=True)
class Parameters:
    """Of the waveform, the spectrogram and the feature blocks, by librosa's definitions and defaults.

    Units are in the names; levels without one are linear, 1.0 is full scale. Raises ValueError on nonsense.
    """

    sample_rate: int = 22050
    n_fft: int = 2048
    hop_length: int = 512
    window: str = "hann"
    n_mels: int = 128
    mel_fmin_hz: float = 0.0
    mel_fmax_hz: float = 11025.0
    power_floor: float = 1e-10
    top_db: float = 80.0
    n_mfcc: int = 13
    delta_width: int = 9
    n_chroma: int = 12
    tuning_fmin_hz: float = 150.0
    tuning_fmax_hz: float = 4000.0
    tuning_threshold: float = 0.1
    tuning_resolution: float = 0.01
    onset_lag: int = 1
    log_floor: float = 1e-8
    resample_quality: str = "HQ"
    silence_peak: float = 1e-4
    overflow_peak: float = 1e12
    max_seconds: float = 10800.0
    # Raised by hand when a change of our code changes feature values.
    revision: int = 4
    # Of the block `network`, which gives it its sample_rate.
    network: Network | None = None
    frames: OwnFrames | None = None  # of the block `frames`

    def __post_init__(self) -> None:
        for name, record in (("network", Network), ("frames", OwnFrames)):
            if isinstance(given := getattr(self, name), Mapping):  # JSON has no records
                object.__setattr__(self, name, record(**given))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and value < 0:
                raise ValueError(f"{field.name} must not be negative, got {value}")
        self._require_sizes()

    def _require_sizes(self) -> None:
        for name in ("sample_rate", "n_fft", "hop_length", "n_mels", "n_mfcc", "n_chroma", "onset_lag"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.n_fft < 32 or self.n_fft & (self.n_fft - 1):
            raise ValueError(f"n_fft must be a power of two and at least 32, got {self.n_fft}")
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length must not exceed n_fft = {self.n_fft}, got {self.hop_length}")
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc must not exceed n_mels = {self.n_mels}, got {self.n_mfcc}")
        if self.delta_width < 3 or self.delta_width % 2 == 0:
            raise ValueError(f"delta_width must be odd and at least 3, got {self.delta_width}")

    def stft_frames(self, n_samples: int) -> int:
        """Frames of `n_samples` in a centred STFT: frame n is centred at sample n * hop_length."""
        return 1 + n_samples // self.hop_length
