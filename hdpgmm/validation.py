"""What songs have to be before a model sees them: checked once, with errors that name the song and the frame."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hdpgmm.data.whitening import Whitening
from hdpgmm.ragged import Ragged, packed, ragged

Songs = Sequence[np.ndarray] | tuple[np.ndarray, np.ndarray]

LARGEST = 1e100  # of values: sums of squares and covariances of these are float64
SMALLEST = 1e-100  # that the widest feature varies by, for the same reason
FARTHEST = 1e12  # standard deviations of the songs fitted: float32 has no squares of a frame much farther off
AT_ONCE = 1 << 18  # frames checked at once


def checked(songs: Songs, n_features: int | None = None) -> Ragged[np.ndarray]:
    """A sequence of (n_frames, n_features) arrays, or (values, offsets) of all of them, as songs.

    Raises ValueError for other shapes or features, for what are no real numbers, and for values beyond LARGEST.
    """
    if isinstance(songs, tuple) and len(songs) == 2 and np.ndim(songs[1]) == 1 and np.ndim(songs[0]) == 2:
        found = _given_whole(np.asarray(songs[0]), np.asarray(songs[1]))
    else:
        found = _given_one_by_one([np.asarray(song) for song in songs], n_features)
    values = found.values
    if values.dtype.kind not in "fiub":
        raise ValueError(f"songs: expected real numbers, found dtype {values.dtype}")
    if n_features is not None and values.shape[1] != n_features:
        raise ValueError(f"songs: the model has {n_features} features, found {values.shape[1]}")
    for start in range(0, len(values), AT_ONCE):
        _check_range(values[start : start + AT_ONCE], found.offsets, start)
    return found


def _given_whole(values: np.ndarray, offsets: np.ndarray) -> Ragged[np.ndarray]:
    rising = offsets.dtype.kind in "iu" and len(offsets) > 0 and not np.any(offsets[1:] < offsets[:-1])
    if not rising or offsets[0] != 0 or offsets[-1] != len(values):
        raise ValueError(
            f"offsets: expected whole numbers 0, ..., {len(values)}, never falling, found {offsets}"
        )
    return Ragged(values, offsets.astype(np.int64))


def _given_one_by_one(arrays: list[np.ndarray], n_features: int | None) -> Ragged[np.ndarray]:
    for i, array in enumerate(arrays):
        if array.ndim != 2:
            raise ValueError(f"song {i}: expected shape (n_frames, n_features), found {array.shape}")
        if array.shape[1] != arrays[0].shape[1]:
            raise ValueError(
                f"song {i}: expected {arrays[0].shape[1]} features as song 0 has, found {array.shape[1]}"
            )
    return packed(arrays) if arrays else ragged([], np.empty((0, n_features or 0)))


def check_spread(values: np.ndarray) -> None:
    """Features may be constant, all of them too; but where they vary, one of them has to have a variance in float64."""
    spread = values.max(axis=0).astype(np.float64) - values.min(axis=0).astype(np.float64)
    if 0.0 < spread.max(initial=0.0) < SMALLEST:
        feature = int(spread.argmax())
        raise ValueError(
            f"feature {feature}: the feature that varies most must vary by {SMALLEST:g} at least, "
            f"found {spread[feature]:g} between its smallest and largest value"
        )


def whitened(whitening: Whitening, songs: Ragged[np.ndarray], bounds: Sequence[int]) -> np.ndarray:
    """Whitened frames (frame, dim) float32, those between two bounds at a time.

    Raises ValueError for a frame so far from the songs fitted that its squares overflow in float32.
    """
    out = np.empty(songs.values.shape, np.float32)
    for start, stop in pairwise(bounds):
        with np.errstate(over="ignore"):
            out[start:stop] = whitening(songs.values[start:stop])
        _check_distance(out[start:stop], songs, start, whitening)
    return out


def _check_distance(block: np.ndarray, songs: Ragged[np.ndarray], start: int, whitening: Whitening) -> None:
    near = (np.abs(block) <= FARTHEST).all(axis=1)
    if near.all():
        return
    place = start + int(np.argmin(near))
    frame, mean = songs.values[place], whitening.mean
    feature = int(np.argmax(np.abs(frame - mean) * np.abs(whitening.transform).max(axis=1)))
    raise ValueError(
        f"{_place(songs.offsets, place)}, feature {feature}: frames must lie within {FARTHEST:g} "
        f"standard deviations of the mean of the songs fitted, found {float(frame[feature]):g} "
        f"where the mean is {mean[feature]:g}"
    )


def _check_range(block: np.ndarray, offsets: np.ndarray, start: int) -> None:
    """Frames from `start` on: all within LARGEST, which what is not finite is not either."""
    with np.errstate(over="ignore"):
        inside = np.abs(block.astype(np.float64)) <= LARGEST
    if inside.all():
        return
    frame, feature = np.argwhere(~inside)[0]
    place, value = _place(offsets, start + frame), float(block[frame, feature])
    if not np.isfinite(value):
        raise ValueError(f"{place}: values must be finite, found {value} in feature {feature}")
    raise ValueError(f"{place}, feature {feature}: values must lie within ±{LARGEST:g}, found {value:g}")


def _place(offsets: np.ndarray, frame: int) -> str:
    """A frame as the user finds it: its song, and where it is in the song."""
    song = int(np.searchsorted(offsets, frame, side="right")) - 1
    return f"song {song}, frame {frame - offsets[song]}"
