"""What a first state needs of all frames: moments, kept beside them, a sample, and how they follow each other."""

import hashlib
from collections.abc import Iterator

import numpy as np

from hdpgmm.data.autocorrelation import Lagged
from hdpgmm.data.whitening import Moments
from infra.root.checkpoints import Checkpoints
from infra.storage.store import Store
from jobs.train.feed.feed import Feed
from jobs.train.feed.plan import Places, Plan

SAMPLE_GROUPS = 64  # row groups that a sample comes from, at most: half a GB of frames, 2,500 clips of 30 s


class Survey:
    """One pass over the training songs of a plan; once their moments are known, over some row groups only.

    The same bits either way. `songs`: path of the snapshot's songs, which names their content.
    """

    def __init__(self, store: Store, songs: str, plan: Plan) -> None:
        tree, _, name = songs.partition("/snapshots/")
        self._songs = name.rpartition("/")[2]
        key = hashlib.sha256(self._songs.encode() + plan.heldout.tobytes()).hexdigest()
        self._kept = Checkpoints(store, f"{tree}/moments/{key[:32]}")
        self._plan = plan

    def run(self, feed: Feed, wanted_frames: int) -> Iterator[tuple[int, int]]:
        """Row groups done and to do; then `moments` are there, `sample` (about `wanted_frames`, dim), and `lagged`."""
        found = self._kept.load()
        chosen = self._plan.some_row_groups(SAMPLE_GROUPS)
        numbers = chosen if found else np.arange(self._plan.n_row_groups)
        total: Moments | None = None
        samples: list[np.ndarray] = []
        self.lagged: Lagged | None = None
        surveyed = feed.survey(self._parts(numbers, chosen, wanted_frames, summed=not found), self._plan.seed)
        for done, (part, frames, followed) in enumerate(surveyed, start=1):
            total = part if total is None or part is None else total + part
            samples.append(frames)
            if followed is not None:
                self.lagged = followed if self.lagged is None else self.lagged + followed
            yield done, len(numbers)
        self.moments = _from_arrays(found[1]) if found else self._keep(total)
        self.sample = np.concatenate(samples)

    def _parts(
        self, numbers: np.ndarray, chosen: np.ndarray, wanted_frames: int, summed: bool
    ) -> Iterator[tuple[Places, float, bool]]:
        frames = sum(int(self._plan.row_group(number).n_frames.sum()) for number in chosen)
        share = min(1.0, wanted_frames / max(frames, 1))
        for number, sampled in zip(numbers, np.isin(numbers, chosen), strict=True):
            yield self._plan.row_group(number), share if sampled else 0.0, summed

    def _keep(self, total: Moments | None) -> Moments:
        assert total is not None  # a plan without songs was refused by the job
        arrays = {"count": np.array(total.count), "mean": total.mean, "scatter": total.scatter}
        self._kept.save(0, arrays, {"songs": self._songs}, keep=1)
        return total


def _from_arrays(arrays: dict[str, np.ndarray]) -> Moments:
    return Moments(int(arrays["count"].item()), arrays["mean"], arrays["scatter"])
