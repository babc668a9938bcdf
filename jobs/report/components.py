"""The components of the report: which are shown, and what their pages say."""

from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.interpretation.component_map import bhattacharyya, hues, layout
from evaluation.interpretation.lift import GroupSums, Lift, label_lift, lift_interval, lifts_of
from evaluation.interpretation.naming import told_apart
from evaluation.interpretation.segments import Window
from evaluation.interpretation.tally import Tally, carrying, usage
from evaluation.report.records import Component, Segment, Sound
from evaluation.report.wording import said
from jobs.evaluate.labels import Labels
from jobs.report.audio import Clip

NEAREST = 6
RICH = 6  # songs of the sample named on a component's page
RICH_SHARE = 0.01
NAMING = 2  # labels or words of a component's name, where no other component has the same


def shown_components(counted: Tally, most: int) -> tuple[int, ...]:
    """The components that carry 99 % of all frames, most used first, at most `most`."""
    share = usage(counted)
    return tuple(np.argsort(-share, kind="stable")[: min(most, carrying(share))].tolist())


def make_components(
    shown: Sequence[int],
    counted: Tally,
    grouped: GroupSums,
    labels: Labels,
    sounds: Sequence[Sound],
    held: np.ndarray,
    chosen: Sequence[Sequence[Window]],
    clips: Mapping[Window, Clip],
    gaussians: tuple[np.ndarray, np.ndarray],
    songs: Mapping[str, np.ndarray],
    most_labels: int,
    min_songs: int,
) -> tuple[Component, ...]:
    """The pages of the components shown. grouped, sounds: of the components shown; held bool (label, component shown):
    which labels hold on other songs; chosen: windows to play, of each; songs: shares (component,) of each song that
    has a page, in the order of the pages; min_songs: that a label needs."""
    share = usage(counted)
    table = np.stack([label_lift(counted)[:, list(shown)], *lift_interval(grouped)])
    distances = bhattacharyya(*(part[list(shown)] for part in gaussians))
    places = layout(np.sqrt(distances))
    colours = hues(places)
    pages = {track: number for number, track in enumerate(songs, 1)}
    lifts = [
        lifts_of(table[:, :, row], labels.names, counted.members, min_songs) for row in range(len(shown))
    ]
    holding = [_holding(some, held[:, row], labels, most_labels) for row, some in enumerate(lifts)]
    names = _names(holding, sounds, shown)
    made = []
    for row, k in enumerate(shown):
        made.append(
            Component(
                number=k,
                name=names[row],
                share=float(share[k]),
                labels=holding[row],
                lifts=lifts[row],
                sound=sounds[row],
                spread=tuple(counted.spread[:, k].tolist()),
                segments=tuple(_segment(window, labels, clips[window], pages) for window in chosen[row]),
                nearest=_nearest(row, distances, shown),
                place=(float(places[row, 0]), float(places[row, 1])),
                hue=float(colours[row]),
                songs=_rich(k, songs, pages),
            )
        )
    return tuple(made)


def _holding(lifts: Sequence[Lift], held: np.ndarray, labels: Labels, most: int) -> tuple[Lift, ...]:
    """The labels that hold on other songs, highest lift first; held bool (label,)."""
    names = {labels.names[place] for place in np.flatnonzero(held)}
    return tuple(item for item in lifts if item.label in names)[:most]


def _names(holding: Sequence[tuple[Lift, ...]], sounds: Sequence[Sound], shown: Sequence[int]) -> list[str]:
    """A name for each component: labels that hold before how it sounds."""
    labels = [[said(item.label) for item in some[:NAMING]] for some in holding]
    parts = [[*some, *sound.words] for some, sound in zip(labels, sounds, strict=True)]
    return told_apart(parts, [len(some) or NAMING for some in labels], shown)


def _nearest(row: int, distances: np.ndarray, shown: Sequence[int]) -> tuple[tuple[int, float], ...]:
    order = [i for i in np.argsort(distances[row], kind="stable").tolist() if i != row]
    return tuple((shown[i], float(distances[row, i])) for i in order[:NEAREST])


def _rich(
    component: int, songs: Mapping[str, np.ndarray], pages: Mapping[str, int]
) -> tuple[tuple[int, float], ...]:
    found = [(pages[track], float(shares[component])) for track, shares in songs.items()]
    return tuple(sorted((item for item in found if item[1] >= RICH_SHARE), key=lambda item: -item[1])[:RICH])


def _segment(window: Window, labels: Labels, clip: Clip, pages: Mapping[str, int]) -> Segment:
    words, page = labels.words(window.track_id), pages.get(window.track_id)
    start, stop = clip.start_seconds, clip.start_seconds + clip.seconds
    return Segment(window.track_id, words, start, stop, window.share, clip.mp3, clip.problem, page)
