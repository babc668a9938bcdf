"""Waveform -> frame features, by librosa 0.11's definitions: every block of the specification into its columns.

What is a quantity of the whole track comes after its spectrogram: the tuning, by which chroma depends on every frame,
and the loudest mel band, the ceiling of top_db.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.blocks.block import Block, Source
from features.blocks.sources import Mel, Power, Waveform, parts
from features.spec import FeatureSpec
from features.spectral.fft import LANES
from features.spectral.mel import bands, filtered, power_to_db
from features.spectral.spectrogram import Spectra
from features.spectral.tuning import Peaks

Frames = NDArray[np.float32]


def frame_features(samples: Frames, spec: FeatureSpec) -> NDArray[Any]:
    """Features of mono samples at `spec.sample_rate`: (n_samples,) float32 -> (n_frames, n_features) `spec.dtype`.

    Memory beside the samples: at most KEPT_BYTES of spectrogram, and for each frame n_mels floats, its features and
    8 bytes for each of its spectral peaks; for blocks of the whole waveform, what librosa takes
    (docs/adding-a-feature-block.md). Raises ValueError below `spec.min_frames` frames.
    """
    n_frames = spec.n_frames(len(samples))
    if n_frames < spec.min_frames:
        raise ValueError(f"{n_frames} frames, the features need at least {spec.min_frames}")
    out = np.empty((n_frames, spec.n_features), spec.dtype)
    sources = {block.source for block in spec.blocks}
    if sources & {"mel", "power", "spectrogram"}:
        _put_spectral(samples, spec, sources, out)
    track = Waveform(samples, spec)
    if "waveform" in sources:
        _put("waveform", track, spec, out)
    if "part" in sources:
        for part in parts(track):
            _put("part", part, spec, out[part.start : part.stop])
    return out


def _put(source: Source, given: Any, spec: FeatureSpec, out: NDArray[Any]) -> None:
    """The blocks of a source into their columns of (frame, feature)."""
    for block in spec.blocks:
        if block.source != source:
            continue
        _put_block(block, block.compute(given), spec, out)


def _put_block(block: Block, values: NDArray[Any], spec: FeatureSpec, out: NDArray[Any]) -> None:
    place = out[:, spec.block(block.name)]
    if values.shape != place.shape[::-1]:
        raise ValueError(f"{block.name}: {values.shape} values, expected {place.shape[::-1]}")
    place[:] = values.T


def _put_spectral(samples: Frames, spec: FeatureSpec, sources: Collection[str], out: NDArray[Any]) -> None:
    """The blocks of mel bands, of power and of the spectrogram, all gathered in one pass over it."""
    spectra, banks = Spectra(samples, spec), bands(spec)
    mel = np.empty((spec.n_mels if "mel" in sources else 0, spectra.n_padded), np.float32)
    peaks = Peaks(spec) if "power" in sources else None
    gathering = [
        (block, block.compute(spec, spectra.n_frames))
        for block in spec.blocks
        if block.source == "spectrogram"
    ]
    for start, power in spectra.blocks():
        if len(mel):
            filtered(power, *banks, mel[:, start:])
        if peaks:
            peaks.add(power, min(len(power) * LANES, spectra.n_frames - start))
        for _, gathered in gathering:
            gathered.add(start, power)
    for block, gathered in gathering:
        _put_block(block, gathered.values(), spec, out)
    if len(mel):
        _put("mel", Mel(power_to_db(mel[:, : spectra.n_frames], spec), spec), spec, out)
    del mel
    if peaks:
        _put("power", Power(spectra, peaks.tuning(), spec), spec, out)
