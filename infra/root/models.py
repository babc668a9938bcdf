"""Trained models under `models/<run>/`: checkpoints, and `final.json` once the run has ended.

models/<run>/step-<n>.safetensors, index/   checkpoints (infra.root.checkpoints)
models/<run>/final.json             {"run", "step", "finished", "provenance", "features", "origin"}: created last
models/<run>/summary.json           weights and sizes, for people and for the report
models/<run>/history.json           one record per epoch
models/<run>/used.json              empty; written when an old model is used again

A name that `jobs.gc` has taken (infra.root.taken, place `models`) is no model any more, whatever still lies there.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from infra.errors import ConfigError, StorageError
from infra.root import layout
from infra.root.checkpoints import Checkpoints
from infra.root.journal import Effect, Fence, make_visible
from infra.root.runs import now
from infra.root.taken import taken
from infra.storage.store import Store

PLACE = layout.MODELS  # of the names of models
RENEW_SECONDS = 86_400.0


@dataclass(frozen=True)
class Final:
    """A finished training run."""

    run: str
    step: int
    finished: str
    provenance: dict[str, Any]
    features: dict[str, Any] = field(default_factory=dict)  # what its frames were made from
    origin: dict[str, Any] = field(
        default_factory=dict
    )  # of a copy: where it was trained (infra.root.imported)


def finish(
    store: Store,
    run: str,
    provenance: Mapping[str, Any],
    history: Sequence[Any],
    summary: Mapping[str, Any],
    step: int,
    fence: Fence | None = None,
    features: Mapping[str, Any] | None = None,
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Write what describes the finished model, `final.json` last, created exclusively. fence: whose token it bears.

    features: the specification of the frames that it was trained on; origin: of a copy, where that was.
    """
    final = {
        "run": run,
        "step": step,
        "finished": now(),
        "provenance": dict(provenance),
        "features": dict(features or {}),
        "origin": dict(origin or {}),
    }
    beside = (
        (layout.history(run), json.dumps(list(history), indent=1)),
        (layout.model_summary(run), json.dumps(dict(summary))),
    )
    marker = (layout.final(run), json.dumps(final, indent=1))
    make_visible(store, Effect(write=beside, create=(marker,)), fence)


def find(store: Store, run: str) -> Final | None:
    """The finished run of that name, if any."""
    try:
        return Final(**json.loads(store.read(layout.final(run))))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise StorageError(f"{store.uri(layout.final(run))}: cannot be understood ({error})") from error


def finished(store: Store) -> list[Final]:
    """All finished models, by name."""
    gone = taken(store, PLACE)
    return [
        found
        for name in store.names(layout.MODELS)
        if name not in gone and (found := find(store, name)) is not None
    ]


def claim(store: Store, run: str) -> bool:
    """Whether a finished model may be used; it says so there, so that `jobs.gc` leaves one of long ago.

    Written before the names taken are read: gc, which takes the name before it looks for the last time, sees the one
    or is seen.
    """
    if min((entry.age for entry in store.walk(layout.model(run))), default=0.0) > RENEW_SECONDS:
        store.write(layout.used(run), b"{}")
    return run not in taken(store, PLACE)


def choose(store: Store, run: str | None) -> Final:
    """The model named `run`, or the one finished last. Raises ConfigError if there is none."""
    if run is not None:
        found = None if run in taken(store, PLACE) else find(store, run)
        if found is None:
            raise ConfigError(
                f"--model {run}: no finished model of that name under {store.uri(layout.MODELS)}; "
                "a model of another root is named by an address with a slash"
            )
        return found
    finals = finished(store)
    if not finals:
        raise ConfigError(
            f"no finished model under {store.uri(layout.MODELS)}: run python -m jobs.train first"
        )
    return max(finals, key=lambda final: (final.finished, final.run))


def read_arrays(store: Store, final: Final) -> dict[str, np.ndarray]:
    """The arrays of the finished model, their digest checked."""
    found = Checkpoints(store, layout.model(final.run)).load(final.step)
    if found is None:
        raise StorageError(
            f"{store.uri(layout.model(final.run))}: the checkpoint of step {final.step} is missing or damaged; delete "
            f"final.json there and run python -m jobs.train again"
        )
    return found[1]
