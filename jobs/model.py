"""A trained model ready to be applied to frames in feature units: loaded from a root, float32 on the CPU."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from hdpgmm.local import LocalOptions
from hdpgmm.model import Globals, infer, prepare
from hdpgmm.record import from_arrays
from hdpgmm.represent import Vectors, represent
from hdpgmm.whitening import Whitening
from infra import models
from infra.errors import ConfigError, StorageError
from infra.storage import Store


@dataclass(frozen=True)
class LoadedModel:
    """What `load_model` returns; `fingerprint` is that of the features it was trained on."""

    run: str
    fingerprint: str
    expectations: Globals
    whitening: Whitening
    options: LocalOptions

    @property
    def n_components(self) -> int:
        return len(self.expectations.log_beta)


def load_model(store: Store, run: str | None) -> LoadedModel:
    """The finished model `run`, or the one finished last. Raises ConfigError if there is none."""
    final = models.choose(store, run)
    try:
        state, whitening = from_arrays(models.read_arrays(store, final))
        options = LocalOptions(n_atoms=final.provenance["n_atoms"])
        return LoadedModel(final.run, final.provenance["fingerprint"], prepare(state), whitening, options)
    except (ValueError, KeyError) as error:
        raise StorageError(
            f"{store.uri(models.prefix(final.run))}: not a model of this version ({error})"
        ) from error


def require_features(model: LoadedModel, mark: str) -> None:
    """ConfigError if the model was trained on another feature specification than `mark`."""
    if model.fingerprint != mark:
        raise ConfigError(
            f"model {model.run} was trained on features {model.fingerprint}, these are {mark}: "
            f"choose another with --model, or train one with python -m jobs.train"
        )


def song_vectors(model: LoadedModel, values: np.ndarray, offsets: np.ndarray) -> Vectors:
    """The vectors of the songs; values (frame, dim) in feature units, offsets (song + 1,).

    Log-likelihoods are those of the frames in feature units.
    """
    frames = torch.from_numpy(model.whitening(values))
    found = represent(model.expectations, frames, torch.from_numpy(offsets), model.options)
    return replace(found, log_likelihood=found.log_likelihood + model.whitening.log_det)


def frame_responsibilities(model: LoadedModel, values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """r_nk of every frame, (frame, comp) float32."""
    frames = torch.from_numpy(model.whitening(values))
    found = np.empty((len(values), model.n_components), np.float32)
    for group, posterior in infer(model.expectations, frames, torch.from_numpy(offsets), model.options):
        for song, shares in zip(group.songs.tolist(), posterior.responsibilities().numpy(), strict=True):
            first, last = offsets[song : song + 2]
            found[first:last] = shares[: last - first]
    return found
