"""What a first state needs of all frames (`hdpgmm.data.survey`): moments are kept beside them."""

import hashlib
from collections.abc import Generator, Iterator

import numpy as np

from hdpgmm.data.survey import SAMPLE_GROUPS, Survey, sampled_share
from hdpgmm.data.whitening import Moments
from infra.root import layout
from infra.root.checkpoints import Checkpoints
from infra.storage.store import Store
from jobs.train.events import Surveyed
from jobs.train.feed.feed import Feed
from jobs.train.feed.plan import Places, Plan


class SnapshotSurvey:
    """One pass over the training songs of a plan; once their moments are known, over some row groups only.

    The same bits either way. `songs`: path of the snapshot's songs, which names their content.
    """

    def __init__(self, store: Store, songs: str, plan: Plan) -> None:
        self._songs = layout.name_of(songs)
        key = hashlib.sha256(self._songs.encode() + plan.heldout.tobytes()).hexdigest()
        self._kept = Checkpoints(store, layout.moments(layout.tree_of(songs), key[:32]))
        self._plan = plan

    def run(self, feed: Feed, wanted_frames: int) -> Generator[Surveyed, None, Survey]:
        """Tells of every row group; returns what was found, in the sample about `wanted_frames`."""
        kept, found = self._kept.load(), Survey()
        chosen = self._plan.some_row_groups(SAMPLE_GROUPS)
        numbers = chosen if kept else np.arange(self._plan.n_row_groups)
        groups = self._groups(numbers, chosen, wanted_frames, summed=not kept)
        for done, group in enumerate(feed.survey(groups, self._plan.seed), start=1):
            found.add(group)
            yield Surveyed(done, len(numbers))
        found.moments = _from_arrays(kept[1]) if kept else self._keep(found.moments)
        return found

    def _groups(
        self, numbers: np.ndarray, chosen: np.ndarray, wanted_frames: int, summed: bool
    ) -> Iterator[tuple[Places, float, bool]]:
        frames = sum(int(self._plan.row_group(number).n_frames.sum()) for number in chosen)
        share = sampled_share(wanted_frames, frames)
        for number, sampled in zip(numbers, np.isin(numbers, chosen), strict=True):
            yield self._plan.row_group(number), share if sampled else 0.0, summed

    def _keep(self, total: Moments | None) -> Moments:
        assert total is not None  # a plan without songs was refused by the job
        arrays = {"count": np.array(total.count), "mean": total.mean, "scatter": total.scatter}
        self._kept.save(0, arrays, {"songs": self._songs}, keep=1)
        return total


def _from_arrays(arrays: dict[str, np.ndarray]) -> Moments:
    return Moments(int(arrays["count"].item()), arrays["mean"], arrays["scatter"])
