"""A trained model as named float64 arrays and back: what a checkpoint holds."""

import numpy as np
import torch

from hdpgmm.model import State
from hdpgmm.prior import Prior
from hdpgmm.statistics import Statistics
from hdpgmm.whitening import Whitening

STATISTICS = ("count", "first", "second", "atoms")


def to_arrays(state: State, whitening: Whitening) -> dict[str, np.ndarray]:
    """Everything a prediction or the next step depends on."""
    prior = state.prior
    numbers = [prior.gamma, prior.alpha0, prior.strength, prior.dof, state.step]
    arrays = {name: part.cpu().numpy() for name, part in zip(STATISTICS, state.stats.tensors(), strict=True)}
    return arrays | {
        "prior_numbers": np.array(numbers, dtype=np.float64),
        "prior_mean": prior.mean.cpu().numpy(),
        "prior_scale_inv": prior.scale_inv.cpu().numpy(),
        "whitening_mean": whitening.mean,
        "whitening_transform": whitening.transform,
    }


def from_arrays(arrays: dict[str, np.ndarray], device: torch.device | str = "cpu") -> tuple[State, Whitening]:
    """Inverse of `to_arrays`. Raises ValueError naming the array that is missing or has another shape."""
    _check(arrays)
    gamma, alpha0, strength, dof, step = arrays["prior_numbers"].tolist()
    mean, scale_inv = torch.tensor(arrays["prior_mean"]), torch.tensor(arrays["prior_scale_inv"])
    prior = Prior(gamma, alpha0, mean, strength, dof, scale_inv)
    stats = Statistics(*(torch.tensor(arrays[name], device=device) for name in STATISTICS))
    return State(prior, stats, int(step)), Whitening(arrays["whitening_mean"], arrays["whitening_transform"])


def _check(arrays: dict[str, np.ndarray]) -> None:
    if "first" not in arrays or arrays["first"].ndim != 2:
        raise ValueError("first: expected an array of shape (comp, dim)")
    comp, dim = arrays["first"].shape
    shapes = {
        "count": (comp,), "second": (comp, dim, dim), "atoms": (comp,), "prior_numbers": (5,), "prior_mean": (dim,),
        "prior_scale_inv": (dim, dim), "whitening_mean": (dim,), "whitening_transform": (dim, dim),
    }  # fmt: skip
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape:
            found = arrays[name].shape if name in arrays else "nothing"
            raise ValueError(f"{name}: expected an array of shape {shape}, found {found}")
