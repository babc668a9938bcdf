"""Songs in memory as the training loop wants them: in the order, and with the first state, of the same songs in files.

Songs of files lie in row groups; those in memory are taken to lie in groups of about GROUP_FRAMES frames, and to be
named by their places. `HDPGMM.fit` and `jobs.train` find the same bits where row groups and names are the same.
"""

from collections.abc import Generator, Iterator
from typing import Never

import numpy as np
import torch
from torch import Tensor

from hdpgmm import training_step
from hdpgmm.data.order import Order, Turn, heldout_mask, some_groups, some_songs
from hdpgmm.data.survey import SAMPLE_GROUPS, Survey, sampled_share, survey_group
from hdpgmm.data.whitening import Whitening
from hdpgmm.fit import Batch, Progress
from hdpgmm.model.state import State
from hdpgmm.moves.merge_delete import Probe
from hdpgmm.ragged import Ragged, offsets_of
from hdpgmm.training_step import Settings
from hdpgmm.validation import check_spread, whitened

GROUP_FRAMES = 4096  # of consecutive songs, unless one alone has more
HELDOUT_SHARE, HELDOUT_SONGS, FEWEST_FOR_HELDOUT = 0.05, 256, 20


class MemorySongs:
    """Songs to train on and, at the places where `heldout` (song,) bool is true, songs held out. state: the first.

    song_groups: int64 (song,), whose songs are whose, where it is known.
    """

    def __init__(
        self,
        songs: Ragged[np.ndarray],
        heldout: np.ndarray,
        settings: Settings,
        seed: int,
        device: torch.device | str,
        song_groups: np.ndarray | None = None,
    ) -> None:
        self.seed, self.probe_songs, self.held = seed, settings.probe_songs, np.flatnonzero(heldout)
        self.song_groups = song_groups
        bounds = group_bounds(songs.lengths)
        self.training = np.flatnonzero(~heldout)
        groups = members(bounds, self.training)
        self.starts = offsets_of([*map(len, groups.values())])
        self.state, self.whitening = first_state(songs, groups, settings, seed, device)
        values = whitened(self.whitening, songs, songs.offsets[bounds].tolist())
        self.songs = Ragged(torch.from_numpy(values).to(device), torch.from_numpy(songs.offsets))

    @property
    def n_songs(self) -> int:
        return len(self.training)

    def batches(self, epochs: int, batch_songs: int, done: int) -> Iterator[Batch]:
        """Shuffled over all songs: nothing has to be read, so there are no windows."""
        order = Order(self.starts, self.seed, batch_songs, window_batches=-(-self.n_songs // batch_songs))
        return map(self._batch, order.epochs(epochs, done))

    def heldout(self) -> Ragged[Tensor] | None:
        return self._take(self.held) if len(self.held) else None

    def probe(self) -> Probe:
        chosen = np.sort(self.training[some_songs(self.starts, self.seed, self.probe_songs)])
        groups = None if self.song_groups is None else torch.from_numpy(self.song_groups[chosen])
        return Probe(self._take(chosen), self.n_songs, groups)

    def _batch(self, turn: Turn) -> Batch:
        return Batch(turn.epoch, turn.last, self._take(self.training[turn.songs]))

    def _take(self, songs: np.ndarray) -> Ragged[Tensor]:
        return self.songs.take(torch.from_numpy(songs))


class MemoryKeeper:
    """Keeps the newest progress, and that of the epoch that is the model: states are never changed, only replaced."""

    def __init__(self, begin: Progress) -> None:
        self.newest = self.best = begin

    def save(self, progress: Progress, best: bool, last: bool) -> Iterator[Never]:
        self.newest = progress
        self.best = progress if best else self.best
        return iter(())

    def restore(self) -> Generator[Never, None, Progress]:
        yield from ()
        return self.newest


def heldout_songs(lengths: np.ndarray, seed: int) -> np.ndarray:
    """Which songs are held out, (song,) bool: of those with two frames, since even frames predict odd ones.

    None where fewer than FEWEST_FOR_HELDOUT have.
    """
    heldout, judged = np.zeros(len(lengths), bool), np.flatnonzero(lengths >= 2)
    if len(judged) >= FEWEST_FOR_HELDOUT:
        names = (name(song) for song in judged.tolist())
        heldout[judged] = heldout_mask(names, HELDOUT_SHARE, HELDOUT_SONGS, seed)
    return heldout


def name(song: int) -> str:
    """Of the song at a place, where it has none of its own."""
    return f"{song:08d}"


def group_bounds(lengths: np.ndarray) -> np.ndarray:
    """The first song of every group of consecutive songs, and how many songs there are, (group + 1,)."""
    bounds, frames = [0], 0
    for song, length in enumerate(lengths.tolist()):
        if frames + length > GROUP_FRAMES and song > bounds[-1]:
            bounds.append(song)
            frames = 0
        frames += length
    return np.array([*bounds, len(lengths)])


def members(bounds: np.ndarray, songs: np.ndarray) -> dict[int, np.ndarray]:
    """Which of `songs`, ascending, lie in each group; groups without any are left out."""
    parts = np.split(songs, np.searchsorted(songs, bounds[1:-1]))
    return {group: part for group, part in enumerate(parts) if len(part)}


def first_state(
    songs: Ragged[np.ndarray],
    groups: dict[int, np.ndarray],
    settings: Settings,
    seed: int,
    device: torch.device | str,
) -> tuple[State, Whitening]:
    """First state and whitening from the songs of these groups."""
    check_spread(songs.values)
    n_songs = sum(map(len, groups.values()))
    return training_step.first_state(
        settings, _surveyed(songs, groups, settings, seed), n_songs, seed, device
    )


def _surveyed(
    songs: Ragged[np.ndarray], groups: dict[int, np.ndarray], settings: Settings, seed: int
) -> Survey:
    parts = [*groups.values()]
    chosen = set(some_groups(len(parts), seed, SAMPLE_GROUPS).tolist())
    frames = sum(int(songs.lengths[parts[number]].sum()) for number in chosen)
    share = sampled_share(settings.sample_frames, frames)
    found = Survey()
    for number, (group, part) in enumerate(groups.items()):
        own = share if number in chosen else 0.0
        found.add(survey_group(songs.take(part), own, (seed, 0, group), summed=True))
    return found
