"""Which parts of a track are kept, and where in the track a frame of what was kept lies."""

from bisect import bisect_right
from itertools import accumulate

from features.spec import FeatureSpec


def pieces(n_samples: int, spec: FeatureSpec) -> list[tuple[int, int]]:
    """Half-open ranges of a track's samples, in order; all of a track that is no longer than one excerpt.

    A last piece of "every" that is too short for the features is left out, unless it is the only one.
    """
    length, every = (int(x * spec.sample_rate) for x in (spec.excerpt_seconds, spec.every_seconds))
    if spec.excerpt == "whole" or n_samples <= length:
        return [(0, n_samples)]
    if spec.excerpt == "first":
        return [(0, length)]
    if spec.excerpt == "middle":
        start = (n_samples - length) // 2
        return [(start, start + length)]
    ranges = [(start, min(start + length, n_samples)) for start in range(0, n_samples, every)]
    return [(start, stop) for start, stop in ranges if spec.n_frames(stop - start) >= spec.min_frames]


def kept_seconds(seconds: float, spec: FeatureSpec) -> float:
    """Seconds of a track of `seconds` that are kept."""
    if spec.excerpt == "whole":
        return seconds
    kept = pieces(int(seconds * spec.sample_rate), spec)
    return sum(stop - start for start, stop in kept) / spec.sample_rate


def frame_sample(frame: int, n_samples: int, spec: FeatureSpec) -> int:
    """The sample of the track at the centre of a frame of its features."""
    kept = pieces(n_samples, spec)
    firsts = [0, *accumulate(spec.n_frames(stop - start) for start, stop in kept)][:-1]
    piece = bisect_right(firsts, frame) - 1
    return kept[piece][0] + (frame - firsts[piece]) * spec.frame_samples
