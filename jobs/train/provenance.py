"""What a trainer is told to do, what the model's bits depend on, and whether a checkpoint belongs to it.

No torch: the driver has no use for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infra.config import TrainConfig
from infra.errors import ConfigError
from infra.root import layout
from infra.root.journal import Fence
from infra.root.records import Snapshot

# How a run is carried out, not what it computes: another value continues the same run.
OPERATIONAL = {
    "data_workers",
    "ahead_bytes",
    "checkpoint_steps",
    "keep_checkpoints",
    "device",
    "threads",
    "ranks",
    "reduction",
}


# Of `describe`, what is the corpus', not the settings'.
CORPUS = frozenset({"songs", "groups"})


@dataclass(frozen=True)
class Assignment:
    """What to train, on what, and where to leave it. `provenance` must match that of a checkpoint to resume.

    songs, tracks: paths of the table of songs and of the track list.
    fence: whose token checkpoints are committed with, another one for each start of the ranks.
    """

    root: str
    prefix: str
    songs: str
    tracks: str
    provenance: dict[str, Any]
    config: TrainConfig
    fence: Fence | None = None


def describe(
    train: TrainConfig, snapshot: Snapshot, fingerprint: str, groups: str | None = None
) -> dict[str, Any]:
    """Everything the model's bits depend on; its digest is the model's name.

    groups: digest of whose songs are whose, None where nobody knows.
    """
    fields = train.model_dump(mode="json", exclude=OPERATIONAL)
    if train.subset is None:
        fields.pop("subset")
    if train.reduction == "fast":
        fields["reduction"] = "fast"
    if groups is not None and train.moves:
        fields["groups"] = groups
    return {"songs": layout.name_of(snapshot.songs), "fingerprint": fingerprint, **fields}


def refuse_mismatch(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """ConfigError that names what differs between a checkpoint and the run that would continue it; not versions."""
    differing = _differences(found, wanted, sorted({*found, *wanted} - {"versions"}))
    if differing:
        raise ConfigError(f"the checkpoint belongs to another run: {differing}")


def changed_versions(found: dict[str, str], here: dict[str, str]) -> str:
    """What differs from the versions that left a checkpoint, as text: of a library it may move the last bits.

    Raises ConfigError where it is this package's, whose steps may be others.
    """
    ours = _differences(found, here, ["hdpgmm"])
    if ours:
        raise ConfigError(
            f"the checkpoint is of another version: {ours}; continue with that one, or delete it"
        )
    return _differences(found, here, sorted({*found, *here}))


def _differences(found: dict[str, Any], wanted: dict[str, Any], names: Sequence[str]) -> str:
    differing = [name for name in names if found.get(name) != wanted.get(name)]
    return "; ".join(f"{name} was {found.get(name)!r}, is {wanted.get(name)!r}" for name in differing)
