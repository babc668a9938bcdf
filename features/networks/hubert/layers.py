"""HuBERT's layers in torch (Hsu et al. 2021), by the names of transformers' weights.

Convolutions over the waveform, a projection, a convolution that says where in time, and a transformer whose layers
normalize behind (base) or in front (large, `do_stable_layer_norm`). MERT scales residuals where it says `deepnorm`; its
`attention_relax` changes no value but by rounding.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from features.networks.network import Floats, Network

CHUNK_SECONDS = 30.0  # attention grows with the square of what is seen at once
_NORMALIZE_EPSILON = 1e-7  # of transformers' Wav2Vec2FeatureExtractor


class Hubert:
    """The network with weights by transformers' names, and its config.json. Raises ValueError if one lacks."""

    def __init__(
        self, weights: Mapping[str, torch.Tensor], config: Mapping[str, Any], device: str = "cpu"
    ) -> None:
        self.config, self.device = config, device
        self._weights = {_plain(name): value.float().to(device) for name, value in weights.items()}
        self._epsilon = config.get("layer_norm_eps", 1e-5)
        self._in_front = bool(config.get("do_stable_layer_norm"))
        n_layers = config["num_hidden_layers"]
        self._alpha = (2.0 * n_layers) ** 0.25 if config.get("deepnorm") else 1.0
        self._position = self._positions()

    def frames(self, samples: Floats, layer: int, network: Network) -> Floats:
        """(n_samples,) at the network's rate -> hidden state `layer`, (frame, hidden_size), a chunk after the other."""
        given = torch.from_numpy(samples.copy()).to(self.device)
        if self.config["do_normalize"]:
            given = (given - given.mean()) / torch.sqrt(given.var(unbiased=False) + _NORMALIZE_EPSILON)
        with torch.inference_mode():
            found = [self.hidden(part, layer).cpu().numpy() for part in _chunks(given, network)]
        return np.concatenate(found)

    def hidden(self, samples: torch.Tensor, layer: int) -> torch.Tensor:
        """Hidden state `layer` of samples seen at once: (frame, hidden_size)."""
        x = self._projected(self._convolved(samples[None, None]).transpose(1, 2))
        x = x + self._place(x)
        if not self._in_front:
            x = self._norm(x, "encoder.layer_norm")
        for number in range(layer):
            x = self._layer(x, f"encoder.layers.{number}")
        if self._in_front and layer == self.config["num_hidden_layers"]:
            x = self._norm(x, "encoder.layer_norm")
        return x[0]

    def _convolved(self, x: torch.Tensor) -> torch.Tensor:
        """(1, 1, sample) -> (1, channel, frame)."""
        whole = self.config.get("feat_extract_norm", "group") == "group"
        for number, stride in enumerate(self.config["conv_stride"]):
            name = f"feature_extractor.conv_layers.{number}"
            x = functional.conv1d(
                x, self._get(f"{name}.conv.weight"), self._weights.get(f"{name}.conv.bias"), stride=stride
            )
            if whole and number == 0:
                x = functional.group_norm(x, x.shape[1], *self._scale(f"{name}.layer_norm"))
            elif not whole:
                x = self._norm(x.transpose(1, 2), f"{name}.layer_norm", 1e-5).transpose(1, 2)
            x = functional.gelu(x)
        return x

    def _projected(self, x: torch.Tensor) -> torch.Tensor:
        if self.config.get("feat_proj_layer_norm", True):
            x = self._norm(x, "feature_projection.layer_norm")
        return self._linear(x, "feature_projection.projection")

    def _place(self, x: torch.Tensor) -> torch.Tensor:
        """What the convolution over time adds to (1, frame, dim)."""
        name = "encoder.pos_conv_embed.conv"
        length, groups = self._position.shape[2], self.config.get("num_conv_pos_embedding_groups", 16)
        placed = functional.conv1d(
            x.transpose(1, 2), self._position, self._get(f"{name}.bias"), padding=length // 2, groups=groups
        )
        return functional.gelu(placed[..., : x.shape[1]]).transpose(1, 2)

    def _positions(self) -> torch.Tensor:
        """The kernel behind torch's weight normalization over all but time: g v / |v|."""
        name = "encoder.pos_conv_embed.conv"
        size, direction = self._weights.get(f"{name}.weight_g"), self._weights.get(f"{name}.weight_v")
        if size is None or direction is None:  # torch's newer names of the same
            size, direction = (self._get(f"{name}.parametrizations.weight.original{i}") for i in (0, 1))
        return size * direction / torch.linalg.vector_norm(direction, dim=(0, 1), keepdim=True)

    def _layer(self, x: torch.Tensor, name: str) -> torch.Tensor:
        first, last = f"{name}.layer_norm", f"{name}.final_layer_norm"
        if self._in_front:
            x = x + self._attention(self._norm(x, first), f"{name}.attention")
            return x + self._forward(self._norm(x, last), f"{name}.feed_forward")
        x = self._norm(self._alpha * x + self._attention(x, f"{name}.attention"), first)
        return self._norm(self._alpha * x + self._forward(x, f"{name}.feed_forward"), last)

    def _attention(self, x: torch.Tensor, name: str) -> torch.Tensor:
        heads = self.config["num_attention_heads"]
        asked, keys, values = (
            self._linear(x, f"{name}.{part}_proj").unflatten(2, (heads, -1)).transpose(1, 2) for part in "qkv"
        )
        seen = functional.scaled_dot_product_attention(asked, keys, values)
        return self._linear(seen.transpose(1, 2).flatten(2), f"{name}.out_proj")

    def _forward(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return self._linear(
            functional.gelu(self._linear(x, f"{name}.intermediate_dense")), f"{name}.output_dense"
        )

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, *self._scale(name))

    def _norm(self, x: torch.Tensor, name: str, epsilon: float | None = None) -> torch.Tensor:
        return functional.layer_norm(x, x.shape[-1:], *self._scale(name), epsilon or self._epsilon)

    def _scale(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self._get(f"{name}.weight"), self._get(f"{name}.bias")

    def _get(self, name: str) -> torch.Tensor:
        if name not in self._weights:
            raise ValueError(f"network.path: its weights lack {name}")
        return self._weights[name]


def _plain(name: str) -> str:
    """Without what stands before the network itself, as in a model that was fine-tuned."""
    for part in ("feature_extractor.", "feature_projection.", "encoder."):
        _, found, rest = name.partition(part)
        if found:
            return found + rest
    return name


def _chunks(samples: torch.Tensor, network: Network) -> Iterator[torch.Tensor]:
    """Parts whose frames follow one another as those of the whole."""
    hop, window = network.hop_samples, network.window_samples
    count = max(1, int(CHUNK_SECONDS * network.sample_rate / hop))
    for first in range(0, network.layer_frames(len(samples)), count):
        start = first * hop
        yield samples[start : start + (count - 1) * hop + window]
