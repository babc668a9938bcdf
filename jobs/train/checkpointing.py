"""Checkpoints as the training loop's keeper: all that a training continues from, in one file with its provenance."""

from collections.abc import Generator, Iterator
from dataclasses import asdict

import torch

from hdpgmm.data.whitening import Whitening
from hdpgmm.fit import Progress, Ranks
from hdpgmm.model.statistics import BatchInfo
from hdpgmm.schedule import chosen
from hdpgmm.serialization import from_arrays, to_arrays
from infra.root.checkpoints import Checkpoints
from infra.root.runs import versions
from infra.storage.retry import with_retries
from infra.storage.store import Store
from jobs.train.events import (
    CheckpointDamaged,
    CheckpointFailed,
    EpochDone,
    Event,
    VersionsChanged,
    epoch_from,
    to_fields,
)
from jobs.train.provenance import Assignment, changed_versions, refuse_mismatch

BEARING = ("hdpgmm", "torch", "numpy")  # packages whose version bears on the bits


class Keeper:
    """Leaves checkpoints of an assignment and finds them again. The first rank reads and writes for all.

    history: a record of every epoch so far; whoever trains adds to it. whitening: known once something was restored,
    or set beside a first state.
    """

    whitening: Whitening

    def __init__(self, assignment: Assignment, ranks: Ranks, first: bool, device: torch.device) -> None:
        self.assignment, self.ranks, self.first, self.device = assignment, ranks, first, device
        self.checkpoints = Checkpoints(Store(assignment.root), assignment.prefix, assignment.fence)
        self.versions = {name: version for name, version in versions().items() if name in BEARING}
        self.history: list[EpochDone] = []

    def save(self, progress: Progress, best: bool, last: bool) -> Iterator[Event]:
        """Now and then, and of the best epoch: beside the training. The last one is waited for, and has to succeed."""
        config = self.assignment.config
        if self.first and (last or best or progress.step % config.checkpoint_steps == 0):
            yield from self._save(progress, last)

    def restore(self) -> Generator[Event, None, Progress | None]:
        """The newest checkpoint that is whole; None if there is none."""
        self.checkpoints.wait()
        found = self.ranks.share(self.checkpoints.load)
        yield from map(CheckpointDamaged, self.checkpoints.damaged)
        if found is None:
            return None
        _, arrays, meta = found
        refuse_mismatch(meta["provenance"], self.assignment.provenance)
        changed = changed_versions(meta["provenance"]["versions"], self.versions)
        if changed:
            yield VersionsChanged(changed)
        state, self.whitening = from_arrays(arrays, self.device)
        self.history = [epoch_from(row) for row in meta["history"]]
        resting = frozenset(meta.get("resting", ()))
        return Progress(state, tuple(self.history), BatchInfo(**meta["partial"]), resting)

    def _save(self, progress: Progress, last: bool) -> Iterator[Event]:
        meta = {
            "provenance": {**self.assignment.provenance, "versions": self.versions},
            "history": [to_fields(row) for row in self.history],
            "partial": asdict(progress.partial),
            "resting": sorted(progress.resting),
        }
        checkpoint = (progress.step, to_arrays(progress.state, self.whitening), meta)
        keep = self.assignment.config.keep_checkpoints
        best = self.history[chosen(self.history)].step if self.history else None
        problem = self.checkpoints.wait() if last else self.checkpoints.save_beside(*checkpoint, keep, best)
        if problem:
            yield CheckpointFailed(progress.step, str(problem))
        if last:
            with_retries(lambda: self.checkpoints.save(*checkpoint, keep, best))
