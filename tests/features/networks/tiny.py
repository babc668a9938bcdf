"""A user's own module, as small as they get: sums of each 1,000 samples, times weights."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

CODE = """
import torch
from helper import summed

class Net(torch.nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.register_buffer("scale", scale)

    def forward(self, samples):
        return summed(samples)[:, None] * self.scale

def load(weights, layer):
    return Net(weights[layer])
"""
HELPER = """
def summed(samples):
    return samples.unfold(0, 1000, 500).sum(1)
"""
MANIFEST = {
    "module": "net.py",
    "weights": "weights.safetensors",
    "sample_rate": 8000,
    "layers": {
        "small": {"n_features": 3, "hop_samples": 500, "window_samples": 1000},
        "large": {"n_features": 5, "hop_samples": 500, "window_samples": 1000},
    },
}
SMALL = np.array([1.0, -2.0, 0.5], np.float32)


def write(folder: Path) -> Path:
    """The folder of the network."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.py").write_text(CODE)
    (folder / "helper.py").write_text(HELPER)
    (folder / "network.json").write_text(json.dumps(MANIFEST))
    save_file({"small": torch.from_numpy(SMALL), "large": torch.ones(5)}, folder / "weights.safetensors")
    return folder


def expected(samples: np.ndarray) -> np.ndarray:
    """Its frames, by numpy: (frame, 3)."""
    sums = [samples[start : start + 1000].sum() for start in range(0, len(samples) - 999, 500)]
    return np.array(sums, np.float32)[:, None] * SMALL
