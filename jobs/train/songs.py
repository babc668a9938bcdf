"""The songs of a snapshot as the training loop wants them: in the plan's order, whitened, read ahead by the feed."""

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hdpgmm import fit, training_step
from hdpgmm.data.whitening import Whitening
from hdpgmm.moves.merge_delete import Probe
from hdpgmm.ragged import Ragged, concat
from jobs.train.feed.feed import Feed
from jobs.train.feed.plan import Batch, Plan
from jobs.train.feed.upload import Loaded
from jobs.train.feed.worker import WINDOW_BYTES

ASIDE = 0.125  # of the bytes ahead, for songs that are read beside the steps
ProbeSongs = tuple[Batch, np.ndarray | None]  # and the numbers of their groups, (song,), where they are known
KEPT_SONGS = 16  # read at a time, of those that are held out or moves are judged on


class FedSongs:
    """One rank's part of the songs, on its device."""

    def __init__(
        self,
        plan: Plan,
        feed: Feed,
        whitening: Whitening,
        device: torch.device,
        probe: Callable[[], ProbeSongs],
        rank: int = 0,
        n_ranks: int = 1,
    ) -> None:
        self.plan, self.feed, self.whitening, self.device = plan, feed, whitening, device
        self.find_probe, self.rank, self.n_ranks = probe, rank, n_ranks

    @property
    def n_songs(self) -> int:
        return self.plan.n_songs

    def batches(self, epochs: int, batch_songs: int, done: int) -> Iterator[fit.Batch]:
        window_frames = WINDOW_BYTES // (4 * len(self.whitening.mean))
        remaining = self.plan.batches(epochs, batch_songs, window_frames, done)
        shares = (batch.share(self.rank, self.n_ranks, training_step.PART_SONGS) for batch in remaining)
        # `map` keeps no reference to what it gave: the feed asks for others in the place of what is gone.
        return map(_batch, self.feed.batches(shares, self.whitening, self.device, 1.0 - ASIDE))

    def heldout(self) -> Ragged[Tensor] | None:
        """Read when first asked for, so that training begins without them."""
        return self._heldout

    def probe(self) -> Probe:
        """Likewise."""
        return self._probe

    @cached_property
    def _heldout(self) -> Ragged[Tensor] | None:
        return self._kept(self.plan.heldout_batch()) if len(self.plan.heldout) else None

    @cached_property
    def _probe(self) -> Probe:
        batch, groups = self.find_probe()
        numbers = None if groups is None else torch.from_numpy(groups)
        return Probe(self._kept(batch), self.n_songs, numbers)

    def _kept(self, batch: Batch) -> Ragged[Tensor]:
        """Songs that stay, in memory of our own; all data workers share in reading them."""
        fed = self.feed.batches(batch.pieces(KEPT_SONGS), self.whitening, self.device, ASIDE)
        return concat([Ragged(songs.values.clone(), songs.offsets.clone()) for _, songs in fed])


def _batch(item: Loaded) -> fit.Batch:
    batch, songs = item
    return fit.Batch(batch.epoch, batch.last, songs)
