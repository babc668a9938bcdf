"""A folder with config.json and weights, as transformers keeps HuBERT and MERT (Li et al. 2024); its code is ours.

A layer is hidden_0 (what the transformer is given) to hidden_N (what its last layer gives), transformers'
`hidden_states`; the default is the middle one. MERT's weights are CC-BY-NC, its 95M has 12 layers of 768 at 75 Hz.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.networks.network import Choice, Frames, Network, described, digest, joined, known_layer

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
KINDS = ("hubert", "mert_model")
_CODE = "features.networks.hubert, revision 1"  # raised by hand when a change of ours changes values
_NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "conv_kernel", "conv_stride")


class _Hubert:
    name = "hubert"
    looks_like = f"a folder with {CONFIG} of model_type {' or '.join(KINDS)}"

    def recognises(self, path: Path) -> bool:
        return (path / CONFIG).is_file() and _json(path / CONFIG).get("model_type") in KINDS

    def describe(self, choice: Choice) -> Network:
        folder = Path(choice.path)
        config = read_config(folder)
        layers = [f"hidden_{number}" for number in range(config["num_hidden_layers"] + 1)]
        layer = known_layer(choice.layer, dict.fromkeys(layers), layers[len(layers) // 2])
        hop, window = receptive_field(config["conv_kernel"], config["conv_stride"])
        facts = [digest(folder / name) for name in (CONFIG, PREPROCESSOR) if (folder / name).is_file()]
        return described(
            choice,
            reader=self.name,
            layer=layer,
            code=hashlib.sha256(_CODE.encode()).hexdigest(),
            weights=joined([*facts, digest(_weights(folder))]),
            sample_rate=config["sample_rate"],
            n_features=config["hidden_size"],
            hop_samples=hop,
            window_samples=window,
        )

    def load(self, network: Network) -> Frames:
        from features.networks.hubert.layers import Hubert
        from features.networks.weights import load_weights

        folder = Path(network.path)
        config = read_config(folder)
        number = int(network.layer.removeprefix("hidden_"))
        net = Hubert(load_weights(_weights(folder)), config, network.device)
        return lambda samples: net.frames(samples, number, network)


def read_config(folder: Path) -> dict[str, Any]:
    """config.json with sample_rate and do_normalize. Raises ValueError for what the network here does not have."""
    config, given = dict(_json(folder / CONFIG)), {}
    if (folder / PREPROCESSOR).is_file():
        given = _json(folder / PREPROCESSOR)
    config.setdefault("sample_rate", given.get("sampling_rate", 16000))
    config["do_normalize"] = given.get("do_normalize", True)
    where = f"network.path: {folder / CONFIG}"
    if lacking := [name for name in _NEEDED if name not in config]:
        raise ValueError(f"{where}: {', '.join(lacking)} must be there")
    for name in ("feature_extractor_cqt", "conv_pos_batch_norm"):
        if config.get(name):
            raise ValueError(
                f"{where}: {name} is not read here; bring it as a module of your own (docs/extending.md)"
            )
    for name in ("hidden_act", "feat_extract_activation"):
        if config.get(name, "gelu") != "gelu":
            raise ValueError(f"{where}: {name} must be gelu, got {config[name]!r}")
    return config


def receptive_field(kernels: list[int], strides: list[int]) -> tuple[int, int]:
    """Samples from a frame to the next, and those that a frame needs, of convolutions one after the other."""
    hop, window = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        window += (kernel - 1) * hop
        hop *= stride
    return hop, window


def _json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"network.path: {path}: no JSON ({error})") from None
    if not isinstance(found, Mapping):
        raise ValueError(f"network.path: {path}: expected names and values")
    return found


def _weights(folder: Path) -> Path:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"network.path: {folder}: no weights, {' or '.join(WEIGHTS)}")


READER = _Hubert()
