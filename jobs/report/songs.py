"""The songs of the report: which are shown, and what their pages say."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.neighbours.exact import Neighbour
from evaluation.report.records import Departures, Similar, Song, Timeline
from jobs.evaluate.labels import Labels
from jobs.report.audio import Clip
from jobs.report.counts import Counts
from jobs.report.frames import STEP_SECONDS

LANES = 8
SIMILAR = 8
LEAST_PART = 0.005  # of a song, below which a component is not named


def sample_songs(track_ids: Sequence[str], strata: Mapping[str, object], n: int, seed: int) -> list[str]:
    """A stratified random sample of `n` tracks: as many of every stratum as of others while it has any.

    strata: of each track. The order within one is by a hash of seed and track id, so a track that comes or goes moves
    few others.
    """
    shuffled = sorted(track_ids, key=lambda track: hashlib.sha256(f"{seed} {track}".encode()).digest())
    seen: Counter[object] = Counter()
    turns: list[int] = []
    for track in shuffled:
        turns.append(seen[strata.get(track)])
        seen[strata.get(track)] += 1
    order = sorted(range(len(shuffled)), key=lambda i: turns[i])
    return [shuffled[i] for i in order[:n]]


def strata_of(labels: Labels, groups: Mapping[str, str | None]) -> dict[str, object]:
    """The stratum of every track: its first label in the first column of labels, else its group.

    groups: of every track of the list, in its order.
    """
    if not labels.columns:
        return dict(groups)
    first = labels.columns[0][1]
    return {
        track: own[0] if own else group for (track, group), own in zip(groups.items(), first, strict=True)
    }


def make_songs(
    sample: Sequence[str],
    counts: Counts,
    shown: Sequence[int],
    steps: Mapping[str, np.ndarray],
    clips: Mapping[str, Clip],
    similar: Mapping[str, Sequence[Neighbour]],
    labels: Labels,
    seconds: Mapping[str, float],
    departures: Mapping[str, Departures],
) -> tuple[Song, ...]:
    """The songs' pages, numbered in the order of the sample."""
    pages = {track: number for number, track in enumerate(sample, 1)}
    return tuple(
        Song(
            number=number,
            name=track,
            labels=labels.words(track),
            seconds=seconds[track],
            parts=_parts(counts.shares[track], shown),
            timeline=timeline(steps[track], shown, clips[track]),
            similar=tuple(
                Similar(
                    other.track_id,
                    labels.words(other.track_id),
                    other.cosine,
                    other.terms,
                    pages.get(other.track_id),
                )
                for other in similar[track]
            ),
            shares=counts.shares[track],
            departures=departures.get(track),
        )
        for track, number in pages.items()
    )


def timeline(steps: np.ndarray, shown: Sequence[int], clip: Clip) -> Timeline:
    """The strongest components over time, where the sound is; steps (step, component shown)."""
    kept = steps[: max(1, int(np.ceil(clip.seconds / STEP_SECONDS - 1e-9)))]
    mean = kept.mean(axis=0)
    lanes = [i for i in np.argsort(-mean, kind="stable")[:LANES].tolist() if mean[i] > 0.001]
    return Timeline(
        components=tuple(shown[i] for i in lanes),
        shares=kept[:, lanes],
        step_seconds=STEP_SECONDS,
        start_seconds=clip.start_seconds,
        seconds=min(clip.seconds, len(kept) * STEP_SECONDS),
        mp3=clip.mp3,
        problem=clip.problem,
    )


def _parts(shares: np.ndarray, shown: Sequence[int]) -> tuple[tuple[int, float], ...]:
    order = sorted(shown, key=lambda k: -shares[k])
    return tuple((k, float(shares[k])) for k in order if shares[k] >= LEAST_PART)
