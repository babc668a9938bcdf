"""Random frames of random songs, that depend on names and seed alone."""

import hashlib
from collections.abc import Sequence

import numpy as np

SAMPLE_FRAMES = 262_144  # frames a comparison model is fitted on, spread evenly over the songs
SAMPLED_SONGS = 4096  # that they come from, at most


def sample_songs(track_ids: Sequence[str], seed: int) -> set[str]:
    """A random part of the songs that depends on their names only, or all of them."""
    order = sorted(track_ids, key=lambda track: hashlib.sha256(f"{seed} {track}".encode()).digest())
    return set(order[:SAMPLED_SONGS])


def frames_per_song(n_songs: int) -> int:
    """How many frames of each of so many songs."""
    return max(1, SAMPLE_FRAMES // max(1, n_songs))


def sample_frames(track_id: str, frames: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most `most` random frames of a song, (frame, dim), in their order.

    The draw depends on the seed and the track id only, not on how songs are packed into blocks.
    """
    unit = int.from_bytes(hashlib.sha256(track_id.encode()).digest()[:8], "big")
    chosen = np.random.default_rng([seed, unit]).choice(
        len(frames), size=min(most, len(frames)), replace=False
    )
    return frames[np.sort(chosen)]
