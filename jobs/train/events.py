"""What a trainer tells while it trains: one record for each kind of event. No torch: the driver has no use for it.

In events.jsonl an event is an object of its fields and its kind; history.json is a list of the fields of epochs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from hdpgmm.schedule import Epoch


@dataclass(frozen=True)
class Surveyed:
    """Row groups surveyed for a first state, so far and in all."""

    kind: ClassVar = "survey"
    done: int
    total: int


@dataclass(frozen=True)
class Started:
    """Steps begin after step `step` of `steps`; history: of the epochs before."""

    kind: ClassVar = "start"
    step: int
    steps: int
    batch_songs: int
    training_songs: int
    heldout_songs: int
    training_frames: int
    ranks: int
    history: tuple["EpochDone", ...]


@dataclass(frozen=True)
class Stepped:
    """A step: epoch from 1, songs and frames of its mini-batch, batch_bound their bound, nats a frame, without the
    corpus' part. wait_share: of the epoch's time so far that the trainer waited for data. checkpoint: step of the
    newest checkpoint. components: how many carry 99 % of the frames.
    """

    kind: ClassVar = "step"
    step: int
    epoch: int
    songs: int
    frames: int
    wait_share: float
    checkpoint: int | None
    batch_bound: float
    components: int


@dataclass(frozen=True)
class Moved:
    """A merge, deletion or birth; gain: nats of the corpus."""

    kind: ClassVar = "move"
    step: int
    move: str
    components: tuple[int, ...]
    gain: float


@dataclass(frozen=True)
class EpochDone(Epoch):
    """An epoch, and how fast it was: wait_share of its `seconds` the trainer waited for data; scoring is left out."""

    kind: ClassVar = "epoch"
    frames_per_second: float
    wait_share: float
    max_bytes_ahead: int
    seconds: float


@dataclass(frozen=True)
class RolledBack:
    """The state of step `step` was not finite; training continues from step `to`."""

    kind: ClassVar = "rollback"
    step: int
    to: int


@dataclass(frozen=True)
class CheckpointFailed:
    """No checkpoint of step `step` could be left."""

    kind: ClassVar = "checkpoint_failed"
    step: int
    error: str


@dataclass(frozen=True)
class CheckpointDamaged:
    """A checkpoint, by name, was passed over."""

    kind: ClassVar = "damaged"
    checkpoint: str


@dataclass(frozen=True)
class VersionsChanged:
    """The checkpoint was left by other versions of libraries."""

    kind: ClassVar = "versions"
    changed: str


@dataclass(frozen=True)
class Stopped:
    """The trainer ended after step `step`, as it was asked to."""

    kind: ClassVar = "stopped"
    step: int


Event = (
    Surveyed | Started | Stepped | Moved | EpochDone | RolledBack
    | CheckpointFailed | CheckpointDamaged | VersionsChanged | Stopped
)  # fmt: skip


def to_fields(event: Event) -> dict[str, Any]:
    """The fields of an event, ready for JSON."""
    return asdict(event)


def epoch_from(row: Mapping[str, Any]) -> EpochDone:
    """Inverse of `to_fields`, of a row of history.json or of a checkpoint; fields of other versions are left out."""
    return EpochDone(**{field.name: row[field.name] for field in fields(EpochDone)})
