"""A trained model as named float64 arrays and back: what a checkpoint holds."""

import numpy as np
import torch

from hdpgmm.components.prior import Concentration, Prior
from hdpgmm.components.statistics import Statistics
from hdpgmm.data.whitening import Whitening
from hdpgmm.model.state import State

STATISTICS = ("count", "first", "second", "atoms", "sticks")


def to_arrays(state: State, whitening: Whitening) -> dict[str, np.ndarray]:
    """Everything a prediction or the next step depends on."""
    prior = state.prior
    numbers = [state.gamma, prior.gamma.initial, prior.gamma.learned, state.alpha0, prior.alpha0.initial]
    numbers += [
        prior.alpha0.learned,
        prior.strength,
        prior.dof,
        prior.direct,
        state.step,
        prior.learned,
        prior.dependence,
    ]
    arrays = {name: part.cpu().numpy() for name, part in zip(STATISTICS, state.stats.tensors(), strict=True)}
    if prior.constant is not None:
        arrays["prior_constant"] = prior.constant.cpu().numpy().astype(np.float64)
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
    numbers = arrays["prior_numbers"].tolist()
    (
        gamma,
        gamma_initial,
        gamma_learned,
        alpha0,
        alpha0_initial,
        alpha0_learned,
        strength,
        dof,
        direct,
        step,
        learned,
        dependence,
    ) = numbers
    prior = Prior(
        torch.tensor(arrays["prior_mean"]),
        strength,
        dof,
        torch.tensor(arrays["prior_scale_inv"]),
        Concentration(gamma_initial, bool(gamma_learned)),
        Concentration(alpha0_initial, bool(alpha0_learned)),
        bool(direct),
        bool(learned),
        dependence,
        torch.tensor(arrays["prior_constant"] > 0.0) if "prior_constant" in arrays else None,
    )
    stats = Statistics(*(torch.tensor(arrays[name], device=device) for name in STATISTICS))
    whitening = Whitening(arrays["whitening_mean"], arrays["whitening_transform"])
    return State(prior, stats, gamma, alpha0, int(step)), whitening


def _check(arrays: dict[str, np.ndarray]) -> None:
    if "first" not in arrays or arrays["first"].ndim != 2:
        raise ValueError("first: expected an array of shape (comp, dim)")
    comp, dim = arrays["first"].shape
    full = "second" not in arrays or arrays["second"].ndim == 3
    shapes = {
        "count": (comp,), "second": (comp, dim, dim) if full else (comp, dim), "atoms": (comp,), "sticks": (2,),
        "prior_numbers": (12,), "prior_mean": (dim,), "prior_scale_inv": (dim, dim) if full else (dim,),
        "whitening_mean": (dim,), "whitening_transform": (dim, dim),
    }  # fmt: skip
    if "prior_constant" in arrays:
        shapes["prior_constant"] = (dim,)
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape:
            found = arrays[name].shape if name in arrays else "nothing"
            raise ValueError(f"{name}: expected an array of shape {shape}, found {found}")
