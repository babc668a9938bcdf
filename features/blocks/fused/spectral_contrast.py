"""spectral_contrast: peak over valley in dB of each octave band, equal to `librosa.feature.spectral_contrast`."""

from typing import Any

from features.blocks.block import STFT, Block, numbered
from features.blocks.sources import Gathered
from features.parameters import Parameters
from features.spectral.bands import bands

_PARAMETERS: dict[str, Any] = {"fmin": 200.0, "n_bands": 6, "quantile": 0.02}


def _columns(given: Parameters) -> list[str]:
    """Raises ValueError where the spectrogram has no room for the bands."""
    bands(given, **_PARAMETERS)
    return numbered("spectral_contrast", _PARAMETERS["n_bands"] + 1)


def _gathered(given: Parameters, n_frames: int) -> Gathered:
    from features.spectral.contrast import Extremes  # compiled code, which who plans does not load

    return Extremes(bands(given, **_PARAMETERS), n_frames)


BLOCKS = (
    Block(
        "spectral_contrast",
        "spectrogram",
        _gathered,
        _columns,
        STFT,
        _PARAMETERS,
    ),
)
