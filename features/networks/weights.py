"""Weights of a network from a file: tensors and nothing else, whatever somebody put into it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name, from safetensors, or from torch's own format read with weights_only.

    Raises ValueError for what is neither, also where a pickle asks for more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"network.path: {path}: {_first(error)}") from None
    except Exception as error:  # noqa: BLE001 - pickle.UnpicklingError is torch's "no"; damaged pickles raise anything
        raise ValueError(f"network.path: {path}: no weights alone ({_first(error)})") from None
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ValueError(f"network.path: {path}: expected tensors by name")
    return dict(found)


def _first(error: Exception) -> str:
    """The beginning of what it says, in one line."""
    return " ".join(str(error).split())[:120] or type(error).__name__
