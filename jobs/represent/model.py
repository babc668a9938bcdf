"""A trained model ready to be applied to frames in feature units: loaded from a root, float32, on any device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from features.spec import FeatureSpec, fingerprint
from hdpgmm.data.whitening import Whitening
from hdpgmm.kinds.kind import Batch
from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model import Globals, State, family, infer, prepare
from hdpgmm.ragged import Ragged
from hdpgmm.serialization import from_arrays
from infra.errors import ConfigError, StorageError
from infra.root import layout, models
from infra.root.ledger import Tree, trees
from infra.root.models import Final
from infra.root.records import Snapshot
from infra.storage.store import Store
from jobs.extract.specification import differences

WHITENED_FRAMES = 4096  # at a time: in float64 they stay in the cache, half the time of 65,536


@dataclass(frozen=True)
class LoadedModel:
    """What `load_model` returns; `fingerprint` is that of the features it was trained on, `features` what they are."""

    run: str
    fingerprint: str
    features: Mapping[str, Any]
    state: State
    expectations: Globals
    whitening: Whitening
    options: LocalOptions

    @property
    def n_components(self) -> int:
        return len(self.expectations.log_beta)


def load_model(store: Store, run: str | None, device: str = "cpu") -> LoadedModel:
    """The finished model `run`, or the one finished last. Raises ConfigError if there is none."""
    final = models.choose(store, run)
    try:
        state, whitening = from_arrays(models.read_arrays(store, final), device)
        options = LocalOptions(n_atoms=final.provenance["n_atoms"])
        fingerprint = final.provenance["fingerprint"]
        return LoadedModel(final.run, fingerprint, final.features, state, prepare(state), whitening, options)
    except (ValueError, KeyError) as error:
        raise StorageError(
            f"{store.uri(layout.model(final.run))}: not a model of this version ({error})"
        ) from error


def gaussians_in_units(store: Store, run: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean (comp, dim) and expected covariance (comp, dim, dim) or variance (comp, dim), in feature units."""
    state, whitening = from_arrays(models.read_arrays(store, models.choose(store, run)))
    components = family(state.prior)
    posterior = components.posterior(state.prior, state.stats)
    covariance = whitening.covariance_in_units(components.expected_covariance(posterior).numpy())
    return whitening.mean_in_units(posterior.mean.numpy()), covariance


def component_gaussians(store: Store, run: str) -> tuple[np.ndarray, np.ndarray]:
    """The Gaussian of each component in whitened units: means (comp, dim), covariances (comp, dim, dim).

    Its precision is the expected one, which exists for components that saw no frames too.
    """
    state, _ = from_arrays(models.read_arrays(store, models.choose(store, run)))
    posterior: Any = family(state.prior).posterior(state.prior, state.stats)
    if state.prior.diagonal:
        covariance = torch.diag_embed(posterior.scale_inv / posterior.dof[:, None])
    else:
        covariance = posterior.chol @ posterior.chol.mT / posterior.dof[:, None, None]
    return posterior.mean.numpy(), covariance.numpy()


def features_of(store: Store, corpus: str, model: Final | LoadedModel) -> Snapshot:
    """The corpus' newest features of the kind that the model was trained on.

    Raises ConfigError where it has none, which says what it has instead.
    """
    wanted = fingerprint_of(model)
    snapshot = Tree(store, layout.features(wanted)).latest(corpus)
    if snapshot is None:
        raise ConfigError(
            f"model {model.run} was trained on features {wanted}, of which corpus {corpus!r} has none: "
            f"{_instead(store, corpus, model)}"
            "run python -m jobs.extract with the settings that made them, or choose another model with --model"
        )
    return snapshot


def require_features(model: Final, spec: FeatureSpec) -> None:
    """Raises ConfigError where a model was trained on others than these, which names both and what differs."""
    wanted, here = fingerprint_of(model), fingerprint(spec)
    if wanted != here:
        raise ConfigError(
            f"model {model.run} was trained on features {wanted}, the settings of extract make {here}: "
            f"they differ in {_differing(model, spec.to_json())}; set extract.* as it needs, "
            "or choose another model with --model"
        )


def fingerprint_of(model: Final | LoadedModel) -> str:
    """Of the features that it was trained on."""
    return model.fingerprint if isinstance(model, LoadedModel) else model.provenance["fingerprint"]


def _instead(store: Store, corpus: str, model: Final | LoadedModel) -> str:
    """The features that a corpus has, and in what they differ from those of a model."""
    found = [tree for tree in trees(store, layout.FEATURES) if tree.latest(corpus) is not None]
    told = [
        f"{layout.name_of(tree.prefix)}, which differ in {_differing(model, tree.read_spec())}"
        for tree in found
    ]
    return f"it has {'; and '.join(told)}; " if told else ""


def _differing(model: Final | LoadedModel, spec: Mapping[str, Any]) -> str:
    if not model.features:
        return "what the model does not say"
    return f"{differences(model.features, spec)} (the model's first)"


def batch_of(model: LoadedModel, songs: Ragged[np.ndarray]) -> Batch:
    """Songs (frame, dim) in feature units, as kinds of vectors want them."""
    return Batch(model.expectations, model.state, whitened(model, songs), model.options)


def whitened(model: LoadedModel, songs: Ragged[np.ndarray]) -> Ragged[Tensor]:
    """(frame, dim) in feature units -> float32 (frame, dim) on the model's device, as `model.whitening` gives."""
    device = model.expectations.theta.device
    mean, transform = (
        torch.from_numpy(part).to(device) for part in (model.whitening.mean, model.whitening.transform)
    )
    frames = torch.from_numpy(songs.values).to(device)
    found = torch.empty_like(frames, dtype=torch.float32)
    for part, into in zip(frames.split(WHITENED_FRAMES), found.split(WHITENED_FRAMES), strict=True):
        into.copy_((part.double() - mean) @ transform)
    return Ragged(found, torch.from_numpy(songs.offsets))


def frame_responsibilities(model: LoadedModel, songs: Ragged[np.ndarray]) -> Ragged[np.ndarray]:
    """r_nk of every frame of songs (frame, dim) in feature units: songs (frame, comp) float32."""
    found = Ragged(np.empty((len(songs.values), model.n_components), np.float32), songs.offsets)
    for group, posterior in infer(model.expectations, whitened(model, songs), model.options):
        shares = posterior.responsibilities().cpu().numpy()
        for song, of_song in zip(group.songs.tolist(), shares, strict=True):
            found[song][:] = of_song[: len(found[song])]
    return found
