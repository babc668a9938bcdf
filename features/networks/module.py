"""A user's own torch module: a folder with network.json, its Python files and its weights.

network.json says what planning needs, so that the code is run by the workers that compute frames alone:

    {"module": "network.py", "weights": "weights.safetensors", "sample_rate": 24000,
     "layers": {"last": {"n_features": 768, "hop_samples": 320, "window_samples": 400}}}

The module defines `load(weights, layer)`: from tensors by name, a torch.nn.Module whose forward takes mono samples
(n_samples,) float32 and gives frames (frame, n_features), (n_samples - window_samples) // hop_samples + 1 of them. The
first layer is the default; `window_samples` is 0 unless it is said.
"""

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.networks.network import Choice, Floats, Frames, Network, described, digest, joined, known_layer

MANIFEST = "network.json"


class _Module:
    name = "module"
    looks_like = f"a folder with {MANIFEST}"

    def recognises(self, path: Path) -> bool:
        return (path / MANIFEST).is_file()

    def describe(self, choice: Choice) -> Network:
        folder = Path(choice.path)
        facts = _manifest(folder)
        layer = known_layer(choice.layer, facts["layers"], next(iter(facts["layers"])))
        sizes = facts["layers"][layer]
        return described(
            choice,
            reader=self.name,
            layer=layer,
            code=_code(folder),
            weights=digest(folder / facts["weights"]),
            sample_rate=facts["sample_rate"],
            n_features=sizes.get("n_features"),
            hop_samples=sizes.get("hop_samples"),
            window_samples=sizes.get("window_samples", 0),
        )

    def load(self, network: Network) -> Frames:
        import torch

        from features.networks.weights import load_weights

        folder = Path(network.path)
        facts = _manifest(folder)
        module = _run(folder / facts["module"])
        net = module.load(load_weights(folder / facts["weights"]), network.layer).to(network.device).eval()

        def frames(samples: Floats) -> Floats:
            with torch.inference_mode():
                given = torch.from_numpy(samples.copy()).to(network.device)
                return net(given).float().cpu().numpy()

        return frames


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        facts = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"network.path: {path}: no JSON ({error})") from None
    wanted = {"module": str, "weights": str, "sample_rate": int, "layers": dict}
    for name, kind in wanted.items():
        if not isinstance(facts, dict) or not isinstance(facts.get(name), kind):
            raise ValueError(f"network.path: {path}: {name} must be there, as in {_EXAMPLE}")
    if not facts["layers"] or not all(isinstance(sizes, Mapping) for sizes in facts["layers"].values()):
        raise ValueError(f"network.path: {path}: layers must name at least one, as in {_EXAMPLE}")
    for name in ("module", "weights"):
        if not (folder / facts[name]).is_file():
            raise ValueError(f"network.path: {path}: {name}: {facts[name]}: no such file")
    return facts


_EXAMPLE = (
    '{"module": "network.py", "weights": "weights.safetensors", "sample_rate": 24000, '
    '"layers": {"last": {"n_features": 768, "hop_samples": 320}}}'
)


def _code(folder: Path) -> str:
    """Changes with the manifest and with any Python file of the folder: the module may import the others."""
    files = [folder / MANIFEST, *sorted(folder.rglob("*.py"))]
    return joined(f"{file.relative_to(folder).as_posix()} {digest(file)}" for file in files)


def _run(path: Path) -> Any:
    """The user's module. Only the isolated child gets here, and only with a path that the configuration named."""
    spec = importlib.util.spec_from_file_location(f"_network_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return module


READER = _Module()
