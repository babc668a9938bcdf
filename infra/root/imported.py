"""Models of other roots: found by their address, and copied whole before they are used.

An address is a root, of which the model finished last is meant, or the folder of a model, ROOT/models/RUN; both have a
slash, which names of models have not. A copy is a model as any other: its checkpoint byte for byte, its history and its
provenance, and in `final.json` an `origin`, {"root", "corpus", "run", "finished", "digest"}: where it was trained. So a
root stays whole when the other one changes or is gone, and nothing is ever written there. A copy is as new as it is
here: `finished` is when it came.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.errors import ConfigError, StorageError
from infra.root import layout, models
from infra.root.checkpoints import Checkpoints
from infra.root.journal import Fence
from infra.root.ledger import Tree
from infra.root.models import Final
from infra.root.taken import taken, unused
from infra.storage.store import Store

EXPECTED = "expected a root with a finished model, or ROOT/models/RUN"


@dataclass(frozen=True)
class Located:
    """A finished model and the root that it lies in."""

    store: Store
    final: Final

    @property
    def address(self) -> str:
        """Of this very model, whichever is finished later."""
        return self.store.uri(layout.model(self.final.run))

    def __str__(self) -> str:
        return f"{self.final.run} of {self.store.root}"


def is_address(model: str | None) -> bool:
    """Whether it is an address and not the name of a model."""
    return model is not None and "/" in model


def locate(store: Store, model: str | None) -> Located:
    """The model of that name in this root, its newest one for None, or that at an address.

    Raises ConfigError where there is none.
    """
    if model is None or not is_address(model):
        return Located(store, models.choose(store, model))
    named = layout.model_at(model)
    if named and (found := models.find(Store(named[0]), named[1])):
        return Located(Store(named[0]), found)
    other = Store(model)
    if not other.names(layout.MODELS):
        raise ConfigError(f"--model {model}: no models there; {EXPECTED}")
    return Located(other, models.choose(other, None))


def name_here(store: Store, found: Located) -> str:
    """What a model is or will be called in this root: as where it was trained, if no other one is called so here."""
    if found.store.root == store.root:
        return found.final.run
    gone, digest = taken(store, models.PLACE), _digest(found)
    name = unused(found.final.run, gone)
    while (known := models.find(store, name)) is not None and _digest(Located(store, known)) != digest:
        gone |= {name}
        name = unused(found.final.run, gone)
    return name


def run_here(store: Store, model: str | None) -> str | None:
    """The name in this root of a model that is to be there. Raises ConfigError for one that is not copied yet."""
    if not is_address(model):
        return model
    found = locate(store, model)
    name = name_here(store, found)
    if models.find(store, name) is None:
        raise ConfigError(
            f"--model {model}: model {found} is not in {store.root}: "
            f"run python -m jobs.represent --root {store.root} --model {model}"
        )
    return name


def bring(store: Store, found: Located, name: str, fence: Fence | None = None) -> None:
    """Copy a model into this root under the name of `name_here`, unless it is there. fence: whose token it bears.

    Raises StorageError where its checkpoint is damaged or gone.
    """
    final = found.final
    if found.store.root == store.root or models.find(store, name) is not None:
        return
    there = Checkpoints(found.store, layout.model(final.run))
    if not Checkpoints(store, layout.model(name)).copy(there, final.step):
        raise StorageError(
            f"{found.store.uri(layout.model(final.run))}: the checkpoint of step {final.step} is missing or damaged"
        )
    models.finish(
        store,
        name,
        final.provenance,
        _read(found.store, layout.history(final.run), []),
        _read(found.store, layout.model_summary(final.run), {}),
        final.step,
        fence,
        final.features,
        final.origin or _origin(found),
    )


def _origin(found: Located) -> Mapping[str, Any]:
    final = found.final
    return {
        "root": found.store.root,
        "corpus": _corpus(found),
        "run": final.run,
        "finished": final.finished,
        "digest": _digest(found),
    }


def _corpus(found: Located) -> str:
    """The corpus whose songs it was trained on; "" where the root does not say."""
    tree = Tree(found.store, layout.features(found.final.provenance.get("fingerprint", "")))
    songs = str(found.final.provenance.get("songs", ""))
    folders = {name: tree.snapshot_files(name) for name in tree.corpora()} if songs else {}
    return next(
        (name for name, folder in folders.items() if found.store.exists(layout.listed(folder, songs))),
        "",
    )


def _digest(found: Located) -> str:
    return Checkpoints(found.store, layout.model(found.final.run)).digest(found.final.step)


def _read(store: Store, path: str, nothing: Any) -> Any:
    try:
        return json.loads(store.read(path))
    except FileNotFoundError:
        return nothing
    except ValueError as error:
        raise StorageError(f"{store.uri(path)}: cannot be understood ({error})") from error
