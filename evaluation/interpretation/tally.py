"""Reading the model: which components are used, and with which labels.

A component's share of a song is the mean responsibility of the component over the song's frames. Everything is
counted in tallies that add, so that songs can come in any number of parts.
"""

from dataclasses import dataclass

import numpy as np

CARRIED, FEW_SONGS, FEW_GROUPS = 0.01, 4, 3  # see Carriers
SPREAD = (0.001, 0.01, 0.03, 0.1, 0.3)  # shares of a song between which songs are counted


@dataclass(frozen=True)
class Tally:
    """Sums over songs. frames, songs: (component,) shares weighted by frames, and by songs;
    by_label: (label, component) shares of each label's songs; members: (label,) its songs;
    spread: (bin of SPREAD, component) songs by their share."""

    n_songs: int
    frames: np.ndarray
    songs: np.ndarray
    by_label: np.ndarray
    members: np.ndarray
    spread: np.ndarray

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.n_songs + other.n_songs,
            self.frames + other.frames,
            self.songs + other.songs,
            self.by_label + other.by_label,
            self.members + other.members,
            self.spread + other.spread,
        )


def tally(shares: np.ndarray, n_frames: np.ndarray, members: np.ndarray) -> Tally:
    """Count songs: shares (song, component), n_frames (song,), members bool (label, song)."""
    shares, labels = shares.astype(np.float64), members.astype(np.float64)
    bins = np.searchsorted(SPREAD, shares, side="right")
    return Tally(
        n_songs=len(shares),
        frames=n_frames @ shares,
        songs=shares.sum(axis=0),
        by_label=labels @ shares,
        members=members.sum(axis=1),
        spread=np.stack([(bins == i).sum(axis=0) for i in range(len(SPREAD) + 1)]),
    )


def usage(counted: Tally) -> np.ndarray:
    """Share of all frames that each component explains, (component,)."""
    return counted.frames / counted.frames.sum()


@dataclass(frozen=True)
class Carriers:
    """How many songs, and groups of songs, carry each component, int (component,)."""

    songs: np.ndarray
    groups: np.ndarray

    @property
    def few(self) -> np.ndarray:
        """bool (component,): of fewer than FEW_SONGS songs or FEW_GROUPS groups; a recording rather than a sound."""
        return (self.songs < FEW_SONGS) | (self.groups < FEW_GROUPS)


def carriers(shares: np.ndarray, groups: np.ndarray | None) -> Carriers:
    """Who carries a component: has CARRIED of its frames there, at least.

    shares (song, component); groups int (song,), None: each song is its own.
    """
    carried = shares >= CARRIED
    songs = carried.sum(axis=0)
    if groups is None:
        return Carriers(songs, songs)
    codes = np.unique(groups, return_inverse=True)[1]
    some = np.zeros((int(codes.max(initial=-1)) + 1, shares.shape[1]), dtype=bool)
    np.logical_or.at(some, codes, carried)
    return Carriers(songs, some.sum(axis=0))


def effective_number(share: np.ndarray) -> float:
    """exp of the entropy: how many equally used components would be as diverse."""
    used = share[share > 0]
    return float(np.exp(-(used * np.log(used)).sum()))


def carrying(share: np.ndarray, part: float = 0.99) -> int:
    """The smallest number of components that together explain `part` of the frames."""
    return int(np.searchsorted(np.sort(share)[::-1].cumsum(), part - 1e-12) + 1)
