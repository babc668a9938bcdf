"""network: frames of a layer of a network, see features.networks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.blocks.block import Block, Grid, numbered
from features.blocks.sources import Waveform
from features.networks.network import Network
from features.parameters import Parameters


def _of(parameters: Parameters) -> Network:
    if parameters.network is None:
        raise ValueError("features: 'network' needs network.path, the network's file or folder")
    return parameters.network


def _frames(track: Waveform) -> NDArray[np.float32]:
    from features.networks.run import network_frames  # which reads weights with torch

    return network_frames(track.samples, _of(track.parameters)).T


def _columns(parameters: Parameters) -> Sequence[str]:
    network = _of(parameters)
    return numbered("pca" if network.pca else "network", network.kept_features, digits=4)


def _grid(parameters: Parameters) -> Grid:
    network = _of(parameters)
    hop_samples = network.hop_samples * network.pool_frames
    return Grid(hop_samples, np.dtype(network.storage).newbyteorder("<").str, network.n_frames)


BLOCKS = (
    Block("network", "waveform", _frames, _columns, frozenset({"network"}), libraries=("torch",), grid=_grid),
)
