"""A user's own frames as the features of a corpus: whose they are, and the track list that says where they lie."""

import io
import logging
from functools import lru_cache

import numpy as np
import pyarrow as pa

from features.own_frames import OwnFrames
from infra.config import FramesConfig
from infra.datasets.own_frames import Listed, list_frames, places_of, read_bytes
from infra.errors import ConfigError
from infra.root.schemas import BYTES, TRACK_ID, URI

log = logging.getLogger(__name__)
NOWHERE = ""  # the address of a track without frames


def own_frames(config: FramesConfig) -> OwnFrames:
    """The record of the frames that the configuration names; their width is that of the first.

    Raises ConfigError where there are none, ValueError where they cannot be.
    """
    listed = _listed(config.path or "")
    first = np.load(io.BytesIO(read_bytes(listed.addresses[0])), allow_pickle=False)
    if first.ndim not in (1, 2):
        raise ConfigError(
            f"extract.frames.path: {listed.addresses[0]}: {first.shape}, expected (frame, dim) or (dim,)"
        )
    return OwnFrames(listed.digest, first.shape[-1], config.frames_per_second, config.storage)


def with_places(tracks: pa.Table, config: FramesConfig) -> pa.Table:
    """The track list with the address and the size of each track's frames in place of its audio's."""
    ids = tracks[TRACK_ID].to_pylist()
    places, lost = places_of(_listed(config.path or ""), ids)
    for words in lost:
        log.warning("extract: %s: %s", config.path, words)
    if not places:
        raise ConfigError(f"extract.frames.path: {config.path}: frames of no track of the corpus")
    uris, sizes = zip(*(places.get(track, (NOWHERE, 0)) for track in ids), strict=True)
    for name, values in ((URI, uris), (BYTES, sizes)):
        number = tracks.schema.get_field_index(name)
        tracks = tracks.set_column(
            number, tracks.schema.field(number), pa.array(values, tracks.schema.field(number).type)
        )
    return tracks


@lru_cache(maxsize=2)
def _listed(path: str) -> Listed:
    """Once a process: a run is of the frames that were there when it began."""
    return list_frames(path)
