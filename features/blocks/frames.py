"""frames: what a user brings by track, see features.own_frames."""

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from features.blocks.block import Block, Grid, numbered
from features.blocks.sources import Waveform
from features.own_frames import OwnFrames
from features.parameters import Parameters


def _of(parameters: Parameters) -> OwnFrames:
    if parameters.frames is None:
        raise ValueError("features: 'frames' needs frames.path, where your frames are")
    return parameters.frames


def _none(_: Waveform) -> NoReturn:
    raise ValueError("features: 'frames' are a user's own and are not computed from audio")


def _columns(parameters: Parameters) -> Sequence[str]:
    return numbered("frame", _of(parameters).n_features, digits=4)


def _grid(parameters: Parameters) -> Grid:
    own = _of(parameters)
    hop_samples = max(2, round(parameters.sample_rate / own.frames_per_second))
    return Grid(hop_samples, np.dtype(own.storage).newbyteorder("<").str, lambda n: -(-n // hop_samples))


BLOCKS = (Block("frames", "waveform", _none, _columns, frozenset({"frames"}), grid=_grid),)
