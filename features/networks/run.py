"""Frames of a network: loaded once a process from where it lies, checked against its digests, pooled, projected."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from features.errors import BadTrack
from features.networks import READERS, find_network
from features.networks.network import Choice, Frames, Network, Pca, read_pca

Floats = NDArray[np.float32]


def network_frames(samples: Floats, network: Network) -> Floats:
    """Mono samples at `network.sample_rate` (n_samples,) -> (frame, kept_features), float32.

    Raises ValueError where the network is not, or no longer, the one of the record; BadTrack for values that its
    storage does not hold.
    """
    layer, project = _loaded(network, network.path, network.pca_path, network.device)
    frames = layer(samples)
    if frames.shape != (expected := (network.layer_frames(len(samples)), network.n_features)):
        raise ValueError(f"network.layer {network.layer!r}: {frames.shape} values, expected {expected}")
    frames = pooled(frames, network.pool_frames)
    if project is not None:
        frames = project(frames)
    most = np.finfo(network.storage).max
    if not (np.abs(frames) <= most).all():
        raise BadTrack(
            "NON_FINITE",
            f"the network's layer {network.layer} gives values that {network.storage} cannot hold",
        )
    return frames


def pooled(frames: Floats, count: int) -> Floats:
    """Means of `count` consecutive frames (frame, dim); the last of those that are left."""
    if count == 1 or not len(frames):
        return frames
    starts = np.arange(0, len(frames), count)
    lengths = np.diff(np.append(starts, len(frames))).astype(np.float32)
    return np.divide(np.add.reduceat(frames, starts, axis=0), lengths[:, None], dtype=np.float32)


@lru_cache(maxsize=1)
def _loaded(network: Network, path: str, pca_path: str, device: str) -> tuple[Frames, Pca | None]:
    """path, pca_path, device: those of the network, which do not count when networks are compared."""
    if not path:
        raise ValueError(
            "network.path: a record does not say where its network lies, name it in the configuration"
        )
    choice = Choice(path, network.layer, network.pool_frames, pca_path, storage="float16")
    found = replace(find_network(choice), storage=network.storage)
    for name, here in found.to_json().items():
        if here != (asked := getattr(network, name)):
            raise ValueError(f"network.path: {path} has {name} {here}, the features are of {asked}")
    return READERS[network.reader].load(network), read_pca(pca_path) if pca_path else None
