"""HuBERT and MERT against transformers 5.24's HubertModel (eager attention), 2026-11-30, in golden numbers.

Weights are sines of their place, so that they need no file. transformers' `hidden_states[-1]` of the large variant is
not normalized since its version 5; here, as in version 4, the last hidden state is the network's output.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from features.networks import READERS, find_network
from features.networks.hubert import layers
from features.networks.hubert.reader import receptive_field
from features.networks.network import Choice

_GOLDEN = {  # the first four values of frame 7 of each hidden state
    "base": (
        (-1.8619383573532104, -0.7976316809654236, 2.1218175888061523, 1.5363954305648804),
        (-2.4054644107818604, -0.21219633519649506, 1.3694177865982056, 0.7623387575149536),
        (-2.712491273880005, 0.5382919311523438, 1.4990184307098389, 0.08796451985836029),
    ),
    "large": (
        (0.20268437266349792, 0.18968762457370758, 0.2112273871898651, 0.057938311249017715),
        (-1.4076588153839111, 0.9800028204917908, -0.08096912503242493, -0.059151798486709595),
        (-2.1809909343719482, 1.9048768281936646, -0.024912003427743912, -0.421331524848938),
    ),
}


def _config(kind: str, **more: Any) -> dict[str, Any]:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    convolutions = {"conv_dim": [16] * 3, "conv_kernel": [10, 3, 3], "conv_stride": [5, 2, 2]}
    place = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "layer_norm_eps": 1e-5}
    large = kind == "large"
    norms = {
        "do_stable_layer_norm": large,
        "feat_extract_norm": "layer" if large else "group",
        "conv_bias": large,
    }
    return {
        "model_type": "mert_model",
        "sample_rate": 24000,
        **sizes,
        **convolutions,
        **place,
        **norms,
        **more,
    }


def _shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Of every weight, by transformers' names."""
    width, inner, channels = config["hidden_size"], config["intermediate_size"], config["conv_dim"]
    found: dict[str, tuple[int, ...]] = {"masked_spec_embed": (width,)}

    def both(name: str, *shape: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = shape, (shape[0],)

    for number, kernel in enumerate(config["conv_kernel"]):
        name = f"feature_extractor.conv_layers.{number}"
        found[f"{name}.conv.weight"] = (channels[number], channels[number - 1] if number else 1, kernel)
        if config["conv_bias"]:
            found[f"{name}.conv.bias"] = (channels[number],)
        if number == 0 or config["feat_extract_norm"] == "layer":
            both(f"{name}.layer_norm", channels[number])
    both("feature_projection.layer_norm", channels[-1])
    both("feature_projection.projection", width, channels[-1])
    place, length = "encoder.pos_conv_embed.conv", config["num_conv_pos_embeddings"]
    found[f"{place}.bias"] = (width,)
    found[f"{place}.parametrizations.weight.original0"] = (1, 1, length)
    found[f"{place}.parametrizations.weight.original1"] = (
        width,
        width // config["num_conv_pos_embedding_groups"],
        length,
    )
    both("encoder.layer_norm", width)
    for number in range(config["num_hidden_layers"]):
        name = f"encoder.layers.{number}"
        for part in ("attention.k_proj", "attention.v_proj", "attention.q_proj", "attention.out_proj"):
            both(f"{name}.{part}", width, width)
        both(f"{name}.feed_forward.intermediate_dense", inner, width)
        both(f"{name}.feed_forward.output_dense", width, inner)
        both(f"{name}.layer_norm", width)
        both(f"{name}.final_layer_norm", width)
    return found


def _folder(folder: Path, config: dict[str, Any]) -> Path:
    weights = {}
    for number, (name, shape) in enumerate(sorted(_shapes(config).items())):
        sines = 0.2 * torch.sin(0.7 * torch.arange(math.prod(shape), dtype=torch.float64) + number)
        near_one = name.endswith(("norm.weight", "original0"))
        weights[name] = (sines + near_one).reshape(shape).float().contiguous()
    folder.mkdir(exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _samples(count: int = 6000) -> np.ndarray:
    places = np.arange(count)
    return (0.3 * np.sin(2 * np.pi * 220 * places / 24000) + 0.05 * np.sin(places**1.5)).astype(np.float32)


def _frames(folder: Path, layer: str, samples: np.ndarray) -> np.ndarray:
    return READERS["hubert"].load(find_network(Choice(str(folder), layer)))(samples)


@pytest.mark.parametrize("kind", _GOLDEN)
def test_hidden_states_are_those_of_transformers(kind: str, tmp_path: Path):
    folder = _folder(tmp_path, _config(kind))
    for number, expected in enumerate(_GOLDEN[kind]):
        found = _frames(folder, f"hidden_{number}", _samples())
        assert found.shape == (299, 32)
        np.testing.assert_allclose(found[7, :4], expected, atol=1e-5)


def test_older_names_of_the_same_weights(tmp_path: Path):
    folder = _folder(tmp_path, _config("base"))
    expected = _frames(folder, "hidden_2", _samples())
    weights = {f"hubert.{name}": value for name, value in layers_of(folder).items()}
    place = "hubert.encoder.pos_conv_embed.conv"
    for number, letter in enumerate("gv"):
        weights[f"{place}.weight_{letter}"] = weights.pop(f"{place}.parametrizations.weight.original{number}")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    np.testing.assert_array_equal(_frames(folder, "hidden_2", _samples()), expected)


def layers_of(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_merts_convolutions_give_75_frames_a_second(tmp_path: Path):
    kernels, strides = [10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]
    assert receptive_field(kernels, strides) == (320, 400)
    config = _config("base", conv_dim=[16] * 7, conv_kernel=kernels, conv_stride=strides)
    folder = _folder(tmp_path, config)
    network = find_network(Choice(str(folder)))
    assert (network.layer, network.sample_rate, network.hop_samples) == ("hidden_1", 24000, 320)
    for count in (400, 719, 720, 24000):
        assert _frames(folder, "hidden_1", _samples(count)).shape == (network.layer_frames(count), 32)
    assert [network.layer_frames(count) for count in (399, 400, 719, 720)] == [0, 1, 1, 2]


def test_chunks_have_the_frames_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = _folder(tmp_path, _config("large"))
    whole = _frames(folder, "hidden_1", _samples())
    monkeypatch.setattr(layers, "CHUNK_SECONDS", 0.1)
    parts = _frames(folder, "hidden_1", _samples())
    assert parts.shape == whole.shape
    # A chunk does not see beyond its ends, which its first frames feel; without attention's context they are near.
    assert np.corrcoef(parts.ravel(), whole.ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"feature_extractor_cqt": True}, "feature_extractor_cqt is not read here; bring it as a module"),
        ({"hidden_act": "relu"}, "hidden_act must be gelu, got 'relu'"),
    ],
)
def test_what_the_network_here_does_not_have_is_refused(change: dict[str, Any], rule: str, tmp_path: Path):
    with pytest.raises(ValueError, match=rf"^network\.path: .*config\.json: {rule}"):
        find_network(Choice(str(_folder(tmp_path, _config("base", **change)))))


def test_a_missing_weight_is_named(tmp_path: Path):
    folder = _folder(tmp_path, _config("base"))
    weights = layers_of(folder)
    del weights["encoder.layers.1.attention.q_proj.bias"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"its weights lack encoder\.layers\.1\.attention\.q_proj\.bias"):
        _frames(folder, "hidden_2", _samples())


def test_any_file_of_the_folder_that_counts_changes_the_digest(tmp_path: Path):
    folder = _folder(tmp_path, _config("base"))
    before = find_network(Choice(str(folder))).weights
    (folder / "preprocessor_config.json").write_text('{"do_normalize": false, "sampling_rate": 24000}')
    assert find_network(Choice(str(folder))).weights != before
