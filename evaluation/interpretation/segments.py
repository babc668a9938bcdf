"""Segments of a component to play: the songs worth searching, the best window of each, and which windows to play."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """The frames [start, stop) of a song and the component's mean responsibility there."""

    track_id: str
    start: int
    stop: int
    share: float


def candidates(
    share: np.ndarray, groups: Sequence[str | None], track_ids: Sequence[str], limit: int, least: float
) -> list[int]:
    """Songs (indices) worth searching for a component, at least `least` of it: each group's best one first."""
    seen: dict[str, int] = {}
    ranked = []
    for i in map(int, np.argsort(-share, kind="stable")[: 20 * limit]):
        if share[i] >= least:
            group = _group_of(groups[i], track_ids[i])
            seen[group] = seen.get(group, 0) + 1
            ranked.append((seen[group], -share[i], i))
    return [i for _, _, i in sorted(ranked)[:limit]]


def best_window(track_id: str, responsibility: np.ndarray, width: int) -> Window:
    """The `width` consecutive frames (or the whole song) richest in a component; responsibility (frame,)."""
    width = min(width, len(responsibility))
    sums = np.concatenate([[0.0], np.cumsum(responsibility, dtype=np.float64)])
    means = (sums[width:] - sums[:-width]) / width
    start = int(means.argmax())
    return Window(track_id, start, start + width, float(means[start]))


def choose_segments(windows: Sequence[Window], groups: dict[str, str | None], limit: int) -> list[Window]:
    """The best windows, one per song, from as many different groups as there are."""
    ranked = sorted(windows, key=lambda window: (-window.share, window.track_id))
    chosen: list[Window] = []
    for fresh in (True, False):
        for window in ranked:
            taken = {_group_of(groups[w.track_id], w.track_id) for w in chosen}
            same_song = any(w.track_id == window.track_id for w in chosen)
            known_group = _group_of(groups[window.track_id], window.track_id) in taken
            if len(chosen) < limit and not same_song and not (fresh and known_group):
                chosen.append(window)
    return chosen


def _group_of(group: str | None, track_id: str) -> str:
    return f"group {group}" if group is not None else f"song {track_id}"
