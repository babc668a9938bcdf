"""`python -m jobs.train`: learn an HDPGMM from the newest snapshot of a corpus' features."""

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from features import spec
from hdpgmm.schedule import batch_songs, chosen
from infra.config import Config
from infra.errors import ConfigError, Incomplete
from infra.root import layout, models
from infra.root.checkpoints import Checkpoints
from infra.root.groups import digest_of_groups, read_groups
from infra.root.journal import Fence
from infra.root.ledger import Tree
from infra.root.models import Final
from infra.root.records import Snapshot
from infra.root.runs import RunFolder
from infra.root.schemas import TRACK_ID
from infra.root.songs import read_columns
from infra.root.taken import taken, unused
from infra.storage.store import Store
from infra.workers.cluster import connect, patience_seconds
from jobs.extract.specification import require_frames
from jobs.train.errors import RanksDied
from jobs.train.events import EpochDone, epoch_from, to_fields
from jobs.train.progress import TrainingProgress
from jobs.train.provenance import Assignment, describe, refuse_mismatch
from jobs.train.rank_group import RankGroup

log = logging.getLogger(__name__)

# Before ranks that died without a step between are started again: Ray takes up to half a minute to know that a node is
# gone, and until then puts them there once more.
PAUSES_SECONDS = (0.0, 5.0, 20.0, 30.0)


@dataclass(frozen=True)
class Trained:
    """The model's name under models/, and whether this call had anything to do."""

    run: str
    trained: bool


def run(config: Config) -> Trained:
    """Train, or continue, or find it done. Raises ConfigError where there is nothing to train on."""
    store = Store(config.root)
    snapshot, fingerprint = training_snapshot(config, store)
    tracks = layout.tracks(config.corpus)
    ids = read_columns(store, snapshot.songs, (TRACK_ID,))[TRACK_ID]
    groups = digest_of_groups(read_groups(store, tracks, ids))
    provenance = describe(config.train, snapshot, fingerprint, groups)
    name, done = find_model(store, provenance)
    if done is not None:
        refuse_mismatch(done.provenance, provenance)
        log.info("train: model %s is complete (step %d), nothing to do", name, done.step)
        return Trained(name, False)
    assignment = Assignment(store.root, layout.model(name), snapshot.songs, tracks, provenance, config.train)
    with RunFolder(store, layout.run("train", name), f"training of model {name}") as folder:
        if models.find(store, name):
            return Trained(name, False)  # by a run that has just ended
        folder.begin(config.model_dump(mode="json"))
        with connect(config.ray):
            history = _follow(assignment, folder, patience_seconds(config.ray))
        epoch, epochs = _finish(store, name, assignment, folder.lease.fence)
        log.info("train: model %s is complete: the state after epoch %d of %d", name, epoch, epochs)
        folder.summary({"model": name, **(to_fields(history[-1]) if history else {})})
    return Trained(name, True)


def find_model(store: Store, provenance: Mapping[str, Any]) -> tuple[str, Final | None]:
    """The name of the model of these settings, another where `jobs.gc` has taken it; the model if it is finished."""
    digest = hashlib.sha256(json.dumps(provenance, sort_keys=True).encode()).hexdigest()[:12]
    while True:
        name = unused(digest, taken(store, models.PLACE))
        done = models.find(store, name)
        if done is None or models.claim(store, name):
            return name, done


def training_snapshot(config: Config, store: Store) -> tuple[Snapshot, str]:
    """The newest snapshot of the corpus' features and their fingerprint."""
    specification = require_frames(config.extract)
    fingerprint = spec.fingerprint(specification)
    snapshot = Tree(store, layout.features(fingerprint)).latest(config.corpus)
    if snapshot is None:
        raise ConfigError(
            f"{store.uri(layout.features(fingerprint))}: no features of corpus {config.corpus!r} "
            f"({', '.join(specification.features)}); run python -m jobs.extract first"
        )
    if snapshot.n_songs < 2:
        raise ConfigError(
            f"corpus {config.corpus!r} has {snapshot.n_songs} usable songs, training needs 2 or more"
        )
    return snapshot, fingerprint


def plan_text(config: Config) -> str:
    """What --dry-run prints."""
    snapshot, _ = training_snapshot(config, Store(config.root))
    train = config.train
    songs = min(snapshot.n_songs, train.subset or snapshot.n_songs)
    batch = train.batch_songs or batch_songs(songs)
    part = "" if songs == snapshot.n_songs else f"{songs} of "
    return (
        f"train: {part}{snapshot.n_songs} songs, {snapshot.n_frames} frames, "
        f"K={train.n_components or 'by the corpus'}, T={train.n_atoms}, "
        f"at most {train.epochs} epochs of {-(-songs // batch)} steps of {batch} songs"
    )


def _follow(assignment: Assignment, folder: RunFolder, wait_seconds: float) -> list[EpochDone]:
    """Run the ranks and show what the first one reports; the records of the epochs of this call.

    wait_seconds: how long the cluster may take to make room for them.
    Ranks that die are started again, from the last checkpoint. Ctrl-C and SIGTERM leave a checkpoint.
    """
    progress = TrainingProgress(folder, layout.name_of(assignment.prefix))
    failures, step = 0, -1
    with RankGroup(assignment, wait_seconds) as group:
        while True:
            try:
                for event in group.train(folder.lease.hand_over()):
                    progress.update(event)
                return progress.history
            except RanksDied as death:
                failures, step = (failures + 1 if progress.step <= step else 1), max(step, progress.step)
                if group.interrupted:
                    raise KeyboardInterrupt from None
                if failures > len(PAUSES_SECONDS):
                    raise Incomplete(
                        f"the trainer keeps dying ({death}); run the same command again"
                    ) from None
                log.warning("the trainer ended (%s); it continues from its last checkpoint", death)
                time.sleep(PAUSES_SECONDS[failures - 1])
            finally:
                progress.close()


def _finish(store: Store, name: str, assignment: Assignment, fence: Fence) -> tuple[int, int]:
    """Name the checkpoint that is the model: with early stopping that of the best held-out score, else the last.

    Returns its epoch and how many there were.
    """
    checkpoints = Checkpoints(store, layout.model(name))
    newest = checkpoints.load()
    if newest is None:
        raise Incomplete(f"model {name}: no readable checkpoint after training; run the same command again")
    history = [epoch_from(row) for row in newest[2]["history"]]
    row = history[chosen(history, assignment.config.early_stopping)]
    found = checkpoints.load(row.step)
    if found is None:
        log.warning("model %s: the checkpoint of step %d is damaged, the last one counts", name, row.step)
        row, found = history[-1], newest
    step, arrays, _ = found
    count: np.ndarray = arrays["count"]
    summary = {
        "n_components": len(count),
        "n_atoms": assignment.config.n_atoms,
        "dim": arrays["first"].shape[1],
        "weights": (count / count.sum()).tolist(),
        "epoch": to_fields(row),
    }
    rows = [to_fields(row) for row in history]
    provenance = newest[2]["provenance"]
    features = Tree(store, layout.features(provenance["fingerprint"])).read_spec()
    models.finish(store, name, provenance, rows, summary, step, fence, features)
    return row.epoch, len(history)
